"""Signals, crashes, lost answers and two processes at once: still one batch, every result once."""

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from tests.cli.conftest import Cli, Emulator, Result, custom_ids, finish


def assert_once(cli: Cli, requests: int) -> None:
    """Check the log: one batch, no result applied twice, none left out."""
    (batch,) = cli.batches()
    assert batch["outcomes"]["succeeded"] == requests
    events = cli("history", batch["id"], "--json").jsonl
    applied = Counter(each["custom_id"] for each in events if each["event"] == "ResultApplied")
    assert len(applied) == requests
    assert set(applied.values()) == {1}


@pytest.mark.parametrize("after", ["uploading", "waiting: in_progress"])
def test_interrupt(slow_cli: Cli, slow: Emulator, after: str) -> None:
    """Ctrl-C ends with 130 and a sentence; the same command then finishes the same batch."""
    path = slow_cli.write(20)
    process = slow_cli.start("run", path, "-o", "out.jsonl")
    assert process.stderr is not None
    while after not in process.stderr.readline().decode():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.stdout) == (130, b"")
    assert result.err.splitlines()[-1] == (
        "batchtrail: interrupted; a submitted batch goes on, "
        "and the same command, without --new, resumes"
    )
    assert "Traceback" not in result.err
    assert not (slow_cli.home / "out.jsonl").exists()
    assert slow_cli("run", path, "-o", "out.jsonl").status == 0
    assert slow.applied("create") == 1
    out = (slow_cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("status --refresh", "interrupted"),
        ("collect", "interrupted; what was collected is kept, and the same command goes on"),
    ],
)
def test_interrupt_of_what_submits_nothing(
    cli: Cli, emulator: Emulator, command: str, sentence: str
) -> None:
    """Ctrl-C in a command that makes no batch promises nothing of one."""
    batch = cli("submit", cli.write()).out.strip()
    emulator.arm({"op": "retrieve", "kind": "delay", "seconds": 30})
    process = cli.start(*command.split(), batch)
    while "retrieve" not in emulator.received():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.out, result.err) == (130, "", f"batchtrail: {sentence}\n")


def test_interrupt_of_a_pipe_that_brings_nothing(cli: Cli) -> None:
    """Ctrl-C ends the wait for it as any other."""
    pipe = cli.home / "pipe"
    os.mkfifo(pipe)
    process = cli.start("run", pipe, "-o", "out.jsonl")
    with pipe.open("wb"):  # when the command has opened it, too
        process.send_signal(signal.SIGINT)
        assert finish(process).status == 130


def test_the_first_process_of_a_container_can_be_terminated(cli: Cli) -> None:
    """By a handler of its own: without, the kernel would keep the signal from it."""
    pipe = cli.home / "pipe"
    os.mkfifo(pipe)
    program = "import os; os.getpid = lambda: 1; from batchtrail.adapters import cli; cli.main()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "run", pipe, "-o", "out.jsonl"],
        cwd=cli.home,
        env=cli.variables({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with pipe.open("wb"):  # when the command has opened it, too
        process.terminate()
        assert finish(process) == Result(128 + signal.SIGTERM, b"", b"")


def test_kill(slow_cli: Cli, slow: Emulator) -> None:
    """Killed five times at any moment: one create, and every result once, in order."""
    path = slow_cli.write(2_000)
    moments = random.Random(20_261_123)  # noqa: S311 (no secret)
    for earliest, latest in ((0.4, 0.9), (0.4, 1.0), (0.4, 1.5), (0.5, 2.0), (1.0, 3.5)):
        process = slow_cli.start_cold("run", path, "-o", "out.jsonl")
        try:
            process.communicate(timeout=moments.uniform(earliest, latest))
        except subprocess.TimeoutExpired:
            process.kill()
            assert finish(process).status == -signal.SIGKILL
    result = slow_cli("run", path, "-o", "out.jsonl")
    assert result.status == 0, result
    assert slow.applied("create") == 1
    out = (slow_cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())
    assert_once(slow_cli, 2_000)


@pytest.mark.parametrize("line", ["uploading 0 B", "applying results: "])
def test_kill_at_a_step(cli: Cli, emulator: Emulator, line: str) -> None:
    """Killed while it uploads or applies: one create, and every result once."""
    path = cli.write(3_000)
    emulator.arm({"op": "upload", "kind": "delay", "seconds": 0.1})
    process = cli.start("run", path, "-o", "out.jsonl")
    assert process.stderr is not None
    while line not in (said := process.stderr.readline().decode()):
        assert said
    process.kill()
    finish(process)
    assert cli("run", path, "-o", "out.jsonl").status == 0
    assert emulator.applied("create") == 1
    out = (cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())
    assert_once(cli, len(out.splitlines()))


def test_two_at_once(slow_cli: Cli, slow: Emulator) -> None:
    """The same command twice at the same moment: one submits, both finish with the same bytes."""
    path = slow_cli.write(300)
    processes = [slow_cli.start("run", path, "-o", f"out{number}.jsonl") for number in (1, 2)]
    results = [finish(process) for process in processes]
    assert [result.status for result in results] == [0, 0], results
    assert slow.applied("create") == 1
    outs = [(slow_cli.home / f"out{number}.jsonl").read_bytes() for number in (1, 2)]
    assert outs[0] == outs[1]
    assert custom_ids(outs[0]) == custom_ids(path.read_bytes())
    assert_once(slow_cli, 300)


def test_cancel_from_another_terminal(slow_cli: Cli, slow: Emulator) -> None:
    """A `run` that waits sees that its batch was canceled elsewhere, and ends."""
    path = slow_cli.write(20)
    process = slow_cli.start("run", path, "-o", "out.jsonl")
    assert process.stderr is not None
    while "in_progress" not in process.stderr.readline().decode():
        assert process.poll() is None
    assert slow_cli("cancel", slow_cli.batches()[0]["id"][:8]).status == 0
    result = finish(process)
    assert result.status == 3, result
    assert " canceled: " in result.err
    assert slow.applied("cancel") >= 1
    out = (slow_cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())


@pytest.mark.parametrize(
    ("faults", "wait"),
    [
        ([{"op": "create", "kind": "reset_after"}], "1"),
        ([{"op": "create", "kind": "bad_gateway", "applied": True}], "1"),
        ([{"op": "create", "kind": "unavailable", "applied": True}], "1"),
        ([{"op": "create", "kind": "cut_body"}], "1"),
        ([{"op": "create", "kind": "cut_body"}, {"op": "list", "kind": "bad_gateway"}], "1"),
        (
            [
                {"op": "create", "kind": "reset_after"},
                {"op": "list", "kind": "batches_hidden", "seconds": 1, "times": None},
            ],
            "2",
        ),
        ([{"op": "upload", "kind": "reset_after"}], "1"),
        ([{"op": "create", "kind": "file_hidden_failed", "seconds": 0.5}], "1"),
        ([{"op": "create", "kind": "file_hidden_refused", "seconds": 0.5}], "1"),
    ],
    ids=lambda value: " + ".join(f["kind"] for f in value) if isinstance(value, list) else None,
)
def test_lost_answers(
    cli: Cli, emulator: Emulator, faults: list[dict[str, Any]], wait: str
) -> None:
    """Whatever becomes of an answer, one batch runs at the provider."""
    emulator.arm(*faults)
    path = cli.write()
    result = cli("run", path, BATCHTRAIL_RECONCILE_WAIT=wait)
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    (ours,) = cli.batches()
    listed = json.loads(emulator.get("batches"))["data"]
    same = [each for each in listed if each["metadata"]["batchtrail_batch_id"] == ours["id"]]
    assert [each["id"] for each in same if each["status"] != "failed"] == [
        ours["provider_batch_id"]
    ]


def test_lost_for_good(cli: Cli, emulator: Emulator) -> None:
    """A create that was never done is searched for, told about, and then made once."""
    emulator.arm({"op": "create", "kind": "bad_gateway"})
    path = cli.write()
    result = cli("run", path)
    assert result.status == 0, result
    assert "searching the provider's list" in result.err
    assert emulator.applied("create") == 1
    assert "CreateNotDone" in cli("history", cli.batches()[0]["id"]).out


def test_killed_with_the_answer_lost(cli: Cli, emulator: Emulator) -> None:
    """Killed before the answer of the create came: the next run finds the batch."""
    emulator.arm({"op": "create", "kind": "delay", "seconds": 30, "applied": True})
    path = cli.write()
    process = cli.start("run", path)
    while not emulator.applied("create"):
        assert process.poll() is None
    process.kill()
    finish(process)
    result = cli("run", path)
    assert result.status == 0, result
    assert emulator.applied("create") == 1
    assert "found in the provider's list" in cli("history", cli.batches()[0]["id"]).out


def test_two_databases(slow_cli: Cli, slow: Emulator) -> None:
    """Two people with the same file: a lost answer of one does not cancel the other's batch."""
    path = slow_cli.write()
    mine = ["--db", f"sqlite:///{slow_cli.home / 'mine.db'}"]
    yours = ["--db", f"sqlite:///{slow_cli.home / 'yours.db'}"]
    slow.arm({"op": "create", "kind": "delay", "seconds": 30, "applied": True})
    process = slow_cli.start("submit", path, *mine)
    while not slow.applied("create"):
        assert process.poll() is None
    process.kill()
    finish(process)
    assert slow_cli("submit", path, *yours).status == 0
    assert slow_cli("run", path, "-o", "mine.jsonl", *mine).status == 0
    result = slow_cli("run", path, "-o", "yours.jsonl", *yours)
    assert result.status == 0, result
    assert slow.applied("cancel") == 0
