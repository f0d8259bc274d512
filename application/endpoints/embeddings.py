"""`/v1/embeddings`: texts as vectors."""

import binascii
import struct
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen

from ..result_lines import body_problem, body_usage
from . import checks
from .answers import Answer
from .reading import in_order, texted
from .requests import EndpointRequest

_FLOAT_BYTES = 4


@frozen(kw_only=True)
class EmbeddingsRequest(EndpointRequest):
    """A request to `/v1/embeddings`.

    `input` is a text, several texts, or one or several sequences of token numbers; each one
    gets a vector, of `dimensions` numbers where the model can shorten it. 2,048 at most.
    """

    endpoint: ClassVar[str] = "/v1/embeddings"
    model: str = field(validator=checks.given)
    input: str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] = field(
        validator=[checks.texts_or_tokens, checks.several]
    )
    dimensions: int | None = field(default=None, validator=checks.positive)

    def parameters(self) -> dict[str, Any]:
        """In the spelling of OpenAI's API reference, Aug 2026."""
        return {"model": self.model, "input": self.input, "dimensions": self.dimensions}


def parse_embeddings(body: Mapping[str, Any]) -> Answer:
    """Read the vectors, in the order of the inputs; one that cannot be read is empty."""
    return Answer(
        id=texted(body.get("id")),
        model=texted(body.get("model")),
        error=body_problem(body),
        usage=body_usage(body),
        embeddings=tuple(_vector(each.get("embedding")) for each in in_order(body.get("data"))),
    )


def _vector(value: object) -> tuple[float, ...]:
    """Numbers, or with `encoding_format` base64 their little-endian 32-bit floats."""
    try:
        if isinstance(value, str):
            packed = b64decode(value, validate=True)
            return struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed)
        return tuple(map(float, value)) if isinstance(value, list) else ()
    except (binascii.Error, struct.error, TypeError, ValueError, OverflowError):
        return ()
