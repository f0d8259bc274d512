"""Texts for people: sentences of ours, sizes, durations, and foreign words made harmless."""

import codecs
import json
import sys
from datetime import datetime
from io import TextIOWrapper
from typing import TextIO

_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400
_KILO = 1_000
_ESCAPES = "batchtrail.escapes"
"""What Python calls our way with characters that an encoding lacks."""


def clean(text: str) -> str:
    """A text with control characters shown as escapes: a provider must not drive the terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def escaped(text: str, *, keeps: str = "") -> str:
    """A text whose unprintable characters, but those kept, are as JSON writes them in ASCII."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char in keeps else json.dumps(char)[1:-1] for char in text
    )


def escape_unencodable(*streams: TextIO) -> None:
    """Let streams carry every character: one that their encoding lacks, as an escape.

    That of JSON, which so stays JSON, and can be read elsewhere as well.
    """
    codecs.register_error(_ESCAPES, _escape_unencodable)
    for stream in streams:
        if isinstance(stream, TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors=_ESCAPES)


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def sentence(text: str) -> str:
    """A line of ours on standard error: whose it is, and nothing in it that drives a terminal."""
    return f"batchtrail: {clean(text)}"


def say(text: str) -> None:
    """Print a sentence on standard error."""
    print(sentence(text), file=sys.stderr)


def size_text(size: int) -> str:
    """Bytes in decimal units."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < _KILO:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KILO
    return f"{amount:.1f} GB"


def duration_text(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, rest = divmod(whole, _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"


def elapsed_text(seconds: float) -> str:
    """How long after its beginning something was, in one word: the longer ago, the coarser."""
    if abs(seconds) < _HOUR:
        return f"{seconds:+.1f}s"
    sign = "-" if seconds < 0 else "+"
    days, rest = divmod(round(abs(seconds)), _DAY)
    hours, rest = divmod(rest, _HOUR)
    if days:
        return f"{sign}{days}d{hours:02}h{rest // _MINUTE:02}m"
    return f"{sign}{hours}h{rest // _MINUTE:02}m{rest % _MINUTE:02}s"


def moment_text(moment: datetime) -> str:
    """A moment in UTC, to the millisecond."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
