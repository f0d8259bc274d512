"""`status --at`: what was printed live at a moment is printed again, from the events alone."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import frozen
from tests.cli.conftest import Cli, Emulator, Result, emulating, sentence
from tests.laboratory.forks import Forks

Printed = dict[tuple[str, ...], bytes]


@frozen
class Seen:
    """What commands printed live, at which moment."""

    moment: str
    printed: Printed

    @property
    def version(self) -> int:
        """The number of the batch's last event."""
        (summary,) = (out for words, out in self.printed.items() if words[2:] == ("--json",))
        number: int = json.loads(summary)["version"]
        return number


def look(cli: Cli, *commands: tuple[str, ...]) -> Seen:
    """Let commands print a state, and then note the moment."""
    printed = {words: cli(*words) for words in commands}
    assert [result.status for result in printed.values()] == [0] * len(commands)
    moment = datetime.now(UTC).isoformat()
    return Seen(moment, {words: result.stdout for words, result in printed.items()})


@pytest.fixture(scope="module")
def lasting(warm: Forks) -> Iterator[Emulator]:
    """Give an emulator whose batches take a minute, so that each look shows more of them done."""
    with emulating("--validating", "0.05", "--in-progress", "60", warm=warm) as emulator:
        yield emulator


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("store", "moments"), [("sqlite", 20), ("postgresql", 8)])
def test_moments_of_a_life(
    cli: Cli,
    lasting: Emulator,
    store: str,
    moments: int,
    request: pytest.FixtureRequest,
) -> None:
    """Moments of a life come back as they were printed, by moment and by event."""
    cli.base_url = lasting.base_url
    if store == "postgresql":
        cli.environment = {"BATCHTRAIL_DB": request.getfixturevalue("postgres_url")}
    path = cli.write(500, change={2: {"user": "emulator:429:rate_limit_exceeded"}})
    custom_id = json.loads(path.read_bytes().splitlines()[1])["custom_id"]
    batch = cli("submit", path, "--why", "because", "--metadata", "a=b").out.strip()
    whole = ("status", batch), ("status", batch, "--json")
    others = ("status", batch, custom_id, "--json"), ("status", "--json")
    refresh: list[str | Path] = ["status", batch, "--refresh"]
    steps = [refresh] * (moments - 5)
    steps += [["cancel", batch], refresh, ["run", path], ["retry", batch, "--only", "canceled"]]
    steps += [["submit", path, "--new"]]
    seen = []
    for number, step in enumerate(steps):
        assert cli(*step).status in {0, 3}
        seen.append(look(cli, *whole, *(others if number % 6 == 1 else ())))
    assert len(seen) == moments
    assert len({each.version for each in seen}) > moments // 2
    if store == "sqlite":
        spoil_snapshots(cli.home / "batchtrail.db")
    for each in seen:
        for words, before in each.printed.items():
            assert cli(*words, "--at", each.moment).stdout == before
    at_event = cli("status", batch, "--at", str(seen[2].version))
    assert at_event.stdout == seen[2].printed[whole[0]]
    as_of = f"as of event {seen[2].version} of {seen[-1].version}, recorded at "
    assert as_of in at_event.err


def spoil_snapshots(database: Path) -> None:
    """Leave what no replay can have been read from."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE snapshots SET state=x'00'")
        connection.commit()


@pytest.fixture
def batch(cli: Cli) -> str:
    """A batch that was submitted."""
    return cli("submit", cli.write()).out.strip()


def test_refusals(cli: Cli, batch: str, emulator: Emulator) -> None:
    """What cannot be seen is refused in one sentence, without a call."""
    before = emulator.received()

    def refused(*words: str) -> str:
        return sentence(cli("status", *words))

    assert refused(batch, "--at", "noon").startswith("--at 'noon' is no moment; write it as")
    last = cli("status", batch, "--json").json["version"]
    text = refused(batch, "--at", "99")
    assert text == f"batch {batch} has no event 99 yet; its last one is {last}"
    assert refused(batch, "--at", "0").startswith("there is no event 0")
    assert f"batch {batch} began at " in refused(batch, "--at", "3d")
    assert "leave one out" in refused(batch, "--at", "1", "--refresh")
    assert "not for one of its requests" in refused(batch, "a", "--refresh")
    assert "needs the batch" in refused("--at", "7")
    text = refused(batch, "nobody")
    assert text == f"batch {batch} has no request with the custom_id 'nobody'"
    assert emulator.received() == before


def test_an_empty_past(cli: Cli, batch: str) -> None:
    """Before the first batch there were none; in a moment to come there are those of now."""
    assert cli("status", "--at", "1d", "--json").stdout == b""
    now = cli("status", "--json").stdout
    assert batch.encode() in now
    assert cli("status", "--at", "9999-12-31T23:59:59.999999Z", "--json").stdout == now


def test_one_request(cli: Cli) -> None:
    """A request tells what was asked, what came of it and what it cost, in text and as JSON."""
    path = cli.write(3, change={2: {"user": "emulator:400:too_long"}})
    good, bad = (json.loads(line)["custom_id"] for line in path.read_bytes().splitlines()[:2])
    summary = cli("run", path, "--json", "-o", "out.jsonl").json
    batch = summary["id"]
    lines = (cli.home / "out.jsonl").read_text().splitlines()

    found = cli("status", batch, good, "--json").json
    assert (found["outcome"], found["number"], found["status_code"]) == ("succeeded", 1, 200)
    assert found["request"] == path.read_text().splitlines()[0]
    assert found["result"] == lines[0]
    assert found["text"]
    assert float(found["cost_usd"]) > 0

    shown = dict(_facts(cli("status", batch, bad)))
    assert shown["request"] == f"{bad}, number 2 of 3"
    assert shown["outcome"] == "failed (HTTP 400)"
    assert shown["error"].startswith("too_long: ")
    assert shown["asked"] == path.read_text().splitlines()[1]


def _facts(result: Result) -> list[tuple[str, str]]:
    assert result.status == 0, result
    return [(line[:10].strip(), line[11:]) for line in result.out.splitlines()]


def test_long_bodies(cli: Cli) -> None:
    """People see the beginning of a long body, programs all of it; nothing drives a terminal."""
    text = "x" * 1_000 + "\x1b[31m"
    path = cli.write(1, change={1: {"input": text}})
    batch = cli("submit", path).out.strip()
    custom_id = json.loads(path.read_bytes())["custom_id"]
    shown = cli("status", batch, custom_id)
    assert f"… ({len(path.read_bytes()) / 1_000 - 0.0005:.1f} kB; --json shows all)" in shown.out
    asked = cli("status", batch, custom_id, "--json").json["request"]
    assert json.loads(asked)["body"]["input"] == text
    assert b"\x1b" not in shown.stdout
