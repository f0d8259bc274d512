"""The log of a worker on standard error: lines for people, or a JSON object a line."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from .text import clean, moment_text

_ROOT = "batchtrail"


@contextmanager
def logging_to_stderr(*, as_json: bool, verbose: bool) -> Iterator[None]:
    """Write what the package logs to standard error until the end of the block."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else PlainLines())
    logger = logging.getLogger(_ROOT)
    before = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


class PlainLines(logging.Formatter):
    """`2026-11-23 12:00:00.000Z INFO batch … : …`, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, with what a provider said made harmless; a traceback below it."""
        line = f"{moment_text(_moment(record))} {record.levelname:<7} {clean(record.getMessage())}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """An object a line: at, level, logger, message, and batch_id and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        fields = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        batch_id = getattr(record, "batch_id", None)
        if batch_id is not None:
            fields["batch_id"] = batch_id
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(fields).decode()


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
