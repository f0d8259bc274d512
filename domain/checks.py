"""What a caller gives, looked at before it becomes a part of the log.

The log is only ever added to: what can be written but not be read again stays in it, and in the
way of everybody who reads it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeGuard, cast

from attrs import Attribute

from .errors import InputError

_MOST = 2**31 - 1
"""What the databases take for a whole number."""

MOST_POSITION = 2**63 - 1
"""Of an event in the log of all batches, which has one for each request."""

_LONGEST = 365 * 86_400.0
"""Seconds. Nobody means to wait longer."""


def check_type(name: str, value: object, kind: type, wanted: str) -> None:
    """Raise `InputError` for a value that is not of a type; `wanted` says it in words."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is of the type {type(value).__name__}; give {wanted}")


def check_text(name: str, value: object) -> None:
    """Raise `InputError` for what is no text, or none that can be stored."""
    # Of the subclasses only those of enums can be stored.
    if not isinstance(value, str) or not (type(value) is str or isinstance(value, Enum)):
        raise InputError(f"{name} is of the type {type(value).__name__}; give a text (str)")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} holds half of a surrogate pair, which cannot be stored") from None


def check_moment(name: str, value: object) -> None:
    """Raise `InputError` for what is no moment: without a zone it may be any of many."""
    check_type(name, value, datetime, "a datetime")
    if cast("datetime", value).utcoffset() is None:
        raise InputError(
            f"{name} is {value}, which has no time zone, so it is no moment; "
            "give one, such as datetime.UTC"
        )


def check_number(name: str, value: object, *, least: int = 1, most: int = _MOST) -> None:
    """Raise `InputError` for what is no whole number from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise InputError(f"{name} is {value!r}; give a whole number from {least} to {most:,}")


def check_wait(name: str, seconds: object, shown: object = None) -> None:
    """Raise `InputError` for what is no time to wait, in seconds; 0 is one.

    `shown` is how the value was written, where that was as a text.
    """
    if not is_real(seconds) or not 0 <= seconds <= _LONGEST:
        raise InputError(
            f"{name} is {shown or seconds!r}; write a number of seconds, at most a year, "
            "for example 120"
        )


def check_seconds(name: str, seconds: object, shown: object = None) -> None:
    """Raise `InputError` for what is no time that passes; `shown` as above."""
    check_wait(name, seconds, shown)
    if seconds == 0:
        raise InputError(f"{name} is {shown or seconds!r}; write a number of seconds above 0")


def check_schedule(name: str, schedule: object, shown: object = None) -> None:
    """Raise `InputError` for what are no times between polls; `shown` as above."""
    shown = shown or schedule
    if not isinstance(schedule, tuple) or not schedule:
        raise InputError(f"{name} is {shown!r}; give a tuple of seconds, for example (60.0, 120.0)")
    for seconds in cast("tuple[object, ...]", schedule):
        check_wait(name, seconds, shown)
    if not all(schedule):
        raise InputError(f"{name} is {shown!r}; write seconds above 0, for example 60,120,300")


def is_real(value: object) -> TypeGuard[float]:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def own_tuple(value: Any) -> Any:
    """A list of a caller's as it is now; what is no list is left to the validator."""
    return tuple(value) if isinstance(value, list) else value


def own_copy(value: Any) -> Any:
    """A mapping of a caller's as it is now, whatever he does with it later."""
    return dict(value) if isinstance(value, Mapping) else value


def is_text(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that is a text."""
    check_text(field.name, value)


def is_texts(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that gives texts for texts."""
    check_type(field.name, value, Mapping, "a mapping")
    for key, each in cast("Mapping[object, object]", value).items():
        check_text(f"a key of {field.name}, {key!r},", key)
        check_text(f"{field.name}[{key!r}]", each)


def is_moment(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that is a moment."""
    check_moment(field.name, value)


def is_number(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that counts from 1."""
    check_number(field.name, value)


def is_wait(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that is a time to wait, in seconds; 0 is one."""
    check_wait(field.name, value)


def is_seconds(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that is a time above 0, in seconds."""
    check_seconds(field.name, value)


def is_schedule(_: object, field: "Attribute[Any]", value: object) -> None:
    """Validate a field that is the times between polls, in seconds."""
    check_schedule(field.name, value)


def is_a(kind: type, wanted: str) -> Callable[[object, "Attribute[Any]", object], None]:
    """A validator of a field that is of a type; `wanted` says it in words."""

    def validate(_: object, field: "Attribute[Any]", value: object) -> None:
        check_type(field.name, value, kind, wanted)

    return validate
