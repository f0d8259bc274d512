"""Databases of one life each, and their logs as an outsider reads them beside the software."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from attrs import frozen
from tests.postgres_server import new_schema


class Log(Protocol):
    """The database of one life."""

    @property
    def url(self) -> str:
        """What a command is told."""
        ...

    def moment(self) -> str:
        """Where the life of its one batch stands, by its last event; no process is alive."""
        ...

    def open_steps(self) -> Counter[str]:
        """What is left to do for how many batches; others may be writing."""
        ...


NewLog = Callable[[Path], AbstractContextManager[Log]]
"""Makes an empty database for commands in a directory, and forgets it after the block."""

_BEFORE_SUBMITTED = {
    "drafted": "drafted",
    "requests_added": "drafted",
    "submission_started": "uploading",
    "input_uploaded": "uploaded",
    "create_not_done": "uploaded",
    "create_started": "create in flight",
}
MOMENTS = (
    "nothing recorded",
    "drafted",
    "uploading",
    "uploaded",
    "create in flight",
    "submitted",
    "ended",
    "applying",
    "collected",
    "written",
    "over already",
)
"""The phases of a life, in their order; the last two are told from the results and the end."""


def _moment(topic: str | None, next_step: str | None, applied: int) -> str:
    """Name the phase from the last event's topic, the next step and the results so far."""
    if topic is None:
        return MOMENTS[0]
    word = topic.rpartition(".")[2]
    if word in _BEFORE_SUBMITTED:
        return _BEFORE_SUBMITTED[word]
    match next_step:
        case "poll" | "cancellation":
            return "submitted"
        case "collection":
            return "applying" if applied else "ended"
        case _:
            return "collected"


Query = Callable[[str], list[Any]]


def _read_moment(rows: Query, prefix: str = "") -> str:
    events, batches = f"{prefix}events", f"{prefix}batches"
    last = rows(f"SELECT topic FROM {events} ORDER BY originator_version DESC LIMIT 1")
    applied = rows(f"SELECT count(*) FROM {events} WHERE topic LIKE '%result_applied'")
    steps = rows(f"SELECT next_step FROM {batches}")
    return _moment(last[0][0] if last else None, steps[0][0] if steps else None, applied[0][0])


def _read_open_steps(rows: Query, prefix: str = "") -> Counter[str]:
    found = rows(f"SELECT next_step FROM {prefix}batches WHERE next_step IS NOT NULL")
    return Counter(str(step) for (step,) in found)


@frozen
class SqliteLog:
    """A file."""

    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:////{self.path}"

    def moment(self) -> str:
        """Read from a copy: opening the file itself would do the work of whoever opens it next."""
        copy = self.path.with_name("copy.db")
        for ending in ("", "-wal"):
            source = Path(f"{self.path}{ending}")
            if source.exists():
                shutil.copyfile(source, f"{copy}{ending}")
        try:
            with _reading(copy) as rows:
                made = rows("SELECT 1 FROM sqlite_master WHERE name IN ('events', 'batches')")
                return _read_moment(rows) if len(made) == 2 else MOMENTS[0]
        finally:
            for file in copy.parent.glob(f"{copy.name}*"):
                file.unlink()

    def open_steps(self) -> Counter[str]:
        with _reading(self.path) as rows:
            return _read_open_steps(rows)


@contextmanager
def _reading(path: Path) -> Iterator[Query]:
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        yield lambda text: connection.execute(text).fetchall()


@frozen
class PostgresLog:
    """A schema of a server."""

    url: str

    def moment(self) -> str:
        with _asking(self.url) as rows:
            made = rows("SELECT to_regclass('batchtrail_batches') IS NOT NULL")
            return _read_moment(rows, "batchtrail_") if made[0][0] else MOMENTS[0]

    def open_steps(self) -> Counter[str]:
        with _asking(self.url) as rows:
            return _read_open_steps(rows, "batchtrail_")


@contextmanager
def _asking(url: str) -> Iterator[Query]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield lambda text: connection.execute(text.encode()).fetchall()


@contextmanager
def sqlite_log(home: Path) -> Iterator[Log]:
    """Give a file in the directory, which goes with it."""
    yield SqliteLog(home / "batchtrail.db")


def postgres_logs(server_url: str) -> NewLog:
    """Give what makes schemas on a server."""

    @contextmanager
    def postgres_log(_: Path) -> Iterator[Log]:
        with new_schema(server_url) as url:
            yield PostgresLog(url)

    return postgres_log
