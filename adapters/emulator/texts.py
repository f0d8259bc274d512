"""The words of an answer: an echo of the question and seeded filler."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from .structured import example

_SENTENCES: Final = (
    "The emulator read the request and no model was asked.",
    "A real answer would weigh the question at this point.",
    "Three things matter here: the context, the constraint and the cost.",
    "The first step is to name what is known and what is assumed.",
    "Most of the detail depends on how the result will be used.",
    "A short example makes the trade-off easier to see.",
    "The common case is simple and the exceptions are few.",
    "It helps to measure before changing anything.",
    "Small and regular batches are easier to check than large ones.",
    "In summary, the plain approach is usually good enough.",
    "Further reading would start with the primary sources.",
    "If the input changes, the same reasoning still applies.",
)
_PROSE: Final = " ".join(_SENTENCES) + " "
_ECHOED_WORDS: Final = 16
_ECHOED_CHARACTERS: Final = 160


def texts(value: Any) -> Iterator[str]:
    """Yield every text in messages, input items or content parts, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        yield from texts(value.get("content", value.get("text")))


def token_count(characters: int) -> int:
    """Return a plausible number of tokens for that much text."""
    return max(1, characters // 4)


def answer_text(question: str, seed: int, size: int | None) -> str:
    """Return the answer to a question; `size` is its length in bytes, None a few sentences."""
    echo = f'You asked: "{_gist(question)}" '
    if size is None:
        count = 2 + seed % 3
        return echo + " ".join(_SENTENCES[(seed + 5 * n) % len(_SENTENCES)] for n in range(count))
    room = size - len(echo.encode(errors="replace"))
    return _filler(size, seed) if room < 0 else echo + _filler(room, seed)


def structured_text(schema: Any, question: str, seed: int) -> str:
    """Return a JSON document that fits the schema; without one, any object.

    Raises `SchemaError`.
    """
    words = _gist(question)
    return json.dumps({"answer": words} if schema is None else example(schema, words, seed))


def _gist(question: str) -> str:
    return " ".join(question[:_ECHOED_CHARACTERS].split()[:_ECHOED_WORDS])


@lru_cache(maxsize=64)
def _filler_source(size: int) -> str:
    return _PROSE * (size // len(_PROSE) + 2)


def _filler(size: int, seed: int) -> str:
    """Return that many ASCII characters of prose."""
    rounded = -(-size // 1024) * 1024
    start = seed % len(_PROSE)
    return _filler_source(rounded)[start : start + size]
