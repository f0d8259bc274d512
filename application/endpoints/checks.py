"""What the builders refuse, in one sentence that names the field."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Attribute

from ...domain.checks import is_real
from ...domain.errors import RequestRefusedError
from ..ports import MOST_INPUTS_PER_REQUEST

_HOTTEST = 2
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def refused(field: str, problem: str) -> RequestRefusedError:
    """The error for a field that no provider would take."""
    return RequestRefusedError(problem, field=field)


def given(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no text, and a blank one."""
    if not isinstance(value, str) or not value.strip():
        raise refused(attribute.name, "is missing or blank; give a text")


def given_or_none(instance: object, attribute: "Attribute[Any]", value: object) -> None:
    """As `given`, for a field that may be left out."""
    if value is not None:
        given(instance, attribute, value)


def positive(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no whole number from 1."""
    if value is not None and (type(value) is not int or value < 1):
        raise refused(attribute.name, f"is {value!r}; give a whole number from 1")


def temperature(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no number from 0 to 2, the range of OpenAI's API reference."""
    if value is not None and not (is_real(value) and 0 <= value <= _HOTTEST):
        raise refused(attribute.name, f"is {value!r}; give a number from 0 to {_HOTTEST}")


def content(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse an empty text, an empty sequence, and what is neither."""
    if not isinstance(value, str | Sequence) or isinstance(value, bytes):
        kind = type(value).__name__
        raise refused(attribute.name, f"is {kind}; give a text or a sequence")
    if not value:
        raise refused(attribute.name, "is empty")


def texts_or_tokens(instance: object, attribute: "Attribute[Any]", value: Any) -> None:
    """Refuse what is neither a text, texts, token numbers, nor several sequences of those."""
    content(instance, attribute, value)
    if isinstance(value, str) or _are_texts(value) or _are_tokens(value):
        return
    if not all(isinstance(each, Sequence) and _are_tokens(each) for each in value):
        raise refused(
            attribute.name,
            "holds what is no text, or an empty one; give texts, or sequences of token numbers",
        )


def several(_: object, attribute: "Attribute[Any]", value: Sequence[Any]) -> None:
    """Refuse more texts, or sequences of token numbers, than OpenAI takes in one request."""
    if isinstance(value, str) or isinstance(value[0], int):
        return
    if len(value) > MOST_INPUTS_PER_REQUEST:
        problem = f"holds {len(value):,} inputs; give at most {MOST_INPUTS_PER_REQUEST:,}"
        raise refused(attribute.name, problem)


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(each, str) and each for each in values)


def _are_tokens(values: Sequence[Any]) -> bool:
    # By their types at once: there may be thousands of them in each of very many requests.
    return set(map(type, values)) == {int} and min(values) >= 0


def text_of(part: str) -> Callable[[object, "Attribute[Any]", object], None]:
    """A validator of a text, which may be empty, in a part of a request."""

    def validate(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, str):
            kind = type(value).__name__
            raise refused(f"{part}.{attribute.name}", f"is {kind}; give a text")

    return validate


def name_of(part: str) -> Callable[[object, "Attribute[Any]", object], None]:
    """A validator of the name of a part of a request, such as a tool."""

    def validate(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            problem = f"is {value!r}; use 1 to 64 letters, digits, underscores and dashes"
            raise refused(f"{part}.{attribute.name}", problem)

    return validate


def mapping(_: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no mapping from names."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise refused(attribute.name, "must be a mapping from parameter names to values")
