"""`prune` and `redact`, and what they leave."""

import hashlib
import json
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, custom_ids, sentence

NEEDLE, OTHER = "a needle that is nowhere else", "what somebody else asked"
OLD = ("prune", "--older-than", "0s")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, cli: Cli) -> str:
    """Let the commands use a new database, and give its URL."""
    if request.param == "sqlite":
        url = "sqlite:///batchtrail.db"
    else:
        url = request.getfixturevalue("postgres_url")
    cli.environment["BATCHTRAIL_DB"] = url
    return url


def finished(cli: Cli) -> tuple[str, list[str]]:
    """Run a batch of three requests; the second one holds the needle."""
    path = cli.write(3, change={1: {"input": OTHER}, 2: {"input": NEEDLE}})
    done = cli("run", "in.jsonl", "-o", "out.jsonl")
    assert done.status == 0, done.err
    (batch,) = cli("status", "--json").jsonl
    return batch["id"], custom_ids(path.read_bytes())


def on_disk(cli: Cli) -> bytes:
    """Everything that the database has on disk, where that is a file."""
    return b"".join(each.read_bytes() for each in sorted(cli.home.glob("batchtrail.db*")))


@pytest.mark.usefixtures("database")
def test_prune(cli: Cli) -> None:
    """The texts are in the export and nowhere else; all else can still be verified."""
    batch, _ = finished(cli)
    seal = cli("seal").out.strip()
    before = cli("status", batch, "--json").json
    assert cli("prune", "--older-than", "1h", "--export", "young.jsonl").out.startswith(
        "pruned; batches: 0"
    )
    assert not (cli.home / "young.jsonl").exists()

    done = cli(*OLD, "--export", "old.jsonl", "--json")
    assert done.status == 0, done.err
    export = (cli.home / "old.jsonl").read_bytes()
    assert (cli.home / "old.jsonl").stat().st_mode & 0o777 == 0o600
    digest = hashlib.sha256(export).hexdigest()
    assert done.json == {"batches": [batch], "export_sha256": digest}
    assert NEEDLE.encode() in export
    assert NEEDLE.encode() not in on_disk(cli)

    assert cli("verify", "--against", seal).status == 0
    last = cli("history", batch, "--json").jsonl[-1]
    assert (last["event"], last["export_sha256"]) == ("BodiesPruned", digest)
    after = cli("status", batch, "--json").json
    assert (after["outcomes"], after["cost"]) == (before["outcomes"], before["cost"])
    assert cli(*OLD, "--no-export").out == "pruned; batches: 0\n"

    kept = cli("import", "old.jsonl", "--db", "sqlite:///kept.db")
    assert kept.status == 0, kept.err
    results = cli("results", batch, "--db", "sqlite:///kept.db")
    assert results.stdout == (cli.home / "out.jsonl").read_bytes()


def test_results_of_what_was_pruned(cli: Cli) -> None:
    """No file of nothing replaces the results that somebody has; what is known is told."""
    batch, ids = finished(cli)
    kept = (cli.home / "out.jsonl").read_bytes()
    assert cli(*OLD, "--no-export").out == "pruned; batches: 1\n"
    again = cli("run", "in.jsonl", "-o", "out.jsonl")
    assert again.status == 1
    assert "any more, only its digest: it was pruned" in again.err
    for format_ in ("jsonl", "csv"):
        gone = cli("results", batch, "-o", "out.jsonl", "--format", format_)
        assert "any more, only its digest: it was pruned" in sentence(gone, 1)
    assert (cli.home / "out.jsonl").read_bytes() == kept
    assert cli("status", batch, ids[0]).out.count("removed") == len(("asked", "answered"))
    assert cli("status", batch, ids[0], "--json").json["outcome"] == "succeeded"


def test_an_export_is_never_replaced(cli: Cli) -> None:
    """What was pruned before is in it, and nowhere else."""
    finished(cli)
    assert cli(*OLD, "--export", "old.jsonl").status == 0
    export = (cli.home / "old.jsonl").read_bytes()
    cli.write(2, "more.jsonl")
    assert cli("run", "more.jsonl", "-o", "more-out.jsonl").status == 0
    told = sentence(cli(*OLD, "--export", "old.jsonl"))
    assert told == "old.jsonl is there already and may hold what was pruned; name a new file"
    assert (cli.home / "old.jsonl").read_bytes() == export
    assert cli("verify", "--json").json["removed_bodies"] == len(("lines", "a", "b", "c"))


def test_redact(cli: Cli, database: str) -> None:
    """Nothing of the request is left, the others are as they were, and the log tells why."""
    batch, ids = finished(cli)
    before = cli("results", batch).jsonl
    done = cli("redact", batch, ids[1], "--why", "asked by the customer")
    assert done.out == f"request {ids[1]}: redacted; bodies changed: 2\n", done.err
    again = cli("redact", batch, ids[1])
    assert again.out == f"request {ids[1]}: nothing of it is left to redact\n"
    assert cli("verify").status == 0
    after = cli("results", batch).jsonl
    assert [after[0], after[2]] == [before[0], before[2]]
    assert (after[1]["custom_id"], after[1]["error"]["code"]) == (ids[1], "redacted")
    assert cli("results", batch, "--format", "csv").out.count(",redacted,") == 1
    assert NEEDLE.encode() not in on_disk(cli)
    assert (OTHER.encode() in on_disk(cli)) is database.startswith("sqlite")
    last = cli("history", batch, "--json").jsonl[-1]
    assert (last["event"], last["custom_id"], last["reason"]) == (
        "RequestRedacted",
        ids[1],
        "asked by the customer",
    )
    assert "asked by the customer" in cli("history", batch, "--event", "RequestRedacted").out
    assert ids[1] in json.dumps(cli("history", batch, ids[1], "--json").jsonl)


def test_a_summary_of_what_was_redacted(cli: Cli) -> None:
    """Its success was one, and its answer is not in the file: the summary says both."""
    batch, ids = finished(cli)
    assert cli("redact", batch, ids[1]).status == 0
    said = f"batchtrail: batch {batch} ended: 3 succeeded; 1 redacted -> out.jsonl\n"
    for command in (("run", "in.jsonl"), ("results", batch)):
        again = cli(*command, "-o", "out.jsonl")
        assert (again.status, again.err.count(said)) == (0, 1), again.err
    assert cli("redact", batch, ids[0]).status == 0
    assert ": 3 succeeded; 2 redacted\n" in cli("run", "in.jsonl", "--json").err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prune", "--older-than", "90d"), "write --export LOG.jsonl to keep what is removed, or"),
        (
            ("prune", "--older-than", "2999-01-01", "--no-export"),
            "--older-than '2999-01-01' is in the future; write how old, as 90d, or a moment",
        ),
        ((*OLD, "--export", "x.jsonl", "--no-export"), "and --no-export does not; leave one out"),
        (("prune", "--older-than", "long", "--no-export"), "--older-than 'long' is no moment"),
        ((*OLD, "--export", "no/x.jsonl"), "the output directory no does not exist"),
        ((*OLD, "--export", "batchtrail.db"), "is the database"),
        ((*OLD, "--export", "-"), "must be kept; name a file, no pipe or device"),
        ((*OLD, "--export", "/dev/null"), "must be kept; name a file, no pipe or device"),
        (("redact", "BATCH", "nobody"), "has no request 'nobody'"),
        (("redact", "ffff", "a"), "no batch has an id that begins with ffff"),
    ],
)
def test_bad_usage(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    """One sentence, and nothing is removed."""
    batch, _ = finished(cli)
    told = sentence(cli(*[batch if word == "BATCH" else word for word in arguments]))
    assert words in told
    found = cli("verify", "--json").json
    assert (found["removed_bodies"], found["redacted_lines"]) == (0, 0)


def test_a_batch_at_work(slow_cli: Cli) -> None:
    """What it may still need is not removed."""
    path = slow_cli.write(1)
    batch = slow_cli("submit", "in.jsonl").out.strip()
    assert slow_cli(*OLD, "--no-export").out == "pruned; batches: 0\n"
    refused = slow_cli("redact", batch, custom_ids(Path(path).read_bytes())[0])
    assert refused.status in {1, 2}
    assert "is not done yet and may need its bodies" in refused.err
    assert refused.err.count("\n") == 1
