"""How the tokens of an estimate are counted."""

from collections.abc import Callable
from typing import Protocol

_BYTES_PER_TOKEN = 4


class TokenCounter(Protocol):
    """Counts the tokens of texts; `method` says how, for people."""

    @property
    def method(self) -> str:
        """How tokens are counted."""
        ...

    def count(self, texts: tuple[str, ...]) -> int:
        """The tokens of these texts together."""
        ...


CounterOf = Callable[[str | None], TokenCounter]
"""Chooses how to count the tokens of a model."""


class BytesCounter:
    """The usual rule of thumb: right within a third for English, too low for many other scripts."""

    method = "UTF-8 bytes of the prompt texts / 4"

    def count(self, texts: tuple[str, ...]) -> int:
        """The tokens of these texts together, rounded up."""
        size = sum(len(text.encode(errors="replace")) for text in texts)
        return -(-size // _BYTES_PER_TOKEN)


def by_bytes(model: str | None) -> TokenCounter:
    """Count by bytes, whatever the model."""
    del model
    return BytesCounter()
