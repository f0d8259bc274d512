"""Moments as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from batchtrail.adapters.cli.moments import parse_at, parse_moment
from batchtrail.adapters.cli.text import elapsed_text, moment_text
from batchtrail.application.errors import InputError

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T03:12Z", datetime(2026, 11, 20, 3, 12, tzinfo=UTC)),
        ("2026-11-20T03:12", datetime(2026, 11, 20, 3, 12, tzinfo=UTC)),
        ("2026-11-20 03:12:05.25", datetime(2026, 11, 20, 3, 12, 5, 250_000, tzinfo=UTC)),
        ("2026-11-20T03:12+02:00", datetime(2026, 11, 20, 1, 12, tzinfo=UTC)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (" 2h ", NOW - timedelta(hours=2)),
        ("1.5h", NOW - timedelta(minutes=90)),
        ("90s", NOW - timedelta(seconds=90)),
        ("10m ago", NOW - timedelta(minutes=10)),
        ("3d", NOW - 3 * DAY),
        ("2 w", NOW - 14 * DAY),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    """ISO 8601 with a zone or in UTC, or how long ago."""
    found = parse_moment(text, NOW, "--since")
    assert (found, found.tzinfo) == (moment, UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2h3m", "-2h", "h", "2026-13-01", "17", "9" * 30 + "d", "25:00"]
)
def test_no_moments(text: str) -> None:
    """Anything else is refused with the option's name and the ways to write it."""
    with pytest.raises(InputError, match=r"--until .* is no moment; write it as 2026-11-20T03:12Z"):
        parse_moment(text, NOW, "--until")


def test_what_was_printed_has_happened() -> None:
    """A moment as `history` prints it includes the event that was printed with it."""
    recorded = datetime(2026, 11, 20, 3, 12, 5, 123_456, tzinfo=UTC)
    assert parse_at(moment_text(recorded), NOW) == recorded.replace(microsecond=123_999)
    assert parse_moment(moment_text(recorded), NOW, "--since") < recorded
    assert parse_at(recorded.isoformat(), NOW) == recorded
    assert parse_at("2026-11-20T03:12:05Z", NOW) == recorded.replace(microsecond=0)


def test_numbers_are_events() -> None:
    """`--at 17` is the event of that number."""
    assert parse_at("17", NOW) == 17
    assert parse_at("2h", NOW) == NOW - timedelta(hours=2)
    with pytest.raises(InputError, match="is no moment"):
        parse_at("²", NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "+0.0s"),
        (-2.25, "-2.2s"),
        (3_599, "+3599.0s"),
        (3_600, "+1h00m00s"),
        (-3_661, "-1h01m01s"),
        (86_399.6, "+1d00h00m"),
        (200_000, "+2d07h33m"),
    ],
)
def test_elapsed(seconds: float, text: str) -> None:
    """How long after the beginning, as one word."""
    assert elapsed_text(seconds) == text
