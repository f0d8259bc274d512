"""JSON of what a caller gives: the same for the same value, and nothing in it replaced."""

import math
from collections.abc import Collection
from typing import Any

import msgspec

_FIELDS = ("__struct_fields__", "__dataclass_fields__")
_PLAIN = frozenset({str, int, bool, type(None)})
_encode = msgspec.json.Encoder().encode


def encoded(value: object) -> bytes:
    """A value as JSON.

    Raises `TypeError`, `ValueError`, `msgspec.MsgspecError` and `RecursionError` for what cannot be
    JSON; so for a set, whose order is another in each process, and for a number that is not finite.
    """
    line = _encode(value)
    _refuse_silent_changes(value)
    return line


def _refuse_silent_changes(value: Any) -> None:
    """Raise for the sets and the numbers that the encoder takes without a word.

    A set becomes an array like a list, and a number that is not finite null like None.
    """
    rest: list[Any] = [value]
    for each in rest:  # which grows meanwhile
        kind = type(each)
        if kind in _PLAIN:
            continue
        if kind is dict:
            rest += each.values()
        elif kind is list:
            # Of the tokens of a text there may be thousands; their kinds are found out at once.
            if not set(map(type, each)) <= _PLAIN:
                rest += each
        else:
            rest += _parts(each)


def _parts(value: Any) -> Collection[Any]:
    """What is within a value of a less usual kind. Raises for one to refuse."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"JSON has no number {value}; give a finite one, or leave it out")
        return ()
    if isinstance(value, set | frozenset):
        raise TypeError("a set has no order that lasts; give a list")
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, list | tuple):
        return value
    if attributes := getattr(value, "__attrs_attrs__", ()):
        return [getattr(value, attribute.name, None) for attribute in attributes]
    for fields in _FIELDS:
        if names := getattr(value, fields, ()):
            return [getattr(value, name, None) for name in names]
    return ()
