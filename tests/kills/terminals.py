"""Where commands are typed, one at a time in each terminal, and killed at any moment."""

import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import define, field, frozen
from tests.cli.conftest import KEY, PATIENCE, Result
from tests.laboratory.commands import COMMAND, warmed
from tests.laboratory.forks import Fork, Forks
from tests.laboratory.promises import BrokenPromiseError


@frozen
class Home:
    """A working directory and a clean environment for commands."""

    path: Path
    base_url: str
    database: str
    environment: Mapping[str, str] = field(factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The whole environment of a command."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "LANG": "C.UTF-8",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": self.base_url,
            "BATCHTRAIL_DB": self.database,
            "BATCHTRAIL_POLL_SCHEDULE": "0.05",
            **self.environment,
        }


class Terminal(ABC):
    """Where one command at a time is typed."""

    @abstractmethod
    def start(self, home: Home, *arguments: str | Path) -> int:
        """Begin a command; gives its process id."""

    @abstractmethod
    def wait(self, seconds: float) -> Result | None:
        """Wait for its end; None when it still runs after that."""

    @abstractmethod
    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended takes no notice."""

    def finish(self, patience: float = PATIENCE) -> Result:
        """Wait for its end. Raises `BrokenPromiseError` when it hangs, and kills it."""
        result = self.wait(patience)
        if result is None:
            self.kill()
            raise BrokenPromiseError(f"a command ends within {patience:g} seconds")
        return result

    def run(self, home: Home, *arguments: str | Path) -> Result:
        """Run a command to its end."""
        self.start(home, *arguments)
        return self.finish()

    def kill(self) -> Result:
        """End it as it stands."""
        self.send(signal.SIGKILL)
        result = self.wait(PATIENCE)
        assert result is not None
        return result


@define
class ColdTerminal(Terminal):
    """Each command begins with the start of the interpreter, as it does for everybody."""

    directory: Path
    program: Path = COMMAND
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self, home: Home, *arguments: str | Path) -> int:
        with (
            (self.directory / "stdout").open("wb") as stdout,
            (self.directory / "stderr").open("wb") as stderr,
        ):
            self._process = subprocess.Popen(
                [sys.executable, self.program, *arguments],
                cwd=home.path,
                env=home.variables,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        return self._process.pid

    def wait(self, seconds: float) -> Result | None:
        assert self._process is not None
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        stdout, stderr = (self.directory / name for name in ("stdout", "stderr"))
        return Result(status, stdout.read_bytes(), stderr.read_bytes())

    def send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


@define
class WarmTerminal(Terminal):
    """Each command is a fork of a process that has its imports done: more of its life is its work.

    Where an undisturbed `run` of an emulated batch takes a second, most of it is the start of the
    interpreter; here nearly every kill hits what the command is for.
    """

    directory: Path
    warm: Forks
    program: Path = COMMAND
    _fork: Fork | None = None

    def start(self, home: Home, *arguments: str | Path) -> int:
        with (
            (self.directory / "stdout").open("wb") as stdout,
            (self.directory / "stderr").open("wb") as stderr,
        ):
            self._fork = self.warm.start(
                [self.program, *arguments],
                cwd=home.path,
                environment=home.variables,
                patience=10 * PATIENCE,
                stdout=stdout,
                stderr=stderr,
            )
        return self._fork.pid

    def wait(self, seconds: float) -> Result | None:
        assert self._fork is not None
        try:
            status = self._fork.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        stdout, stderr = (self.directory / name for name in ("stdout", "stderr"))
        return Result(status, stdout.read_bytes(), stderr.read_bytes())

    def send(self, number: signal.Signals) -> None:
        if self._fork is not None:
            self._fork.send_signal(number)


@contextmanager
def cold_terminal(directory: Path, program: Path = COMMAND) -> Iterator[Terminal]:
    """Open a terminal; what still runs in it at the end is killed."""
    terminal = ColdTerminal(directory, program)
    try:
        yield terminal
    finally:
        if terminal._process is not None:
            terminal.kill()


@contextmanager
def forking_terminal(directory: Path, warm: Forks, program: Path = COMMAND) -> Iterator[Terminal]:
    """Open a terminal; what still runs in it at the end is killed."""
    terminal = WarmTerminal(directory, warm, program)
    try:
        yield terminal
    finally:
        if terminal._fork is not None:
            terminal.kill()


@contextmanager
def warm_terminal(directory: Path, program: Path = COMMAND) -> Iterator[Terminal]:
    """Open a terminal with a process of its own to fork from."""
    with warmed() as warm, forking_terminal(directory, warm, program) as terminal:
        yield terminal
