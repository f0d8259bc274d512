"""Programs as forks of a process that has their imports done; led as a `Popen` is."""

import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from attrs import define, field

_SERVER = Path(__file__).with_name("fork_server.py")
_STOP_WITHIN = 60.0
_PIECE = 1 << 16

UNLIMITED = 0.0
"""The patience with a program that ends when it is told to."""


@define(eq=False)
class Fork:
    """A program that runs: what the tests use of a `Popen`, with its names."""

    pid: int
    _status: int
    """Where its exit status will come from."""

    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None
    stderr: IO[bytes] | None = None
    returncode: int | None = None
    _taken: dict[IO[bytes], bytearray] = field(factory=dict)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises `TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0.0)
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def poll(self) -> int | None:
        """Give its exit status; None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended takes no notice."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # over, and its end not told yet
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as it stands."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Wait for its end, and take in what it says. After `TimeoutExpired`, nothing is lost."""
        if self.stdin is not None:
            self.stdin.close()
        deadline = None if timeout is None else time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            for stream in (self.stdout, self.stderr):
                if stream is not None and not stream.closed:
                    self._taken.setdefault(stream, bytearray())
                    selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                ready = selector.select(left)
                if not ready and deadline is not None:
                    raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0.0)
                for key, _ in ready:
                    stream = self._stream(key.fd)
                    piece = os.read(key.fd, _PIECE)
                    self._taken[stream] += piece
                    if not piece:
                        selector.unregister(stream)
                        stream.close()
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        out, err = (
            bytes(self._taken.get(each, b"")) if each is not None else b""
            for each in (self.stdout, self.stderr)
        )
        return out, err

    def _stream(self, descriptor: int) -> IO[bytes]:
        (found,) = (s for s in self._taken if not s.closed and s.fileno() == descriptor)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


@define
class Forks:
    """A process that forks into programs."""

    process: "subprocess.Popen[bytes]"
    _orders: socket.socket

    def start(
        self,
        arguments: Sequence[str | Path],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        patience: float,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> Fork:
        """Begin a script, or a module when the first argument is no path.

        It dies when it runs for longer than `patience` seconds, unless they are `UNLIMITED`.
        """
        order = {
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd),
            "environment": dict(environment),
            "patience": round(patience),
        }
        message = json.dumps(order).encode() + b"\n"
        with ExitStack() as stack:
            status, to_status = os.pipe()
            stack.callback(os.close, to_status)
            given, to_stdin = _end(stack, stdin, reads=True)
            takes, from_stdout = _end(stack, stdout)
            tells, from_stderr = _end(stack, stderr)
            sent = socket.send_fds(self._orders, [message], [to_status, given, takes, tells])
            self._orders.sendall(message[sent:])
            return Fork(self.number(), status, to_stdin, from_stdout, from_stderr)

    def number(self) -> int:
        """Read a number from the server."""
        line = b""
        while not line.endswith(b"\n"):
            piece = self._orders.recv(16)
            assert piece, "the server of forks is gone"
            line += piece
        return int(line)


def _end(
    stack: ExitStack, stream: int | IO[bytes], *, reads: bool = False
) -> tuple[int, IO[bytes] | None]:
    """Give what a fork has as a stream, and of a pipe our end."""
    if stream == subprocess.DEVNULL:
        descriptor = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, descriptor)
        return descriptor, None
    if stream != subprocess.PIPE:
        return (stream if isinstance(stream, int) else stream.fileno()), None
    reading, writing = os.pipe()
    theirs, ours = (reading, writing) if reads else (writing, reading)
    stack.callback(os.close, theirs)
    return theirs, os.fdopen(ours, "wb" if reads else "rb")


@contextmanager
def forking(modules: Sequence[str], *options: str, **environment: str) -> Iterator[Forks]:
    """Run such a process: with these modules imported, and these options of the interpreter."""
    ours, theirs = socket.socketpair()
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-P", *options, _SERVER, *modules],
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
            stdin=theirs.fileno(),
        ) as process,
    ):
        theirs.close()
        forks = Forks(process, ours)
        assert forks.number() == process.pid  # the first program takes no longer than the others
        yield forks
        ours.shutdown(socket.SHUT_RDWR)
        assert process.wait(_STOP_WITHIN) == 0
