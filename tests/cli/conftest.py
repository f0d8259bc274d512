"""The installed command in processes of its own, and emulators for it to talk to."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from attrs import Factory, define, frozen
from tests.laboratory.commands import COMMAND
from tests.laboratory.forks import UNLIMITED, Fork, Forks

KEY = "sk-test-7c1e9f0a5b3d"
PATIENCE = 60.0
"""Seconds after which a command counts as hanging."""

BEGIN_NO_DATABASE = [
    "status a",
    "history a",
    "results a",
    "seal",
    "verify",
    "export",
    "rebuild",
    "prune --older-than 1d --no-export",
    "redact a b",
    "retry a",
    "cancel a",
    "collect a",
    "status --refresh a",
]
"""Commands that are about what a database holds, each as it may be typed."""

FAST = ("--validating", "0.02", "--in-progress", "0.06")
SLOW = ("--validating", "0.05", "--in-progress", "1.8")


@frozen
class Result:
    """What a finished command left behind."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()

    @property
    def err(self) -> str:
        """Standard error as text."""
        return self.stderr.decode()

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.stdout)

    @property
    def jsonl(self) -> list[Any]:
        """Standard output as JSON, line by line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


@define
class Cli:
    """The command in a directory of its own, with a clean environment."""

    home: Path
    base_url: str
    warm: Forks
    environment: dict[str, str] = Factory(dict)

    def variables(self, changes: Mapping[str, str | None]) -> dict[str, str]:
        """Give the environment of a command; None takes a variable away."""
        found: dict[str, str | None] = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": self.base_url,
            "BATCHTRAIL_POLL_SCHEDULE": "0.02",
            "BATCHTRAIL_RECONCILE_WAIT": "1",
            **self.environment,
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def start(self, *arguments: str | Path, **changes: str | None) -> Fork:
        """Start a command in a fork that need not import everything first; do not wait for it."""
        return self.warm.start(
            [COMMAND, *arguments],
            cwd=self.home,
            environment=self.variables(changes),
            patience=2 * PATIENCE,
        )

    def start_cold(
        self, *arguments: str | Path, **changes: str | None
    ) -> "subprocess.Popen[bytes]":
        """Start a command as everybody does, and do not wait for it."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.home,
            env=self.variables(changes),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __call__(self, *arguments: str | Path, **changes: str | None) -> Result:
        """Run a command to its end, in a fork."""
        return finish(self.start(*arguments, **changes))

    def cold(self, *arguments: str | Path, **changes: str | None) -> Result:
        """Run a command to its end, from the start of the interpreter."""
        return finish(self.start_cold(*arguments, **changes))

    def shell(self, *arguments: str | Path, before: str = "", redirect: str = "") -> Result:
        """Run a command line in a shell; gives the status of the command itself."""
        line = f'{before} "$@" {redirect}; exit ${{PIPESTATUS[{int(bool(before))}]}}'
        return finish(
            subprocess.Popen(
                ["/bin/bash", "-c", line, "bash", COMMAND, *arguments],
                cwd=self.home,
                env=self.variables({}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )

    def write(
        self, requests: int = 3, name: str = "in.jsonl", *, change: Mapping[int, Any] | None = None
    ) -> Path:
        """Write an input that no other test has; `change` gives fields to single bodies."""
        token = uuid4().hex[:8]
        lines = [
            request(f"{token}-{number}", **(change or {}).get(number, {}))
            for number in range(1, requests + 1)
        ]
        path = self.home / name
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path

    def batches(self) -> list[Any]:
        """List the batches that the default database holds."""
        if not (self.home / "batchtrail.db").exists():
            return []
        return self("status", "--json").jsonl


def finish(process: "Fork | subprocess.Popen[bytes]", patience: float = PATIENCE) -> Result:
    """Wait for a command and take in what it says."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=patience)
        except BaseException:
            process.kill()
            raise
    return Result(process.wait(), stdout, stderr)


def sentence(result: Result, status: int = 2) -> str:
    """Read the one sentence of a command that was refused, and check that it is no more."""
    assert result.status == status, result
    assert result.stdout == b""
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith("batchtrail: ")
    assert result.err[:-1].isprintable()
    assert not [word for word in ("Traceback", "unexpected", "bug") if word in result.err], result
    return result.err.removeprefix("batchtrail: ").strip()


def recorded(database: Path) -> int:
    """Count the events in a database; none are in one that does not exist."""
    if not database.exists():
        return 0
    with closing(sqlite3.connect(database)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='events'").fetchone():
            return 0
        count: int = connection.execute("SELECT count(*) FROM events").fetchone()[0]
        return count


def request(custom_id: str, **fields: Any) -> bytes:
    """Write a request line without its newline; fields are those of the body."""
    body = {"model": "gpt-5-nano", "input": "Say hello.", **fields}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
    return json.dumps(line).encode()


def custom_ids(lines: bytes) -> list[str]:
    """Read the custom_ids of a JSONL file, in its order."""
    return [json.loads(line)["custom_id"] for line in lines.splitlines()]


@define
class Emulator:
    """An emulator in a process of its own, and its control routes."""

    process: "Fork | subprocess.Popen[bytes]"
    base_url: str
    before: dict[str, tuple[int, int]] = Factory(dict)

    def control(self, method: str, path: str, body: object = None) -> Any:
        """Call a control route."""
        call = Request(  # noqa: S310 (our own loopback server)
            urljoin(self.base_url, f"/_emulator/{path}"),
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urlopen(call, timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)

    def get(self, path: str) -> bytes:
        """Fetch from the API itself; counts as a call."""
        call = Request(f"{self.base_url}/{path}", headers={"Authorization": "Bearer x"})  # noqa: S310
        with urlopen(call, timeout=PATIENCE) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def post(self, path: str, body: object) -> Any:
        """Post JSON to the API itself; counts as a call."""
        headers = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        content = json.dumps(body).encode()
        call = Request(f"{self.base_url}/{path}", headers=headers, data=content)  # noqa: S310
        with urlopen(call, timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)

    def arm(self, *faults: dict[str, Any]) -> None:
        """Let something go wrong from now on."""
        self.control("PUT", "faults", {"faults": faults})

    def _counts(self) -> dict[str, tuple[int, int]]:
        counts = self.control("GET", "calls")
        return {op: (count["received"], count["applied"]) for op, count in counts.items()}

    def begin(self) -> None:
        """Forget the faults and the calls so far."""
        self.control("DELETE", "faults")
        self.before = self._counts()

    def received(self) -> dict[str, int]:
        """How often each operation was called since the test began; those that were."""
        return {
            op: received - self.before[op][0]
            for op, (received, _) in self._counts().items()
            if received != self.before[op][0]
        }

    def applied(self, op: str) -> int:
        """How often an operation took effect since the test began."""
        return self._counts()[op][1] - self.before[op][1]


@contextmanager
def emulating(
    *options: str, warm: Forks | None = None, stop: signal.Signals = signal.SIGTERM
) -> Iterator[Emulator]:
    """Run an emulator; its first line is its address, and it must stop when it is told to.

    It is a fork of `warm`, or begins as everybody's does.
    """
    times = ("--finalizing", "0.02", "--cancelling", "0.02")
    arguments: list[str | Path] = [COMMAND, "emulator", *times, *options]
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    process: Fork | subprocess.Popen[bytes]
    if warm is None:
        process = subprocess.Popen(
            arguments, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
    else:
        process = warm.start(
            arguments, cwd=Path.cwd(), environment=environment, patience=UNLIMITED, stderr=2
        )
    with process:
        try:
            assert process.stdout is not None
            yield Emulator(process, process.stdout.readline().decode().strip())
            process.send_signal(stop)
            assert process.wait(PATIENCE) == 0
            assert process.stdout.read() == b""
        finally:
            process.kill()  # does nothing after its end


@pytest.fixture(scope="session")
def fast_emulator(warm: Forks) -> Iterator[Emulator]:
    with emulating(*FAST, warm=warm) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def slow_emulator(warm: Forks) -> Iterator[Emulator]:
    with emulating(*SLOW, warm=warm) as emulator:
        yield emulator


@pytest.fixture
def emulator(fast_emulator: Emulator) -> Emulator:
    """An emulator whose batches take a tenth of a second, without faults."""
    fast_emulator.begin()
    return fast_emulator


@pytest.fixture
def slow(slow_emulator: Emulator) -> Emulator:
    """An emulator whose batches take some seconds, without faults."""
    slow_emulator.begin()
    return slow_emulator


@pytest.fixture
def cli(tmp_path: Path, emulator: Emulator, warm: Forks) -> Cli:
    """The command against the fast emulator."""
    return Cli(tmp_path, emulator.base_url, warm)


@pytest.fixture
def slow_cli(tmp_path: Path, slow: Emulator, warm: Forks) -> Cli:
    """The command against the slow emulator."""
    return Cli(tmp_path, slow.base_url, warm, {"BATCHTRAIL_POLL_SCHEDULE": "0.2"})


@pytest.fixture
def hostile() -> Iterator[Callable[[int, dict[str, Any]], str]]:
    """Start a server that gives every call the same answer; returns its base URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, error: dict[str, Any]) -> str:
        class Refuse(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.dumps({"error": error}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("x-request-id", "req_hostile")
                self.send_header("x-should-retry", "false")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = _answer  # noqa: N815 (the names that http.server wants)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Refuse)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
