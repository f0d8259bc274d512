"""The installed command with its log in PostgreSQL: the same life, on a server."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from tests.cli.conftest import (
    BEGIN_NO_DATABASE,
    Cli,
    Emulator,
    custom_ids,
    finish,
    sentence,
)


@pytest.fixture
def postgres_cli(cli: Cli, postgres_url: str) -> Cli:
    """The command with the database in its environment."""
    cli.environment = {"BATCHTRAIL_DB": postgres_url}
    return cli


def test_whole_life(postgres_cli: Cli, emulator: Emulator, tmp_path: Path) -> None:
    """Submitted on one machine, worked on by another, read on a third: one batch, no file."""
    cli = postgres_cli
    path = cli.write(60, change={7: {"user": "emulator:429:rate_limit_exceeded"}})
    batch = cli.cold("submit", path).out.strip()
    worker = cli.cold("worker", "--until-idle")
    assert (worker.status, worker.stdout) == (0, b""), worker
    result = cli("run", path)
    assert result.status == 3
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert cli("results", batch).stdout == result.stdout
    (summary,) = cli("status", "--json").jsonl
    assert (summary["outcomes"]["succeeded"], summary["outcomes"]["failed"]) == (59, 1)
    assert "ResultsCollected" in cli("history", batch, "--json").out
    assert emulator.applied("create") == emulator.applied("upload") == 1
    assert [each.name for each in tmp_path.iterdir()] == ["in.jsonl"]


def test_two_commands_at_once(postgres_cli: Cli, emulator: Emulator) -> None:
    """Two processes with the same input meet in one batch, and both have its results."""
    path = postgres_cli.write(20)
    processes = [postgres_cli.start("run", path) for _ in range(2)]
    results = [finish(process) for process in processes]
    assert [result.status for result in results] == [0, 0], results
    assert results[0].stdout == results[1].stdout
    assert emulator.applied("create") == 1


@pytest.mark.parametrize("command", BEGIN_NO_DATABASE)
def test_no_database(postgres_cli: Cli, postgres_url: str, command: str) -> None:
    """A mistyped name is told, and nothing is made in what it names."""
    text = sentence(postgres_cli(*command.split()))
    assert text.startswith("there is no batchtrail log in the database ")
    assert text.endswith("; `run` and `submit` begin one")
    assert tables(postgres_url) == []


def test_empty_list(postgres_cli: Cli, postgres_url: str) -> None:
    """No batches: nothing on standard output, and nothing made."""
    listed = postgres_cli("status")
    assert (listed.status, listed.stdout) == (0, b"")
    assert listed.err.startswith("batchtrail: no batches yet: there is no batchtrail log in ")
    assert tables(postgres_url) == []


def tables(url: str) -> list[str]:
    """The tables of ours that a database has."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname=current_schema()"
        )
        return [name for (name,) in found]


def test_password_shows_nowhere(cli: Cli, emulator: Emulator) -> None:
    """Of a server out of reach, the sentence says where it is and no more."""
    cli.write()
    url = "postgresql://me:hidden@127.0.0.1:1/trail"
    text = sentence(cli("run", "in.jsonl", "--db", url), 1)
    assert text.startswith("cannot use the database trail at 127.0.0.1:1: ")
    assert "hidden" not in text
    assert emulator.received() == {}


def test_without_the_extra(tmp_path: Path) -> None:
    """Where psycopg is not installed, the sentence says how to install it."""
    code = (
        "import sys\n"
        "sys.modules['psycopg'] = None\n"
        "sys.argv = ['batchtrail', 'status', '--db', 'postgresql://host/trail']\n"
        "from batchtrail.adapters.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "batchtrail: a postgresql:// database needs psycopg, which is not installed; "
        "install it with: pip install 'batchtrail[postgres]'\n"
    )
