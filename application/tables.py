"""Completions as flat rows: one for each request, with the same columns for every endpoint."""

from decimal import Decimal
from typing import Any

from attrs import frozen

from .completions import Completion, redaction_of
from .endpoints import Answer


@frozen
class Row:
    """One request's outcome and answer, flat.

    `text` is the answer's text; `value` what the answer says as data: the text's JSON object or
    array, embeddings, moderations, or the tools that the model calls. Tokens are counts, `cost`
    is in USD; None is what there is not.
    """

    number: int
    custom_id: str
    outcome: str
    text: str | None = None
    value: Any = None
    finish_reason: str | None = None
    model: str | None = None
    status_code: int | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost: Decimal | None = None
    error_code: str | None = None
    error_message: str | None = None


def row_of(completion: Completion) -> Row:
    """A completion as a row."""
    redaction = redaction_of(completion)
    answer = Answer() if redaction else completion.answer or Answer()
    usage, error = completion.usage, completion.error or answer.error or redaction
    return Row(
        number=completion.number,
        custom_id=completion.custom_id,
        outcome=completion.outcome.value,
        text=answer.refusal if answer.text is None else answer.text,
        value=_value(answer),
        finish_reason=answer.finish_reason,
        model=answer.model,
        status_code=completion.status_code,
        input_tokens=usage.input if usage else None,
        cached_tokens=usage.cached if usage else None,
        output_tokens=usage.output if usage else None,
        reasoning_tokens=usage.reasoning if usage else None,
        cost=completion.cost,
        error_code=error.code if error else None,
        error_message=error.message if error else None,
    )


def _value(answer: Answer) -> Any:
    if answer.embeddings:
        vectors = [list(vector) for vector in answer.embeddings]
        return vectors[0] if len(vectors) == 1 else vectors
    if answer.moderations:
        return [
            {"flagged": each.flagged, "categories": dict(each.categories)}
            for each in answer.moderations
        ]
    if answer.tool_calls:
        return [
            {"id": call.id, "name": call.name, "arguments": call.value}
            for call in answer.tool_calls
        ]
    value = answer.value
    return value if isinstance(value, dict | list) else None
