"""What an endpoint answered, in one shape for all of them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import field, frozen

from ...domain.values import RequestProblem, TokenUsage
from ..errors import AnswerMismatchError
from .structured import decoded, decoded_as
from .tools import ToolCall

T = TypeVar("T")

LENGTH = frozenset({"length", "max_tokens", "max_output_tokens"})
"""The words for an answer that the limit on tokens cut off."""

_CUT_SHORT = LENGTH | {"content_filter", "incomplete"}


@frozen
class Citation:
    """A source that a text names; `start` and `end` are places in the text, in characters.

    `kind` is the provider's word, such as `url_citation` or `file_citation`.
    """

    kind: str
    url: str | None = None
    title: str | None = None
    file_id: str | None = None
    filename: str | None = None
    start: int | None = None
    end: int | None = None


@frozen
class Moderation:
    """The verdict on one input: whether any category applies, which, and how surely (0 to 1)."""

    flagged: bool
    categories: Mapping[str, bool] = field(factory=dict)
    scores: Mapping[str, float] = field(factory=dict)


@frozen(kw_only=True)
class Answer:
    """One answer; what it does not have is None or empty.

    `texts` has the text of every choice, mostly one. `finish_reason` is the provider's word for
    why the first one ended: `stop`, `length`, ..., or a response's status, or why that is
    incomplete. `truncated` says that a limit on tokens cut a text off. `error` is what an answer
    says that failed although its HTTP status was a success, or an error body.
    `embeddings` stand in the order of their inputs. `request_id` is the provider's name for the
    HTTP call.
    """

    id: str | None = None
    model: str | None = None
    texts: tuple[str | None, ...] = ()
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    truncated: bool = False
    error: RequestProblem | None = None
    citations: tuple[Citation, ...] = ()
    usage: TokenUsage | None = None
    embeddings: tuple[tuple[float, ...], ...] = ()
    moderations: tuple[Moderation, ...] = ()
    request_id: str | None = None

    @property
    def text(self) -> str | None:
        """The text of the first choice."""
        return self.texts[0] if self.texts else None

    @property
    def incomplete(self) -> bool:
        """Whether the answer ended before the model was done, or failed."""
        return self.truncated or self.error is not None or self.finish_reason in _CUT_SHORT

    @property
    def value(self) -> Any:
        """The text decoded as JSON; None when it is none."""
        return decoded(self.text)

    def as_type(self, cls: type[T]) -> T:
        """The text as a value of the class that the output was asked in.

        Raises `AnswerMismatchError` when the model refused, was cut off, or wrote something else.
        """
        if self.refusal is not None:
            raise AnswerMismatchError(f"the model refused: {self.refusal}")
        if self.error is not None:
            raise AnswerMismatchError(f"the answer failed: {self.error.message}")
        if self.incomplete:
            raise AnswerMismatchError(f"the answer is incomplete ({self.finish_reason})")
        if self.text is None:
            raise AnswerMismatchError("the answer has no text")
        return decoded_as(self.text, cls)
