"""Commands that only read: one finished batch, looked at from all sides."""

import csv
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from pyarrow import parquet  # type: ignore[import-untyped]
from tests.cli.conftest import BEGIN_NO_DATABASE, Cli, Emulator, custom_ids, sentence
from tests.laboratory.commands import COMMAND
from tests.laboratory.forks import Forks

COMMANDS = {
    "run": ("--output", "--new", "--why", "--metadata", "--db", "--base-url", "--json"),
    "submit": ("--new", "--why", "--metadata", "--db", "--base-url", "--json"),
    "status": ("--at", "--refresh", "--limit", "--db", "--base-url", "--json"),
    "results": ("--output", "--format", "--only", "--db", "--base-url"),
    "estimate": ("--db", "--base-url", "--json"),
    "worker": ("--until-idle", "--parallel", "--log-json", "--db", "--base-url"),
    "retry": ("--only", "--new", "--db", "--base-url", "--json"),
    "collect": ("--as-is", "--db", "--base-url", "--json"),
    "cancel": ("--db", "--base-url", "--json"),
    "history": (
        "--all",
        "--event",
        "--without",
        "--since",
        "--until",
        "--follow",
        "--db",
        "--json",
    ),
    "verify": ("--against", "--limit", "--db", "--json"),
    "seal": ("--full", "--db", "--json"),
    "rebuild": ("--db", "--json"),
    "emulator": ("--port", "--host", "--data-dir", "--fault", "--fail-every", "--in-progress"),
}
SETTINGS = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
UNKNOWN = "00000000-0000-5000-8000-000000000000"


@frozen
class Finished:
    """A batch that is over, and the command in its directory."""

    cli: Cli
    summary: Any
    results: bytes

    @property
    def id(self) -> str:
        """The batch id."""
        batch_id: str = self.summary["id"]
        return batch_id


@pytest.fixture(scope="module")
def _finished(
    tmp_path_factory: pytest.TempPathFactory, fast_emulator: Emulator, warm: Forks
) -> Finished:
    fast_emulator.begin()
    cli = Cli(tmp_path_factory.mktemp("finished"), fast_emulator.base_url, warm)
    path = cli.write(5, change={2: {"user": "emulator:400:too_long"}})
    summary = cli("run", path, "--json", "-o", "out.jsonl", "--why", "for the tests").json
    return Finished(cli, summary, (cli.home / "out.jsonl").read_bytes())


@pytest.fixture
def finished(_finished: Finished, emulator: Emulator) -> Iterator[Finished]:
    """A batch that is over; whoever looks at it must not call the provider."""
    yield _finished
    assert emulator.received() == {}


def test_list(finished: Finished) -> None:
    """The list has a line for each batch, the same as JSON, and needs no key."""
    listed = finished.cli("status", OPENAI_API_KEY=None)
    assert (listed.status, listed.stderr) == (0, b"")
    assert re.fullmatch(
        rf"{finished.id}  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}}Z  ended +requests: +5  "
        r"4 succeeded, 1 failed  for the tests\n",
        listed.out,
    )
    assert finished.cli("status", "--json", OPENAI_API_KEY=None).jsonl == [finished.summary]


def test_empty_list(cli: Cli) -> None:
    """No batches: nothing on standard output, so that a program reads an empty list."""
    listed = cli("status")
    assert (listed.status, listed.stdout) == (0, b"")
    assert listed.err == (
        "batchtrail: no batches yet: there is no database batchtrail.db; "
        "`run` and `submit` make one\n"
    )
    assert (cli("status", "--json").stdout, cli("status", "--json").stderr) == (b"", b"")
    assert not (cli.home / "batchtrail.db").exists()


def test_a_name_that_would_drive_the_terminal(cli: Cli) -> None:
    """Whatever a sentence repeats, it is made harmless."""
    listed = cli("status", "--db", "sqlite:///\x1b[31mred.db")
    assert listed.err == (
        "batchtrail: no batches yet: there is no database \\x1b[31mred.db; "
        "`run` and `submit` make one\n"
    )


def test_a_list_beyond_any_number(cli: Cli) -> None:
    """A number that no database takes is bad usage."""
    result = cli("status", "--limit", "9" * 20)
    assert result.status == 2
    assert "Invalid value for '--limit'" in result.err


@pytest.mark.parametrize("command", BEGIN_NO_DATABASE)
def test_no_database(cli: Cli, command: str) -> None:
    """A mistyped name is told, and does not become an empty database."""
    done = cli(*command.split(), "--db", "sqlite:///mistyped.db")
    assert (done.status, done.stdout) == (2, b"")
    expected = "batchtrail: there is no database mistyped.db; `run` and `submit` make one\n"
    assert done.err == expected
    assert not (cli.home / "mistyped.db").exists()


def test_one_status(finished: Finished) -> None:
    """One batch, found by the beginning of its id in either case, with all its facts."""
    shown = finished.cli("status", finished.id[:6].upper(), OPENAI_API_KEY=None)
    assert shown.status == 0
    facts = (
        finished.id,
        "ended (the provider says completed)",
        finished.summary["provider_batch_id"],
        "/v1/responses",
        "gpt-5-nano",
        "4 succeeded, 1 failed",
        "for the tests",
        "4 completed, 1 failed of 5",
    )
    assert [fact for fact in facts if fact not in shown.out] == []
    assert finished.cli("status", finished.id, "--json").json == finished.summary


def test_refresh_after_the_end(finished: Finished) -> None:
    """There is nothing more to ask about a batch that is over."""
    assert finished.cli("status", "--refresh", finished.id, "--json").json == finished.summary


def test_results(finished: Finished) -> None:
    """Results come again from the log alone, to a file or to standard output, without a key."""
    printed = finished.cli("results", finished.id[:8], OPENAI_API_KEY=None)
    assert (printed.status, printed.stdout, printed.err) == (3, finished.results, "")
    again = finished.cli.home / "again.jsonl"
    written = finished.cli("results", finished.id, "-o", again, OPENAI_API_KEY=None)
    assert (written.status, written.stdout) == (3, b"")
    assert f"ended: 4 succeeded, 1 failed -> {again}\n" in written.err
    assert again.read_bytes() == finished.results
    told = sentence(finished.cli("results", finished.id, "-o", "batchtrail.db"))
    assert told == "the output path batchtrail.db is the database; name another file"


def test_history(finished: Finished) -> None:
    """Times, what happened in order, request ids; results as one line unless all are asked for."""
    shown = finished.cli("history", finished.id, OPENAI_API_KEY=None)
    assert shown.status == 0
    names = [line.split()[4] for line in shown.out.splitlines()]
    assert names[:7] == [
        "Drafted",
        "RequestsAdded",
        "SubmissionStarted",
        "UploadStarted",
        "InputUploaded",
        "CreateStarted",
        "Submitted",
    ]
    assert names[-1] == "ResultsCollected"
    assert "results: 5; `--all` shows each" in shown.out
    assert " by cli:" in shown.out
    assert re.search(r"InputUploaded .*; request id req_[0-9a-f]{32}; by cli:", shown.out)
    assert re.search(r"Submitted .*; request id req_[0-9a-f]{32}; by cli:", shown.out)
    every = finished.cli("history", finished.id, "--all").out
    assert len(re.findall(" ResultApplied ", every)) == 5
    assert [each for each in custom_ids(finished.results) if each not in every] == []


def test_history_json(finished: Finished) -> None:
    """Every event as JSON: numbered, in time, with its actor and request id, without bodies."""
    events = finished.cli("history", finished.id, "--json", OPENAI_API_KEY=None).jsonl
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))
    times = [datetime.fromisoformat(event["at"]) for event in events]
    assert times == sorted(times)
    assert all(event["actor"].startswith("cli:") for event in events)
    assert all(event["topic"].startswith("batchtrail.batch.") for event in events)
    calls = [event for event in events if event["event"] in {"InputUploaded", "Submitted"}]
    assert all(event["request_id"].startswith("req_") for event in calls)
    assert [event["event"] for event in events].count("ResultApplied") == 5
    assert "Say hello" not in json.dumps(events)


def test_cancel_after_the_end(finished: Finished) -> None:
    """A cancellation after the end is refused in one sentence."""
    text = sentence(finished.cli("cancel", finished.id))
    assert text == f"batch {finished.id} is ended already; a cancellation is too late"


@pytest.mark.parametrize("command", ["status", "results", "cancel", "history"])
@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (UNKNOWN, f"no batch has an id that begins with {UNKNOWN}"),
        ("xyz", "'xyz' is no batch id; `status` lists the batches"),
        ("", "'' is no batch id; `status` lists the batches"),
        ("in.jsonl", "'in.jsonl' is no batch id; `status` lists the batches"),
    ],
)
def test_unknown_batch(finished: Finished, command: str, batch: str, words: str) -> None:
    """An id that names no batch is refused, and the way to the right one is shown."""
    assert sentence(finished.cli(command, batch)) == words


def test_ambiguous_prefix(cli: Cli) -> None:
    """A beginning that several ids share is refused."""
    path = cli.write(1)
    ids: list[str] = []
    while len({each[0] for each in ids}) == len(ids):
        ids.append(cli("submit", path, "--new").out.strip())
    text = sentence(cli("status", ids[-1][0]))
    assert text == f"more than one batch has an id that begins with {ids[-1][0]}"


@pytest.mark.parametrize(
    "tables",
    [("batches", "request_ids", "completions", "view_checkpoint"), ("completions",)],
    ids=str,
)
def test_views_are_rebuilt(finished: Finished, tmp_path: Path, tables: tuple[str, ...]) -> None:
    """Without its view tables a database tells the same, from the log."""
    shutil.copy(finished.cli.home / "batchtrail.db", tmp_path)
    copy = evolve(finished.cli, home=tmp_path)
    with closing(sqlite3.connect(tmp_path / "batchtrail.db")) as connection:
        for table in tables:
            connection.execute(f"DROP TABLE {table}")
    assert copy("status", "--json").jsonl == [finished.summary]
    assert copy("results", finished.id).stdout == finished.results


def test_views_that_lie(finished: Finished, tmp_path: Path) -> None:
    """Whoever runs `run` gets the results of the log, even if the view has lost its rows."""
    shutil.copy(finished.cli.home / "batchtrail.db", tmp_path)
    copy = evolve(finished.cli, home=tmp_path)
    with closing(sqlite3.connect(tmp_path / "batchtrail.db")) as connection, connection:
        connection.execute("UPDATE view_checkpoint SET version = version - 1")
        connection.execute("DELETE FROM completions")
    assert copy("results", finished.id).stdout == finished.results


@pytest.mark.parametrize("command", COMMANDS)
def test_help(finished: Finished, command: str) -> None:
    """Each command's help has its options, one example that it accepts, and no tracks of code."""
    shown = finished.cli(command, "--help")
    assert (shown.status, shown.stderr) == (0, b"")
    assert [option for option in COMMANDS[command] if f"{option} " not in shown.out] == []
    example = re.search(rf"^ +(batchtrail {command} .+)$", shown.out, re.MULTILINE)
    assert example
    assert "\x1b" not in shown.out
    assert finished.cli(command, "-h").stdout == shown.stdout


def test_help_of_all(finished: Finished) -> None:
    """The first help names every command, every setting and every exit status."""
    shown = " ".join(finished.cli("--help").out.split())
    page = SETTINGS.read_text(encoding="utf-8")
    settings = set(re.findall(r"^\| `([A-Z_]+)` \|", page, flags=re.MULTILINE))
    assert settings == set(re.findall(r"\b(?:OPENAI|BATCHTRAIL)_[A-Z_]+", shown))
    assert "docs/reference/settings.md" in shown
    assert [word for word in COMMANDS if word not in shown] == []
    assert "..." not in shown.partition("Commands:")[2]
    for status in ("0 every request", "3 the batch", "2 bad usage", "1 anything", "130 interr"):
        assert status in shown


def test_version(finished: Finished) -> None:
    """The version is one line, and the command is the installed one."""
    shown = finished.cli.cold("--version")
    assert re.fullmatch(r"batchtrail \d+\.\d+\.\d+\S*\n", shown.out)
    assert COMMAND.is_file()


def test_results_as_a_table(finished: Finished) -> None:
    """A row for each request in input order, with its cost; some outcomes alone with --only."""
    everything = finished.cli("results", finished.id, "--format", "jsonl")
    assert everything.status == 3
    rows = everything.jsonl
    assert [row["number"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["outcome"] for row in rows].count("succeeded") == 4
    assert all(row["text"] and row["cost"] for row in rows if row["outcome"] == "succeeded")
    failed = finished.cli("results", finished.id, "--format", "csv", "--only", "failed")
    header, row = csv.DictReader(failed.out.splitlines()).fieldnames, failed.out.splitlines()[1]
    assert header is not None
    assert header[:3] == ["number", "custom_id", "outcome"]
    assert row.startswith("2,")
    assert len(failed.out.splitlines()) == 2


def test_results_with_some_outcomes(finished: Finished) -> None:
    """The provider's own lines, of these requests only."""
    failed = finished.cli("results", finished.id, "--only", "Failed, missing,")
    assert failed.stdout.splitlines() == [finished.results.splitlines()[1]]


def test_results_as_parquet(finished: Finished) -> None:
    """A file that other programs read as it is."""
    finished.cli("results", finished.id, "--format", "parquet", "-o", "out.parquet")
    table = parquet.read_table(finished.cli.home / "out.parquet")
    assert table.column("number").to_pylist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--format", "parquet"), "name a file for it with -o"),
        (
            ("--only", "failed,lost"),
            "--only 'lost' is no outcome; write some of succeeded, failed,",
        ),
        (("--only", ","), "--only names no outcome; write some of succeeded, failed,"),
    ],
)
def test_results_that_cannot_be_written_so(
    finished: Finished, options: tuple[str, ...], words: str
) -> None:
    """One sentence, and nothing on standard output."""
    refused = finished.cli("results", finished.id, *options)
    assert (refused.status, refused.stdout) == (2, b"")
    assert words in sentence(refused)
