"""`/v1/moderations`: whether a text or picture may be harmful."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.validators import optional

from ...domain.checks import is_real
from ..result_lines import body_problem, body_usage
from . import checks
from .answers import Answer, Moderation
from .checks import refused
from .messages import ImagePart, TextPart
from .reading import inner, objects, texted
from .requests import EndpointRequest


@frozen(kw_only=True)
class ModerationsRequest(EndpointRequest):
    """A request to `/v1/moderations`.

    `input` is a text, several texts, or the text and image parts of one input. Without a
    `model` the provider takes its own.
    """

    endpoint: ClassVar[str] = "/v1/moderations"
    input: str | Sequence[str | TextPart | ImagePart] = field(validator=checks.content)
    model: str | None = field(default=None, validator=optional(checks.given))

    def parameters(self) -> dict[str, Any]:
        """In the spelling of OpenAI's API reference, Aug 2026."""
        if isinstance(self.input, str):
            return {"model": self.model, "input": self.input}
        return {"model": self.model, "input": [_part(part) for part in self.input]}


def _part(part: object) -> str | dict[str, Any]:
    match part:
        case str():
            return part
        case TextPart():
            return {"type": "text", "text": part.text}
        case ImagePart(url=str() as url):
            return {"type": "image_url", "image_url": {"url": url}}
        case ImagePart():
            raise refused("image.file_id", "is not taken by moderations; give a URL")
        case _:
            kind = type(part).__name__
            raise refused("input", f"holds {kind}; give texts, or text and image parts")


def parse_moderation(body: Mapping[str, Any]) -> Answer:
    """Read the verdicts, one for each input."""
    return Answer(
        id=texted(body.get("id")),
        model=texted(body.get("model")),
        error=body_problem(body),
        usage=body_usage(body),
        moderations=tuple(_moderation(each) for each in objects(body.get("results"))),
    )


def _moderation(result: Mapping[str, Any]) -> Moderation:
    categories, scores = inner(result.get("categories")), inner(result.get("category_scores"))
    return Moderation(
        flagged=result.get("flagged") is True,
        categories={name: value for name, value in categories.items() if isinstance(value, bool)},
        scores={name: float(each) for name, each in scores.items() if _is_score(each)},
    )


def _is_score(value: object) -> bool:
    return is_real(value) and 0 <= value <= 1
