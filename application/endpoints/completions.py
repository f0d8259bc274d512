"""`/v1/completions`: the oldest endpoint, which goes on with a text."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from ..result_lines import body_problem, body_usage
from . import checks
from .answers import LENGTH, Answer
from .models import ModelSettings, are_settings, model_settings
from .reading import in_order, texted
from .requests import EndpointRequest


@frozen(kw_only=True)
class CompletionsRequest(EndpointRequest):
    """A request to `/v1/completions`.

    `prompt` is a text, several texts, or one or several sequences of token numbers; each one
    gets a choice of its own. `temperature` is from 0 to 2.
    """

    endpoint: ClassVar[str] = "/v1/completions"
    model: str = field(validator=checks.given)
    prompt: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] = field(
        validator=checks.texts_or_tokens
    )
    max_output_tokens: int | None = field(default=None, validator=checks.positive)
    temperature: float | None = field(default=None, validator=checks.temperature)
    settings: ModelSettings | None = field(default=None, validator=are_settings)

    def parameters(self) -> dict[str, Any]:
        """In the spelling of OpenAI's API reference, Aug 2026."""
        settings = self.settings or model_settings(self.model)
        return {
            "model": self.model,
            "prompt": self.prompt,
            "max_tokens": self.max_output_tokens,
            "temperature": self.temperature if settings.supports_temperature() else None,
        }


def parse_completion(body: Mapping[str, Any]) -> Answer:
    """Read the body of a completion."""
    choices = in_order(body.get("choices"))
    reasons = [texted(choice.get("finish_reason")) for choice in choices]
    return Answer(
        id=texted(body.get("id")),
        model=texted(body.get("model")),
        texts=tuple(texted(choice.get("text")) for choice in choices),
        finish_reason=reasons[0] if reasons else None,
        truncated=not LENGTH.isdisjoint(reasons),
        error=body_problem(body),
        usage=body_usage(body),
    )
