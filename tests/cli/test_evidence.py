"""`verify`, `seal` and `rebuild` as they are typed."""

import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli, Emulator, sentence
from tests.laboratory.forks import Forks


@pytest.fixture(scope="module", name="finished")
def _finished(
    tmp_path_factory: pytest.TempPathFactory, fast_emulator: Emulator, warm: Forks
) -> tuple[Path, str]:
    """A directory with a finished batch, and the batch's id."""
    fast_emulator.begin()
    cli = Cli(tmp_path_factory.mktemp("evidence"), fast_emulator.base_url, warm)
    path = cli.write(5, change={2: {"user": "emulator:400:too_long"}})
    summary = cli("run", path, "--json", "-o", "out.jsonl").json
    return cli.home, summary["id"]


@pytest.fixture(name="home")
def _home(finished: tuple[Path, str], tmp_path: Path, cli: Cli) -> Path:
    """A copy of it, in which the command runs."""
    shutil.copytree(finished[0], tmp_path / "copy")
    cli.home = tmp_path / "copy"
    return cli.home


def query(home: Path, statement: str) -> Any:
    """The first value that a statement gives."""
    with closing(sqlite3.connect(home / "batchtrail.db")) as connection:
        return connection.execute(statement).fetchone()[0]


def change(home: Path, statement: str, *parameters: Any) -> None:
    """Change the database past the command."""
    with closing(sqlite3.connect(home / "batchtrail.db", isolation_level=None)) as connection:
        assert connection.execute(statement, parameters).rowcount


def digest(home: Path) -> str:
    return sha256((home / "batchtrail.db").read_bytes()).hexdigest()


def test_a_good_database(cli: Cli, home: Path) -> None:
    """Nothing differs, the file is not touched, and the seal holds."""
    before, events = digest(home), query(home, "SELECT count(*) FROM events")
    result = cli.cold("verify")
    assert (result.status, result.stderr) == (0, b"")
    assert result.out == f"events: {events}; batches: 1; nothing differs\n"
    assert digest(home) == before
    seal = cli("seal").out.strip()
    assert seal.startswith(f"{events}:")
    assert cli("seal", "--full", "--json").json == {
        "position": events,
        "link": seal.removeprefix(f"{events}:"),
        "seal": seal,
    }
    found = cli("verify", "--against", seal, "--json")
    assert found.status == 0
    assert (found.json["good"], found.json["seal"], found.json["differences"]) == (True, seal, [])


def test_one_flipped_byte(finished: tuple[Path, str], cli: Cli, home: Path) -> None:
    """Both ways of verifying name the event, and say so by their exit status."""
    seal = cli("seal").out.strip()
    position = query(home, "SELECT max(position) FROM events WHERE topic LIKE '%result_applied'")
    body = query(home, f"SELECT body FROM events WHERE position={position}")  # noqa: S608 (a number)
    flipped = bytes([body[0] ^ 1]) + body[1:]
    change(home, "UPDATE events SET body=? WHERE position=?", flipped, position)
    where = f"batch {finished[1]}, event {position}, position {position}"
    line = f"{where}: has a body that is not the one it was recorded with"
    for arguments in (["verify"], ["verify", "--against", seal]):
        result = cli(*arguments)
        assert result.status == 1
        assert result.out.splitlines()[0] == line
        assert result.out.endswith("; batches: 1; differences: 1\n")
    (difference,) = cli("verify", "--json").json["differences"]
    assert difference["batch"] == finished[1]
    assert difference["event"] == difference["position"] == position


def test_a_changed_event_and_its_seal(cli: Cli, home: Path) -> None:
    """The seal names the first event that differs."""
    seal = cli("seal").out.strip()
    change(home, "UPDATE events SET state=state||x'00' WHERE position IN (4, 6)")
    lines = cli("verify", "--against", seal).out.splitlines()
    assert ["position 4: " in lines[0], "position 6: " in lines[1]] == [True, True]
    (broken,) = [line for line in lines if seal in line]
    assert "the first event that differs: " in broken
    assert "event 4, position 4" in broken
    assert cli("seal", "--full").status == 1
    shown = cli("verify", "--limit", "1").out.splitlines()
    assert shown[0] == lines[0]
    assert shown[1].endswith(" more; see --limit")


def test_a_missing_row_is_healed(cli: Cli, home: Path) -> None:
    """Verify names the row, rebuild brings it back."""
    status = cli("status", "--json").out
    change(home, "DELETE FROM completions")
    result = cli("verify")
    assert result.status == 1
    assert "request 3 (" in result.out
    rebuilt = cli.cold("rebuild")
    assert (rebuilt.status, rebuilt.out) == (0, "views rebuilt; batches: 1; requests: 5\n")
    assert rebuilt.err == "batchtrail: rebuilding the views; batches: 1 of 1\n"
    assert cli("verify").status == 0
    assert cli("status", "--json").out == status


def test_a_database_that_no_other_command_opens(cli: Cli, home: Path) -> None:
    """A damaged event behind views that lag stops the others, and is named all the same."""
    change(home, "UPDATE events SET state=x'c1' WHERE position=8")
    change(home, "DELETE FROM view_checkpoint")
    assert cli("status").status == 1
    change(home, "UPDATE view_checkpoint SET position=0")
    result = cli("verify")
    assert result.status == 1
    assert "event 8, position 8: is not what its digest says" in result.out
    rebuilt = cli("rebuild")
    assert (rebuilt.status, rebuilt.out) == (1, "")
    assert "event 8 of batch" in rebuilt.err


def test_a_damaged_batch_is_left(finished: tuple[Path, str], cli: Cli, home: Path) -> None:
    """Who rebuilds is told which batches were not, in words, as JSON and by the status."""
    change(home, "UPDATE events SET state=x'c1' WHERE position=8")
    rebuilt = cli("rebuild")
    assert (rebuilt.status, rebuilt.out.splitlines()) == (
        1,
        [
            "views rebuilt; batches: 0; requests: 0",
            f"batch {finished[1]} is damaged and keeps the rows that it has; see `verify`",
        ],
    )
    rebuilt = cli("rebuild", "--json")
    assert rebuilt.status == 1
    assert rebuilt.json == {"batches": 0, "requests": 0, "damaged": [finished[1]]}


def test_removed_bodies(finished: tuple[Path, str], cli: Cli, home: Path) -> None:
    """They are counted, and named as no event tells of it; nobody takes them for results."""
    change(home, "UPDATE events SET body=NULL")
    result = cli("verify")
    assert result.status == 1
    assert "misses its body, and no event says that it was removed" in result.out
    assert "bodies that are not in this database any more: 6\n" in result.out
    assert cli("status", "--json").status == cli("history", finished[1]).status == 0
    assert "not in this database any more" in sentence(cli("results", finished[1]), 1)
    told = sentence(cli("export", "-o", "log.jsonl"), 1)
    assert "no event says that it was removed; `verify` names" in told


def test_a_log_with_a_gap(finished: tuple[Path, str], cli: Cli, home: Path) -> None:
    """Who needs the events behind it is told, and whom to ask."""
    batch_id = finished[1]
    change(home, "DELETE FROM events WHERE position=4")
    for arguments in (["status", batch_id, "request-3"], ["status", batch_id, "--at", "6"]):
        told = sentence(cli(*arguments), 1)
        assert told == (
            f"event 5 of batch {batch_id} cannot follow what the log has before it; "
            "`batchtrail verify` tells what was changed"
        )


def test_refusals(cli: Cli, home: Path) -> None:
    """One sentence for what is no seal and for what is no database."""
    assert "is no seal" in sentence(cli("verify", "--against", "13:abc"))
    assert "there is no database" in sentence(cli("verify", "--db", "sqlite:///other.db"))
    (home / "notes.txt").write_text("no database\n" * 100)
    assert "is not a database" in sentence(cli("verify", "--db", "sqlite:///notes.txt"))
    assert not (home / "other.db").exists()
    (home / "text.db").write_text("x" * 5_000)
    assert "cannot read" in sentence(cli("verify", "--db", "sqlite:///text.db"))


def test_on_a_server(cli: Cli, postgres_url: str, fast_emulator: Emulator) -> None:
    """The same commands on PostgreSQL."""
    fast_emulator.begin()
    cli.base_url = fast_emulator.base_url
    cli.environment = {"BATCHTRAIL_DB": postgres_url}
    assert "no batchtrail log" in sentence(cli("verify"))
    assert cli("run", cli.write(3)).status == 0
    seal = cli("seal").out.strip()
    assert cli.cold("verify", "--against", seal).status == 0
    assert cli("rebuild").out == "views rebuilt; batches: 1; requests: 3\n"
    assert cli("verify", "--against", f"{seal[:-1]}{'0' if seal[-1] != '0' else '1'}").status == 1
