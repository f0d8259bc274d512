"""In a terminal: a bar on standard error; piped, there is no escape code at all."""

import json
import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from tests.cli.conftest import PATIENCE, Cli, Emulator, Result, custom_ids, finish, sentence
from tests.laboratory.commands import COMMAND
from tests.laboratory.forks import Fork

SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict"])
def test_an_encoding_that_cannot_carry_everything(cli: Cli, encoding: str) -> None:
    """What it lacks is written as JSON writes it in ASCII: nobody loses an id that was paid for."""
    why, environment = "f\u00fcr Gr\u00f6\u00dfe \u20ac \U0001f600", {"PYTHONIOENCODING": encoding}
    cli.write(change={1: {"input": why}})
    done = cli.cold("submit", "in.jsonl", "--json", "--why", why, **environment)
    assert done.status == 0, done.err
    shown = done.stdout.decode(encoding.partition(":")[0])
    assert json.loads(shown)["description"] == why
    assert "\\u20ac \\ud83d\\ude00" in shown
    missing = sentence(cli.cold("run", "\U0001f600.jsonl", **environment))
    assert missing.startswith("\\ud83d\\ude00.jsonl does not exist")
    results = cli.cold("run", "in.jsonl", **environment)
    assert results.stdout == cli("run", "in.jsonl").stdout


@define
class Screen:
    """A terminal of 120 columns that takes down what is written to it."""

    process: Fork
    received: bytearray = Factory(bytearray)
    changed: threading.Condition = Factory(threading.Condition)
    closed: bool = False

    def read(self, terminal: int) -> None:
        """Take down everything until nobody has the terminal open."""
        while True:
            try:
                piece = os.read(terminal, 4096)
            except OSError:  # how Linux says so
                piece = b""
            with self.changed:
                self.received += piece
                self.closed = not piece
                self.changed.notify_all()
            if not piece:
                return

    def wait_for(self, words: bytes) -> None:
        """Wait until these words have been written."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or words in self.received, PATIENCE)
        assert words in self.received

    def finish(self) -> Result:
        """Wait for the command's end; gives the screen as standard error."""
        result = finish(self.process)
        with self.changed:
            assert self.changed.wait_for(lambda: self.closed, PATIENCE)
        return Result(result.status, result.stdout or b"", bytes(self.received))


@contextmanager
def terminal(
    cli: Cli,
    *arguments: str | Path,
    stdout: bool = False,
    changes: Mapping[str, str | None] | None = None,
) -> Iterator[Screen]:
    """Start a command whose standard error is a terminal, and its standard output if asked."""
    ours, theirs = pty.openpty()
    process = cli.warm.start(
        [COMMAND, *arguments],
        cwd=cli.home,
        environment=cli.variables({"TERM": "xterm-256color", "COLUMNS": "120", **(changes or {})}),
        patience=PATIENCE,
        stdin=theirs,
        stdout=theirs if stdout else subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    screen = Screen(process)
    reader = threading.Thread(target=screen.read, args=(ours,))
    reader.start()
    try:
        with process:
            yield screen
    finally:
        process.kill()
        reader.join(PATIENCE)
        os.close(ours)


def test_bar(slow_cli: Cli) -> None:
    """A coloured bar on standard error, results alone on standard output, the cursor restored."""
    path = slow_cli.write(20)
    with terminal(slow_cli, "run", path) as screen:
        result = screen.finish()
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert b"\x1b" not in result.stdout
    assert "━" in result.err
    assert re.search(r"\x1b\[(\d+;)*(3\d|9\d|38;5;\d+)(;\d+)*m", result.err)
    assert "waiting: in_progress" in result.err
    assert re.search(r"\d+%", result.err)
    assert result.stderr.rfind(SHOW_CURSOR) > result.stderr.rfind(HIDE_CURSOR) >= 0
    assert "ended: 20 succeeded" in result.err[result.err.rfind("?25h") :]


@pytest.mark.parametrize("changes", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_without_colours(cli: Cli, changes: dict[str, str | None]) -> None:
    """Whoever wants no colours gets none."""
    with terminal(cli, "run", cli.write(), "-o", "out.jsonl", changes=changes) as screen:
        result = screen.finish()
    assert result.status == 0
    assert re.search(r"\x1b\[(\d+;)*(3\d|9\d|38;5;\d+)(;\d+)*m", result.err) is None


def test_interrupted_bar(slow_cli: Cli) -> None:
    """Ctrl-C takes the bar away and gives the cursor back."""
    with terminal(slow_cli, "run", slow_cli.write()) as screen:
        screen.wait_for(b"in_progress")
        screen.process.send_signal(signal.SIGINT)
        result = screen.finish()
    assert result.status == 130
    assert result.stderr.rfind(SHOW_CURSOR) > result.stderr.rfind(HIDE_CURSOR) >= 0
    assert "interrupted" in result.err.splitlines()[-1]


def test_a_terminal_that_is_closed(slow_cli: Cli) -> None:
    """Whoever left a run alone, without a hang-up that ends it, finds its results."""
    path = slow_cli.write()
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [COMMAND, "run", path, "-o", "out.jsonl"],
        cwd=slow_cli.home,
        env=slow_cli.variables({"TERM": "xterm-256color", "COLUMNS": "120"}),
        stdin=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"in_progress" not in shown:
        shown += os.read(ours, 4096)
    os.close(ours)
    assert command.wait(PATIENCE) == 0
    assert custom_ids((slow_cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())


def test_foreign_escapes(cli: Cli, hostile: Callable[[int, dict[str, Any]], str]) -> None:
    """A provider that is waited for cannot drive the terminal, nor rich's markup, by its words."""
    url = hostile(429, {"message": "\x1b]0;title\x07 \x1b[31m \u009b2J [bold]slow[/nonsense]"})
    changes: dict[str, str | None] = {"OPENAI_BASE_URL": url, "NO_COLOR": "1"}
    with terminal(cli, "run", cli.write(), changes=changes) as screen:
        screen.wait_for(b"again in")
        screen.process.send_signal(signal.SIGINT)
        result = screen.finish()
    assert result.status == 130
    assert "[bold]slow[/nonsense]" in result.err
    foreign = (b"\x1b]0;", b"\x07", b"\x1b[31m", "\u009b".encode())
    assert [code for code in foreign if code in result.stderr] == []


def test_refusal_in_a_terminal(cli: Cli) -> None:
    """The sentence about bad input stands alone on the last line, without codes or a bar."""
    (cli.home / "bad.jsonl").write_text("hello")
    with terminal(cli, "run", "bad.jsonl") as screen:
        result = screen.finish()
    assert result.status == 2
    last = result.stderr.splitlines()[-1].removeprefix(SHOW_CURSOR)
    assert last.startswith(b"batchtrail: bad.jsonl: line 1: is not valid JSON")
    assert b"\x1b" not in last


def test_standard_output_in_a_terminal(cli: Cli, emulator: Emulator) -> None:
    """What goes to standard output is the same in a terminal as in a pipe."""
    path = cli.write()
    assert cli("run", path).status == 0
    for words in (["status"], ["history", cli.batches()[0]["id"]]):
        with terminal(cli, *words, stdout=True) as screen:
            result = screen.finish()
        assert result.stderr.replace(b"\r\n", b"\n") == cli(*words).stdout
    assert emulator.applied("create") == 1


@pytest.mark.parametrize("format_", ["jsonl", "csv"])
def test_what_a_provider_wrote_does_not_drive_it(cli: Cli, format_: str) -> None:
    """A terminal gets escapes where a file or a pipe gets the text as it is."""
    path = cli.write(1, change={1: {"input": "\x1b]0;x\x07 \x9b31m \u202e"}})  # it is echoed
    done = cli("run", path, "-o", "out.jsonl")
    assert done.status == 0, done.err
    batch = cli("status", "--json").json["id"]
    assert "\u202e".encode() in cli("results", batch, "--format", format_).stdout
    with terminal(cli, "results", batch, "--format", format_, stdout=True) as screen:
        result = screen.finish()
    assert result.status == 0
    shown = result.stderr.decode().replace("\r\n", "")
    assert shown.isprintable()
    assert "\\r" not in shown  # which ends the lines of a CSV file
    for char in "\x1b\x9b\u202e":
        assert f"\\u{ord(char):04x}" in shown
