"""The log of a worker: one format for everything that is written, whatever it carries."""

import json
import logging
import warnings
from typing import Any

import pytest

from batchtrail.adapters.cli.logs import logging_to_stderr

HOSTILE = "red \x1b[31m and \udcff"


def _write_all() -> None:
    logging.getLogger("batchtrail.worker").info("ours: %s", HOSTILE, extra={"batch_id": "b-1"})
    logging.getLogger("batchtrail.worker").debug("a detail")
    logging.getLogger("shop").info("not for the worker's log")
    logging.getLogger("shop").error("theirs", exc_info=ValueError(HOSTILE))
    warnings.warn("old", FutureWarning, stacklevel=1)


def written(capsys: pytest.CaptureFixture[str], **options: Any) -> list[str]:
    """Log with nobody else listening: pytest could not hand on what is not UTF-8."""
    root = logging.getLogger()
    others, root.handlers = root.handlers, []
    try:
        with warnings.catch_warnings(), logging_to_stderr(**options):
            warnings.simplefilter("always")
            _write_all()
        assert root.handlers == []
    finally:
        root.handlers = others
    return capsys.readouterr().err.splitlines()


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is an object, also those of handlers, of libraries and of Python itself."""
    lines = [json.loads(line) for line in written(capsys, as_json=True, verbose=False)]
    assert [(each["level"], each["logger"]) for each in lines] == [
        ("info", "batchtrail.worker"),
        ("error", "shop"),
        ("warning", "py.warnings"),
    ]
    assert lines[0]["message"] == "ours: red \x1b[31m and \\udcff"
    assert lines[0]["batch_id"] == "b-1"
    assert lines[1]["traceback"].splitlines()[-1] == "ValueError: red \x1b[31m and \\udcff"


def test_plain(capsys: pytest.CaptureFixture[str]) -> None:
    """No word of a provider and no traceback drives the terminal."""
    lines = written(capsys, as_json=False, verbose=True)
    assert lines[0].endswith(r"Z INFO    ours: red \x1b[31m and \udcff")
    assert lines[1].endswith("DEBUG   a detail")
    assert r"ValueError: red \x1b[31m and \udcff" in lines
    assert all(line.isprintable() for line in lines)


def test_nothing_is_left_behind(capsys: pytest.CaptureFixture[str]) -> None:
    """Who logs afterwards is not heard any more."""
    written(capsys, as_json=True, verbose=True)
    assert logging.getLogger("batchtrail").level == logging.NOTSET
    logging.getLogger("batchtrail.worker").info("after")
    assert capsys.readouterr().err == ""
