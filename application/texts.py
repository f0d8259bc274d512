"""Texts from elsewhere, made such that they can be stored and written."""

import re
from collections.abc import Iterator, Mapping
from typing import cast

_HALF = re.compile("[\ud800-\udfff]")


def storable(text: str) -> str:
    """A text with the halves of surrogate pairs, which no encoding can store, as escapes."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def halves(value: object, field: str = "") -> Iterator[tuple[str, str]]:
    """Where in JSON half of a surrogate pair stands: the field, and the half as an escape."""
    match value:
        case str():
            yield from ((field, storable(half)) for half in _HALF.findall(value))
        case Mapping():
            for name, each in cast("Mapping[object, object]", value).items():
                inner = storable(f"{field}.{name}" if field else f"{name}")
                yield from halves(name, inner)
                yield from halves(each, inner)
        case list() | tuple():
            for number, each in enumerate(cast("list[object]", value)):
                yield from halves(each, f"{field}[{number}]")
        case _:
            pass
