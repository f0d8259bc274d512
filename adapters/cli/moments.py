"""Moments as people write them: a date and time, or how long ago."""

import re
from datetime import UTC, datetime, timedelta

from ...application.errors import InputError

_AGO = re.compile(r"(\d+(?:\.\d+)?) ?([smhdw])(?: ago)?")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_TO_THE_MILLISECOND = re.compile(r"[.,]\d{3}(?!\d)")
_REST_OF_MILLISECOND = timedelta(microseconds=999)


def parse_moment(text: str, now: datetime, option: str, *, end: bool = False) -> datetime:
    """A moment in ISO 8601, where UTC is meant without a zone, or as `2h` or `3d` before now.

    The `end` of one that is written to the millisecond, as we print them, is that of the
    millisecond, so that what was printed with this time has happened by then. Raises
    `InputError` naming the option.
    """
    text = text.strip()
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(seconds=float(ago[1]) * _SECONDS[ago[2]])
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        if end and _TO_THE_MILLISECOND.search(text):
            moment += _REST_OF_MILLISECOND
        return moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InputError(
            f"{option} {text!r} is no moment; write it as 2026-11-20T03:12Z (without a zone, UTC "
            "is meant), or how long ago, as 30s, 10m, 2h, 3d or 1w"
        ) from None


def parse_at(text: str, now: datetime) -> datetime | int:
    """The moment, or the number of an event, that `--at` names. Raises `InputError`."""
    if text.isascii() and text.isdigit():
        return int(text)
    return parse_moment(text, now, "--at", end=True)
