"""Logs on standard error: a worker's lines, for people or as JSON, and other commands' warnings."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import msgspec

from ...application.texts import storable
from .text import clean, moment_text, sentence

_PACKAGE = "batchtrail"


@contextmanager
def logging_to_stderr(*, as_json: bool, verbose: bool) -> Iterator[None]:
    """Write what is logged to standard error until the end of the block.

    Also by libraries and completion handlers, and as warnings: a program that reads the log
    understands every line.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else PlainLines())
    root, logger = logging.getLogger(), logging.getLogger(_PACKAGE)
    before = logger.level
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        logger.setLevel(before)


@contextmanager
def warnings_to_stderr() -> Iterator[None]:
    """Tell what the package warns of as the other commands speak, until the end of the block."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Sentences())
    logger = logging.getLogger(_PACKAGE)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class Sentences(logging.Formatter):
    """`batchtrail: …`, with what a provider said made harmless."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return sentence(record.getMessage())


class PlainLines(logging.Formatter):
    """`2026-11-23 12:00:00.000Z INFO batch … : …`, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, with what a provider said made harmless; a traceback below it."""
        line = f"{moment_text(_moment(record))} {record.levelname:<7} {clean(record.getMessage())}"
        if record.exc_info:
            traceback = self.formatException(record.exc_info).split("\n")
            line = "\n".join([line, *map(clean, traceback)])
        return line


class JsonLines(logging.Formatter):
    """An object a line: at, level, logger, message, and batch_id and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        fields = {
            "at": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": storable(record.getMessage()),
        }
        batch_id = getattr(record, "batch_id", None)
        if batch_id is not None:
            fields["batch_id"] = batch_id
        if record.exc_info:
            fields["traceback"] = storable(self.formatException(record.exc_info))
        return msgspec.json.encode(fields).decode()


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)
