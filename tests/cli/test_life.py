"""From a file to its results: what goes where, and what a second command does."""

import json
import os
import re
import signal
from pathlib import Path
from uuid import UUID

import pytest
from tests.cli.conftest import (
    FAST,
    PATIENCE,
    Cli,
    Emulator,
    custom_ids,
    emulating,
    finish,
    request,
    sentence,
)
from tests.laboratory.commands import COMMAND

from batchtrail import open_trail
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import StatusReport
from batchtrail.settings import Settings


def provider_lines(emulator: Emulator, batch: str) -> dict[str, bytes]:
    """Fetch the result lines of a provider's batch, by custom_id."""
    seen = json.loads(emulator.get(f"batches/{batch}"))
    files = [seen[name] for name in ("output_file_id", "error_file_id") if seen[name]]
    lines = [line for each in files for line in emulator.get(f"files/{each}/content").split(b"\n")]
    return {json.loads(line)["custom_id"]: line for line in lines if line}


def test_whole_life(cli: Cli, emulator: Emulator) -> None:
    """One upload, one create; the provider's lines, byte for byte, in input order."""
    path = cli.write(60, change={7: {"user": "emulator:429:rate_limit_exceeded"}})
    result = cli.cold("run", path, "-o", "out.jsonl")
    assert (result.status, result.stdout) == (3, b"")
    received = emulator.received()
    assert (received["upload"], received["create"], received["download"]) == (1, 1, 2)
    out = (cli.home / "out.jsonl").read_bytes()
    lines = provider_lines(emulator, cli.batches()[0]["provider_batch_id"])
    ids = custom_ids(path.read_bytes())
    assert out == b"".join(lines[custom_id] + b"\n" for custom_id in ids)
    assert list(lines) != ids  # the provider's own order is another


def test_once_more(cli: Cli, emulator: Emulator) -> None:
    """The same command afterwards writes the same bytes and asks the provider nothing."""
    path = cli.write()
    assert cli("run", path, "-o", "out.jsonl").status == 0
    first = (cli.home / "out.jsonl").read_bytes()
    calls = emulator.received()
    assert cli("run", path, "-o", "out.jsonl").status == 0
    assert (cli.home / "out.jsonl").read_bytes() == first
    renamed = path.rename(cli.home / "renamed.jsonl")
    printed = cli("run", renamed)
    assert (printed.status, printed.stdout) == (0, first)
    assert cli("submit", renamed).status == 0
    assert emulator.received() == calls


def test_streams(cli: Cli) -> None:
    """Without -o results alone go to standard output, progress and the summary to the other."""
    path = cli.write()
    result = cli.cold("run", path)
    assert result.status == 0
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    said = result.err.splitlines()
    assert all(line.startswith("batchtrail: ") for line in said)
    steps = ("uploading 0 B of", "waiting: ", "applying results: 3 of 3", "ended: 3 succeeded")
    assert [step for step in steps if not any(step in line for line in said)] == []
    assert ["tokens: " in said[-2], "cost: $0.00" in said[-1]] == [True, True]
    assert b"\x1b" not in result.stdout + result.stderr


def test_run_json(cli: Cli) -> None:
    """With --json the summary is one JSON object, and results go only into the file."""
    path = cli.write()
    result = cli("run", path, "--json", "-o", "out.jsonl", "--why", "test", "--metadata", "a=b=c")
    summary = result.json
    assert summary["status"] == "ended"
    assert summary["outcomes"]["succeeded"] == summary["requests"] == 3
    assert summary["request_counts"] == {"completed": 3, "failed": 0, "total": 3}
    assert (summary["description"], summary["metadata"]) == ("test", {"a": "b=c"})
    assert summary["usage"]["output_tokens"] > 0
    assert custom_ids((cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())
    assert cli("run", path, "--json").json == summary


def test_submit_then_run(cli: Cli, emulator: Emulator) -> None:
    """`submit` prints the id alone and does not wait; `run` finishes the same batch."""
    path = cli.write()
    submitted = cli("submit", path)
    assert (submitted.status, len(submitted.out)) == (0, 37)
    assert emulator.received() == {"upload": 1, "create": 1}
    for options in ([], ["--json"]):
        again = cli("submit", path, *options)
        assert (again.json["id"] if options else again.out.strip()) == submitted.out.strip()
        assert re.fullmatch(
            r"batchtrail: this input was submitted before, at \S+ \S+Z; nothing was sent\n",
            again.err,
        )
    assert "before" not in submitted.err
    assert cli("run", path).status == 0
    assert emulator.applied("create") == 1


def test_a_new_database_is_told(cli: Cli) -> None:
    """Whoever is in another directory than he believes would pay again; told once."""
    path = cli.write()
    told = f"batchtrail: new database: {cli.home / 'batchtrail.db'}\n"
    assert cli("submit", path).err.endswith(told)
    assert "new database" not in cli("submit", path).err + cli("run", path).err
    (cli.home / "batchtrail.db").unlink()
    assert told in cli("run", path, "--new").err
    (cli.home / "batchtrail.db").unlink()
    assert f"new database: {cli.home / 'batchtrail.db'}\n" in cli("worker", "--until-idle").err
    assert "new database" not in cli("worker", "--until-idle").err


def test_without_a_key(cli: Cli) -> None:
    """What is over is written once more; what is not, cannot be asked for, and nothing is made."""
    path, other = cli.write(), cli.write(2, name="other.jsonl")
    assert "no API key" in sentence(cli("run", path, OPENAI_API_KEY=None))
    assert not (cli.home / "batchtrail.db").exists()
    done = cli("run", path)
    again = cli("run", path, OPENAI_API_KEY=None)
    assert (again.status, again.stdout) == (0, done.stdout)
    assert cli("submit", path, OPENAI_API_KEY=None).status == 0
    assert "no API key" in sentence(cli("run", other, OPENAI_API_KEY=None))
    assert len(cli.batches()) == 1
    assert cli("submit", other).status == 0
    assert "no API key" in sentence(cli("run", other, OPENAI_API_KEY=None))


def test_submit_of_what_was_canceled(slow_cli: Cli, slow: Emulator) -> None:
    """Nobody will answer it, so that it was submitted is no success."""
    path = slow_cli.write()
    batch = slow_cli("submit", path).out.strip()
    slow_cli("cancel", batch)
    assert slow_cli("run", path).status == 3
    again = slow_cli("submit", path)
    assert (again.status, again.out) == (3, f"{batch}\n")
    advice = f"`retry {batch}` submits once more what had no answer\n"
    assert again.err.endswith(f"nothing was sent\nbatchtrail: it is canceled: {advice}")
    assert slow.applied("create") == 1


def test_submit_then_results(slow_cli: Cli, slow: Emulator) -> None:
    """`results` of a batch in progress says so, leaves no file, and asks only once."""
    path = slow_cli.write()
    batch = slow_cli("submit", path).out.strip()
    text = sentence(slow_cli("results", batch, "-o", "out.jsonl"))
    assert text == (
        f"batch {batch} is in_progress; its results come with its end, "
        "`run` with the same input waits for it"
    )
    assert slow.received() == {"upload": 1, "create": 1, "retrieve": 1}
    assert [each.name for each in slow_cli.home.iterdir() if "out" in each.name] == []
    assert slow_cli("run", path, "-o", "run.jsonl").status == 0
    assert slow_cli("results", batch[:13], "-o", "out.jsonl").status == 0
    first, second = (slow_cli.home / name for name in ("run.jsonl", "out.jsonl"))
    assert first.read_bytes() == second.read_bytes()


def test_new(cli: Cli, emulator: Emulator) -> None:
    """--new makes a second batch; after that the same command means the newest one."""
    path = cli.write()
    first = cli("run", path, "--json").json
    second = cli("run", path, "--json", "--new").json
    assert first["id"] != second["id"]
    assert first["provider_batch_id"] != second["provider_batch_id"]
    assert cli("run", path, "--json").json == second
    assert emulator.applied("create") == 2
    assert [each["id"] for each in cli.batches()] == [second["id"], first["id"]]


def test_another_input_is_another_batch(cli: Cli, emulator: Emulator) -> None:
    """A changed file under the old name is not taken for the old one."""
    path = cli.write()
    assert cli("run", path, "-o", "out.jsonl").status == 0
    path.write_bytes(path.read_bytes() + request("one-more") + b"\n")
    assert cli("run", path, "-o", "out.jsonl").status == 0
    assert custom_ids((cli.home / "out.jsonl").read_bytes())[-1] == "one-more"
    assert emulator.applied("create") == 2


def test_cancel(slow_cli: Cli, slow: Emulator) -> None:
    """A batch canceled in progress keeps its finished rows; a second cancel says what holds."""
    path = slow_cli.write(50)
    batch = slow_cli("submit", path).out.strip()
    while (counts := slow_cli("status", batch, "--refresh", "--json").json["request_counts"])[
        "completed"
    ] < 5:
        assert counts["total"] in {0, 50}
    canceled = slow_cli("cancel", batch)
    assert (canceled.status, canceled.stderr) == (0, b"")
    assert canceled.out == (
        f"batch {batch} is being canceled; finished requests keep their results\n"
    )
    result = slow_cli("run", path, "--json", "-o", "out.jsonl")
    assert result.status == 3
    outcomes = result.json["outcomes"]
    assert outcomes["succeeded"] >= 5
    assert outcomes["canceled"] > 0
    assert outcomes["succeeded"] + outcomes["canceled"] == 50
    out = (slow_cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())
    answered = [json.loads(line)["response"] is not None for line in out.splitlines()]
    assert answered.count(True) == outcomes["succeeded"]
    text = sentence(slow_cli("cancel", batch))
    assert text == f"batch {batch} is canceled already; a cancellation is too late"
    assert slow.applied("cancel") == 1


async def test_cancel_of_an_end_that_is_taken_back(slow_cli: Cli, slow: Emulator) -> None:
    """The log has an end, the provider a batch at work: it is canceled, and the words say both."""
    batch = UUID(slow_cli("submit", slow_cli.write(5)).out.strip())
    database = f"sqlite:///{slow_cli.home / 'batchtrail.db'}"
    end = StatusReport(BatchStatus.ENDED, "completed")
    async with open_trail(settings=Settings(database=database)) as trail:
        provider_id = (await trail.status(batch)).provider_batch_id
        assert provider_id
        await trail._runtime.command(
            batch,
            lambda batch, stamp: batch.record_status(
                provider_id, end, request_id=None, stamp=stamp
            ),
        )
    canceled = slow_cli("cancel", str(batch))
    assert canceled.out == f"batch {batch} is ended (the provider says cancelling)\n"
    assert slow.applied("cancel") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_emulator_stops(number: signal.Signals) -> None:
    """The emulator prints its address alone, and stops cleanly on either signal."""
    with emulating(*FAST, stop=number) as emulator:
        assert emulator.base_url.startswith("http://127.0.0.1:")
        assert emulator.base_url.endswith("/v1")
        assert json.loads(emulator.get("batches"))["data"] == []


def test_emulator_without_a_port(cli: Cli, emulator: Emulator) -> None:
    """A port that is taken is one sentence."""
    port = emulator.base_url.removesuffix("/v1").rpartition(":")[2]
    text = sentence(cli("emulator", "--port", port))
    assert text.startswith("the emulator cannot run: ")
    assert port in text
    assert text.endswith("; choose another --port, --host or --data-dir")


@pytest.mark.parametrize("seconds", ["nan", "inf", "1e400", "-1"])
def test_emulator_with_no_number_of_seconds(cli: Cli, seconds: str) -> None:
    """What is no number of seconds is bad usage."""
    result = cli("emulator", "--validating", seconds)
    assert result.status == 2
    assert "Invalid value for '--validating'" in result.err


def test_output_is_replaced_whole(cli: Cli) -> None:
    """An older result file is replaced and keeps its permissions; nothing else is left behind."""
    path = cli.write()
    out = cli.home / "out.jsonl"
    out.write_text("old\n")
    out.chmod(0o640)
    link = cli.home / "link.jsonl"
    link.symlink_to("out.jsonl")
    assert cli("run", path, "-o", "link.jsonl").status == 0
    assert link.is_symlink()
    assert out.stat().st_mode & 0o777 == 0o640
    assert custom_ids(out.read_bytes()) == custom_ids(path.read_bytes())
    names = {each.name for each in cli.home.iterdir()}
    assert names == {"in.jsonl", "out.jsonl", "link.jsonl", "batchtrail.db"}


def test_results_into_a_pipe_of_the_shell(cli: Cli) -> None:
    """Its name leads to no file: `-o >(gzip > out.gz)`."""
    path = cli.write()
    result = cli.shell("run", path, redirect="-o >(cat)")
    assert result.status == 0
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())


@pytest.mark.parametrize("output", ["/dev/full", None])
def test_full_disk(cli: Cli, output: str | None) -> None:
    """Results that cannot be written are one sentence, and the command can be repeated."""
    path = cli.write()
    if output is None:
        result = cli.shell("run", path, redirect="> /dev/full")
    else:
        result = cli("run", path, "-o", output)
    assert result.status == 1
    assert result.err.endswith("No space left on device; run the same command again\n")
    assert "bug" not in result.err


def test_a_log_on_a_full_disk(cli: Cli) -> None:
    """What cannot be said on standard error keeps nobody from a batch, its id or its results."""
    path = cli.write()
    submitted = cli.shell("submit", path, redirect="2> /dev/full")
    assert (submitted.status, submitted.out) == (0, f"{cli.batches()[0]['id']}\n")
    assert cli.shell("run", path, "-o", "out.jsonl", redirect="2> /dev/full").status == 0
    assert custom_ids((cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())
    assert cli.shell("run", "none.jsonl", redirect="2> /dev/full").status == 2


def test_new_results_onto_a_full_disk(cli: Cli, emulator: Emulator) -> None:
    """The advice after --new leaves it out, and whoever follows it pays for no third batch."""
    path = cli.write()
    assert cli("run", path, "-o", "out.jsonl").status == 0
    result = cli("run", path, "--new", "-o", "/dev/full")
    assert result.status == 1
    assert result.err.endswith("; run the same command, without --new, again\n")
    assert cli("run", path, "-o", "out.jsonl").status == 0
    assert emulator.applied("create") == 2


def test_a_list_that_is_not_whole(cli: Cli) -> None:
    """It says that there are more, now or then, and the option that shows them."""
    for _ in range(3):
        assert cli("submit", cli.write(1)).status == 0
    for options in ([], ["--json"], ["--at", "0s"], ["--refresh"]):
        some = cli("status", "--limit", "2", *options)
        assert len(some.out.splitlines()) == 2
        assert some.err == "batchtrail: more batches are not listed; --limit N lists N of them\n"
        whole = cli("status", "--limit", "3", *options)
        assert (len(whole.out.splitlines()), whole.err) == (3, "")


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_names_of_standard_output(cli: Cli, output: str) -> None:
    """It is added to what a file has, and goes into a pipe, under any of its names."""
    path = cli.write()
    piped = cli.shell("run", path, "-o", output, redirect="| cat")
    assert (piped.status, len(piped.jsonl)) == (0, 3), piped.err
    batch = cli.batches()[0]["id"]
    (cli.home / "kept").write_text("header\n")
    assert cli.shell("results", batch, "-o", output, redirect=">> kept").status == 0
    assert (cli.home / "kept").read_bytes() == b"header\n" + piped.stdout
    assert cli.shell("export", "-o", output, redirect=">> kept").status == 0
    assert (cli.home / "kept").read_bytes().startswith(b"header\n" + piped.stdout + b"{")


def test_status_onto_a_full_disk(cli: Cli) -> None:
    """A list that cannot be written ends with a documented exit status."""
    assert cli("submit", cli.write()).status == 0
    result = cli.shell("status", redirect="> /dev/full")
    assert result.status == 1
    assert "Exception ignored" not in result.err


def test_reader_that_leaves(cli: Cli) -> None:
    """`| head -c 1` brings no complaint, nor does what waits in the buffer for nobody."""
    path = cli.write(200)
    batch = cli("run", path, "--json", "-o", "out.jsonl").json["id"]
    commands: list[list[str | Path]] = [["history", batch, "--all"], ["run", path]]
    for words in commands:
        result = cli.shell(*words, redirect="| head -c 1")
        assert len(result.stdout) == 1
        assert [word for word in ("Broken", "Traceback", "ignored") if word in result.err] == []
    reading, writing = os.pipe()
    os.close(reading)
    few = cli.warm.start(
        [COMMAND, "status"],
        cwd=cli.home,
        environment=cli.variables({}),
        patience=PATIENCE,
        stdout=writing,
    )
    os.close(writing)
    result = finish(few)
    assert (result.status, result.stderr) == (1, b"")


def test_input_from_a_pipe(cli: Cli) -> None:
    """`cat in.jsonl | batchtrail run /dev/stdin` runs, or says that a file is needed."""
    path = cli.write()
    result = cli.shell("run", "/dev/stdin", before=f"cat {path} |")
    assert result.status == 0 or "file" in result.err, result
