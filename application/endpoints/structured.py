"""JSON that a model wrote, as values of the user's own classes."""

import json
from typing import Any, TypeVar

import msgspec

from ..errors import AnswerMismatchError

T = TypeVar("T")


def is_pydantic(cls: object) -> bool:
    """Whether a class is a model of pydantic 2, which is never imported here."""
    return isinstance(cls, type) and hasattr(cls, "model_json_schema")


def decoded(text: str | None) -> Any:
    """The JSON value that a text is; None when it is none."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


def decoded_as(text: str, cls: type[T]) -> T:
    """A text as a value of an attrs, dataclass, msgspec or pydantic class.

    Raises `AnswerMismatchError` when it is not JSON, or not what the class asks for.
    """
    try:
        if is_pydantic(cls):
            model: Any = cls
            value: T = model.model_validate_json(text)
            return value
        return msgspec.json.decode(text, type=cls)
    except (ValueError, TypeError, RecursionError) as error:  # msgspec's and pydantic's are these
        name = getattr(cls, "__name__", str(cls))
        raise AnswerMismatchError(f"the answer is no {name}: {error}") from error
