"""The report of the how-to page, as a service of somebody else: a script in a folder of its own."""

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from attrs import frozen
from tests.laboratory.forks import Fork, Forks, forking

from batchtrail import BatchSummary, open_trail
from batchtrail.adapters.fake import FakeBatchProvider

PAGE = Path(__file__).parents[2] / "docs/how-to/your-own-projection.md"
_OPTIONS = ("-I", "-W", "error")
_PATIENCE = 60.0


class Calendar:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.present = datetime(2026, 11, 20, 23, tzinfo=UTC)

    def now(self) -> datetime:
        return self.present

    async def sleep(self, seconds: float) -> None:
        self.present += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@frozen
class Service:
    """A script outside this repository, and the database that it reports on."""

    folder: Path
    url: str
    query: Callable[[str], list[tuple[Any, ...]]]
    forks: Forks

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "BATCHTRAIL_DB": self.url}

    def start(self) -> Fork:
        """Start the script in a fork that has imported nothing of ours but the package."""
        return self.forks.start(
            [self.folder / "report.py"],
            cwd=self.folder,
            environment=self._environment,
            patience=_PATIENCE,
        )

    def run(self) -> None:
        """Run it to its end; it has nothing to say."""
        with self.start() as process:
            said = process.communicate(timeout=_PATIENCE)
        assert (process.returncode, *said) == (0, b"", b"")

    def run_cold(self) -> None:
        """Run it as its owner does, with nothing of ours but the installed package."""
        done = subprocess.run(
            [sys.executable, *_OPTIONS, "report.py"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=_PATIENCE,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def report(self) -> dict[tuple[str, str], tuple[int, Decimal]]:
        """Read what it has found: requests and dollars by model and day."""
        rows = self.query("SELECT model, day, requests, usd FROM cost_report")
        return {(model, day): (requests, Decimal(usd)) for model, day, requests, usd in rows}


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with forking(("batchtrail.adapters.postgres", "batchtrail.adapters.sqlite"), *_OPTIONS) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def service(tmp_path: Path, request: pytest.FixtureRequest, forks: Forks) -> Service:
    """Copy the page's script, with the marks for parameters that the database wants."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    code = found[1]
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        code = code.replace("?", "%s")
    else:
        url = f"sqlite:///{tmp_path / 'batches.db'}"
    (tmp_path / "report.py").write_text(code)

    def query(statement: str) -> list[tuple[Any, ...]]:
        if request.param == "postgresql":
            with psycopg.connect(url) as server:
                return server.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(tmp_path / "batches.db")) as connection:
            return connection.execute(statement).fetchall()

    return Service(tmp_path, url, query, forks)


def requests_for(model: str, count: int) -> list[dict[str, Any]]:
    body = {"model": model, "input": "Say hello."}
    line = {"method": "POST", "url": "/v1/responses", "body": body}
    return [{"custom_id": f"{model}-{number}", **line} for number in range(count)]


async def live(url: str, clock: Calendar, lives: Sequence[tuple[str, int]]) -> list[BatchSummary]:
    """Live batches of these models and sizes, one after another."""
    provider = FakeBatchProvider(now=clock.now)
    summaries = []
    async with open_trail(url, provider=provider, clock=clock) as trail:
        for model, count in lives:
            batch_id: UUID = await trail.submit(requests_for(model, count), new=True)
            provider.complete(provider.batch_ids[-1])
            summaries.append(await trail.wait(batch_id))
    return summaries


def test_the_report(service: Service) -> None:
    """Run again and again while batches are lived, it has every request and every cent once."""
    clock = Calendar()
    first = asyncio.run(live(service.url, clock, [("gpt-5-nano", 3), ("gpt-5-mini", 2)]))
    service.run_cold()
    service.run()
    clock.present += timedelta(days=1)
    later = asyncio.run(live(service.url, clock, [("gpt-5-nano", 4)]))
    service.run()
    cost = [summary.totals.cost for summary in (*first, *later)]
    assert all(cost)
    assert service.report() == {
        ("gpt-5-nano", "2026-11-20"): (3, cost[0]),
        ("gpt-5-mini", "2026-11-20"): (2, cost[1]),
        ("gpt-5-nano", "2026-11-21"): (4, cost[2]),
    }


@pytest.mark.parametrize("pause", [0.1, 0.4])
def test_killed_and_run_again(service: Service, pause: float) -> None:
    """Killed at any moment, and beside another one, it ends with each request once."""
    (summary,) = asyncio.run(live(service.url, Calendar(), [("gpt-5-nano", 1_000)]))
    with service.start() as killed, service.start() as other:
        try:
            killed.wait(pause)
        except subprocess.TimeoutExpired:
            killed.send_signal(signal.SIGKILL)
        said = other.communicate(timeout=_PATIENCE)
        assert (other.returncode, *said) == (0, b"", b"")
    service.run()
    assert service.report() == {("gpt-5-nano", "2026-11-20"): (1_000, summary.totals.cost)}
