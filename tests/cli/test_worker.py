"""The installed worker: what it says, how it stops, and handlers that outlive it."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, Any

import pytest
from tests.cli.conftest import Cli, Emulator, Result, custom_ids, finish, sentence

HANDLERS = """
import json, os, sys, time

def note(word):
    with open("calls.log", "a") as file:
        print(word, file=file)

class Done:
    def on_batch_completion(self, batch, completions):
        note(f"completion {batch.status} {[each.custom_id[-1] for each in completions]}")

    async def on_batch_success(self, batch, completions):
        note(f"success {[each.outcome.value async for each in completions]}")

class Slow:
    def on_batch_completion(self, batch, completions):
        note("begin")
        print("begun", flush=True)
        while not os.path.exists("go on"):
            time.sleep(60)
        note("end")

class Hostile:
    def on_batch_completion(self, batch, completions):
        raise ValueError("\\x1b[2J\\udcff")
"""


def with_handlers(cli: Cli) -> Cli:
    """Put a module of handlers into the working directory."""
    (cli.home / "shop.py").write_text(HANDLERS)
    return cli


def calls(cli: Cli) -> list[str]:
    """Read what the handlers noted."""
    return (cli.home / "calls.log").read_text().splitlines()


def submitted(cli: Cli, handler: str | None = None, requests: int = 2) -> str:
    """Submit a batch of its own; returns its id."""
    options = () if handler is None else ("--handler", handler)
    result = cli("submit", cli.write(requests), *options)
    assert result.status == 0, result
    return result.out.strip()


def status(cli: Cli, batch: str) -> Any:
    return cli("status", batch, "--json").json


def json_log(result: Result) -> list[Any]:
    """Read a log of JSON lines, all of them."""
    return [json.loads(line) for line in result.err.splitlines()]


def wait_for_line(stream: IO[bytes] | None) -> None:
    assert stream is not None
    assert stream.readline() == b"begun\n"


def test_until_idle(cli: Cli) -> None:
    """Every open batch is brought to its end, its handler called once; each line is JSON."""
    with_handlers(cli)
    plain, handled = submitted(cli), submitted(cli, "shop:Done")
    result = cli("worker", "--until-idle", "--log-json", BATCHTRAIL_HANDLERS="shop")
    assert (result.status, result.stdout) == (0, b"")
    log = json_log(result)
    assert {"at", "level", "logger", "message"} <= log[0].keys()
    assert {each["batch_id"] for each in log if "batch_id" in each} == {plain, handled}
    assert log[-1]["message"] == "the worker stops; open batches: 0"
    assert calls(cli) == [
        "completion ended ['1', '2']",
        "success ['succeeded', 'succeeded']",
    ]
    for batch in (plain, handled):
        assert status(cli, batch)["outcomes"]["succeeded"] == 2
    assert cli("worker", "--until-idle", BATCHTRAIL_HANDLERS="shop").status == 0
    assert len(calls(cli)) == 2


def test_stopped_and_killed_inside_a_handler(cli: Cli) -> None:
    """SIGTERM ends within seconds, a kill ends at once: the handler is repeated, never skipped."""
    batch = submitted(with_handlers(cli), "shop:Slow")
    process = cli.start("worker", BATCHTRAIL_HANDLERS="shop")
    wait_for_line(process.stdout)
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert time.monotonic() - begin < 10
    assert (result.status, "Traceback" in result.err) == (0, False)
    assert "open batches: 1" in result.err.splitlines()[-1]

    process = cli.start("worker", BATCHTRAIL_HANDLERS="shop", BATCHTRAIL_LEASE="2")
    wait_for_line(process.stdout)
    process.kill()
    assert finish(process).status == -signal.SIGKILL
    assert not status(cli, batch)["handler_dispatched"]

    (cli.home / "go on").touch()
    assert cli("worker", "--until-idle", BATCHTRAIL_HANDLERS="shop").status == 0
    assert calls(cli) == ["begin", "begin", "begin", "end"]
    events = [each["event"] for each in cli("history", batch, "--json").jsonl]
    assert events.count("HandlerDispatched") == 1


def with_a_blocking_handler(cli: Cli) -> Cli:
    """Put a handler into the working directory that keeps the event loop to itself."""
    (cli.home / "shop.py").write_text(
        "import time\n"
        "class Blocking:\n"
        "    async def on_batch_completion(self, batch, completions):\n"
        "        print('begun', flush=True)\n"
        "        time.sleep(300)\n"
    )
    return cli


def test_a_second_signal_does_not_wait(cli: Cli) -> None:
    """A coroutine that blocks keeps the loop from stopping; whoever asks twice is obeyed."""
    submitted(with_a_blocking_handler(cli), "shop:Blocking")
    process = cli.start("worker", BATCHTRAIL_HANDLERS="shop")
    wait_for_line(process.stdout)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    result = finish(process)
    assert result.status == -signal.SIGINT
    assert "Traceback" not in result.err


SIGNALED = """
import asyncio, signal, sys
from batchtrail.adapters.cli import work

async def main():
    clock = map(float, sys.argv[1:]).__next__
    stop = work._stopped_by_signals(clock)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(number)
    await stop.wait()
    print("stops")

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("moments", "status", "said"),
    [(("5", "5", "5.9"), 0, b"stops\n"), (("5", "5.9", "6"), -signal.SIGINT, b"")],
)
def test_two_signals_at_once_are_one(moments: tuple[str, ...], status: int, said: bytes) -> None:
    """As `timeout` sends them, to its child and to the group; asked again later, it ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", SIGNALED, *moments], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    result = finish(process)
    assert (result.status, result.stdout) == (status, said), result


def test_a_second_signal_ends_the_first_process_of_a_container() -> None:
    """From which the kernel keeps every signal that it has no handler for."""
    ignored = "signal.signal = lambda *_, keep=signal.signal: keep(_[0], _[1] or signal.SIG_IGN)\n"
    program = SIGNALED.replace("asyncio.run", f"{ignored}asyncio.run")
    process = subprocess.Popen(
        [sys.executable, "-c", program, "5", "6"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    result = finish(process)
    assert (result.status, result.stdout) == (128 + signal.SIGTERM, b""), result


@pytest.mark.parametrize(("pid", "status"), [("os.getpid()", -signal.SIGINT), ("1", 130)])
def test_interrupt_while_the_database_does_not_answer(cli: Cli, pid: str, status: int) -> None:
    """There is nothing to stop yet: it ends at once, also as the first process of a container."""
    program = (
        f"import os; pid = {pid}; os.getpid = lambda: pid\n"
        "from batchtrail.adapters import cli; cli.main()"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://me@127.0.0.1:{server.getsockname()[1]}/trail"
        process = subprocess.Popen(
            [sys.executable, "-c", program, "worker", "--db", url],
            cwd=cli.home,
            env=cli.variables({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with server.accept()[0] as connection:
            connection.recv(1)  # it waits for an answer from now on
            process.send_signal(signal.SIGINT)
            assert finish(process) == Result(status, b"", b"")


def test_what_does_not_let_it_stop_is_left(cli: Cli) -> None:
    """After some seconds, here fewer than are usual; the status says that it was no clean stop."""
    submitted(with_a_blocking_handler(cli), "shop:Blocking")
    program = (
        "from batchtrail.adapters.cli import work\n"
        "from batchtrail.adapters.cli.app import run_command_line\n"
        "work._LONGEST_STOP = 0.1\n"
        "run_command_line()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "worker"],
        cwd=cli.home,
        env=cli.variables({"BATCHTRAIL_HANDLERS": "shop"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_for_line(process.stdout)
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.status == 1
    assert "does not let the worker stop" in result.err.splitlines()[-1]


def test_trouble_is_shown(cli: Cli) -> None:
    """A handler that is not allowed, and one with hostile words: in the log and in the status."""
    with_handlers(cli)
    hostile = submitted(cli, "shop:Hostile")
    denied = submitted(cli, "other.package:Done")
    process = cli.start("worker", "--log-json", BATCHTRAIL_HANDLERS="shop")
    assert process.stderr is not None
    lines: list[bytes] = []
    while sum(b'"level":"error"' in line for line in lines) < 2:
        lines.append(process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    result = finish(process)
    assert result.status == 0
    errors = [each for each in map(json.loads, lines) if each["level"] == "error"]
    assert {each["batch_id"] for each in errors} == {hostile, denied}
    (traceback,) = [each["traceback"] for each in errors if "traceback" in each]
    assert 'shop.py", line' in traceback

    shown = cli("status", hostile).out
    assert "handler    shop:Hostile has not run yet" in shown
    assert r"ValueError: \x1b[2J\udcff" in shown
    assert "\x1b" not in shown
    trouble = status(cli, denied)["trouble"]
    assert trouble["retry_at"] is None
    assert "BATCHTRAIL_HANDLERS" in trouble["problem"]
    assert "in trouble" in cli("status").out
    idle = cli("worker", "--until-idle", BATCHTRAIL_HANDLERS="shop_other")
    assert idle.status == 1
    assert "with the next start" in idle.err


def test_run_calls_the_handler(cli: Cli) -> None:
    """Without the allow-list the results are written and the reason told; with it, it runs."""
    path = with_handlers(cli).write(2)
    order = ("run", path, "-o", "out.jsonl", "--handler", "shop:Done")
    result = cli(*order)
    assert result.status == 1
    assert "shop:Done is not allowed here" in result.err.splitlines()[-1]
    assert custom_ids((cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())
    assert cli(*order, BATCHTRAIL_HANDLERS="shop").status == 0
    assert len(calls(cli)) == 2
    assert cli(*order).status == 0


def test_refusals(cli: Cli, emulator: Emulator) -> None:
    """Bad usage is one sentence, and nothing is asked of the provider."""
    assert "OPENAI_API_KEY" in sentence(cli("worker", OPENAI_API_KEY=None))
    assert "no package" in sentence(cli("worker", BATCHTRAIL_HANDLERS="a b"))
    assert "BATCHTRAIL_MAX_AGE" in sentence(cli("worker", BATCHTRAIL_MAX_AGE="0"))
    assert "BATCHTRAIL_LEASE" in sentence(cli("worker", BATCHTRAIL_LEASE="0"))
    assert "is not understood" in sentence(cli("worker", "--db", "mysql://u:secret@h/d"))
    assert emulator.received() == {}
