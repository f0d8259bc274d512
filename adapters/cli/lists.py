"""Options that take several words: repeated, or separated by commas."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ...application.errors import InputError

_T = TypeVar("_T")


def chosen(option: str, texts: Sequence[str], known: Mapping[str, _T], what: str) -> frozenset[_T]:
    """What the words of an option stand for, in upper or lower case; nothing without the option.

    Raises `InputError` for a word that is no `what`, and for an option without any word.
    """
    by_word = {name.lower(): value for name, value in known.items()}
    words = [word.strip() for text in texts for word in text.split(",") if word.strip()]
    advice = f"write some of {', '.join(known)}"
    for word in words:
        if word.lower() not in by_word:
            raise InputError(f"{option} {word!r} is no {what}; {advice}")
    if texts and not words:
        raise InputError(f"{option} names no {what}; {advice}")
    return frozenset(by_word[word.lower()] for word in words)
