"""Connections: restarts, lost answers, what every session is set to, and who is out of reach."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from traceback import format_exception
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from tests.laboratory.author import Author, request_line
from tests.laboratory.stores import all_rows, image_of, positions_of
from tests.postgres.conftest import OpenURL, Query
from tests.postgres_server import BARRED, GUARDED, PASSWORD, PostgresServer

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.adapters.postgres.recorder import PostgresBatchRecorder
from batchtrail.adapters.postgres.schema import _LOCK
from batchtrail.adapters.postgres.views import PostgresViewWriter
from batchtrail.application.errors import DatabaseRefusedError, InputError, StoreError
from batchtrail.domain.status import Outcome
from batchtrail.settings import Settings

BeforeCommit = Callable[[Callable[[Any], object]], list[int]]

_MARK = "application_name=to-be-ended"
_END_MARKED = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name='to-be-ended'"
)


def test_server_restarts_between_two_calls(
    postgres_server: PostgresServer, postgres_url: str, open_url: OpenURL, author: Author
) -> None:
    """The next call finds its connections dead, and works on new ones."""
    store = open_url(postgres_url)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    restart(postgres_server)
    author.discard(batch, "file-1")
    store.save_batch(batch)
    restart(postgres_server)
    assert store.get(batch.id) == batch
    restart(postgres_server)
    assert store.views.summaries(limit=1)[0].version == batch.version


def restart(server: PostgresServer) -> None:
    """Let the server go away, with every connection, and come back."""
    server.stop()
    server.start()


def test_call_while_the_server_is_away(
    postgres_server: PostgresServer, postgres_url: str, open_url: OpenURL, author: Author
) -> None:
    """It has its answer when the server is back."""
    store = open_url(postgres_url)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    postgres_server.stop()
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(store.get, batch.id)
        postgres_server.start()
        assert call.result(timeout=30) == batch


def test_server_that_was_away_for_longer(
    postgres_server: PostgresServer,
    postgres_url: str,
    open_url: OpenURL,
    author: Author,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next call tries it anew; the pool's own pauses have grown to minutes by then."""
    monkeypatch.setattr("psycopg_pool.base.AttemptWithBackoff.INITIAL_DELAY", 60.0)
    monkeypatch.setattr("batchtrail.adapters.postgres.database._PATIENCE", 0.1)
    store = open_url(postgres_url)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    postgres_server.stop()
    with pytest.raises(OperationalError, match="there is no connection"):
        store.get(batch.id)
    postgres_server.start()
    assert store.get(batch.id) == batch


def test_connections_ended_by_the_server(
    postgres_url: str, open_url: OpenURL, query: Query, author: Author
) -> None:
    """An administrator who ends all sessions stops no store."""
    store = open_url(f"{postgres_url}&{_MARK}")
    batch = author.draft([request_line("a")])
    for number in range(3):
        author.discard(batch, f"file-{number}")
        assert query(_END_MARKED) >= [(1,)]
        store.save_batch(batch)
    assert open_url(postgres_url).get(batch.id) == batch


def test_lost_answer_to_a_commit(
    postgres_url: str, open_url: OpenURL, author: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed although no answer came is found in the log, and is no conflict."""
    store = open_url(postgres_url)
    insert = PostgresBatchRecorder._insert
    attempts = []

    def losing(self: PostgresBatchRecorder, *args: Any) -> Sequence[int]:
        attempts.append(args)
        positions = insert(self, *args)
        if len(attempts) == 1:
            raise OperationalError("the connection is lost")
        return positions

    monkeypatch.setattr(PostgresBatchRecorder, "_insert", losing)
    batch = author.draft([request_line("a"), request_line("b")])
    store.save_batch(batch)
    assert len(attempts) == 2
    assert [event.originator_version for event in store.history(batch.id)] == [1, 2]
    assert positions_of(store) == (2, 2)
    author.discard(batch, "file-1")
    store.save_batch(batch)
    assert image_of(open_url(postgres_url)) == image_of(store)


@pytest.fixture
def before_commit(monkeypatch: pytest.MonkeyPatch) -> BeforeCommit:
    """Give what has something done once in each save, with its cursor; and where that was."""

    def before_commit(act: Callable[[Any], object]) -> list[int]:
        move_checkpoint = PostgresViewWriter.move_checkpoint
        positions = list[int]()

        def move_and_act(self: PostgresViewWriter, position: int) -> None:
            move_checkpoint(self, position)
            if position not in positions:
                positions.append(position)
                act(self._cursor)

        monkeypatch.setattr(PostgresViewWriter, "move_checkpoint", move_and_act)
        return positions

    return before_commit


def test_connection_lost_before_the_commit(
    postgres_url: str,
    open_url: OpenURL,
    query: Query,
    author: Author,
    before_commit: BeforeCommit,
) -> None:
    """Whatever a save writes, its next attempt writes all of it again: the views, too."""
    store = open_url(f"{postgres_url}&{_MARK}")
    lost = before_commit(lambda _: query(_END_MARKED))
    batch = author.finished(store, ["a", "b"])
    assert len(lost) == 3
    image = image_of(store)
    assert [row.outcome for row in all_rows(store, batch.id)] == [Outcome.SUCCEEDED] * 2
    query("UPDATE batchtrail_view_checkpoint SET version=0")
    assert image_of(open_url(postgres_url)) == image


def test_process_that_stood_still_in_a_transaction(
    postgres_url: str,
    open_url: OpenURL,
    query: Query,
    author: Author,
    before_commit: BeforeCommit,
) -> None:
    """As a laptop that slept: the server has ended its session, and it saves once more."""
    store = open_url(f"{postgres_url}&{_MARK}")

    def stand_still(cursor: Any) -> None:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        while query("SELECT 1 FROM pg_stat_activity WHERE application_name='to-be-ended'"):
            pass

    stood_still = before_commit(stand_still)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    assert len(stood_still) == 1
    assert open_url(postgres_url).get(batch.id) == batch


def test_every_session_is_durable_and_lets_go(postgres_url: str, open_url: OpenURL) -> None:
    """Whatever the server's settings: commits reach the disk, and locks are not kept for ever."""
    store: Any = open_url(postgres_url.replace("options=", "options=-csynchronous_commit%3Doff%20"))
    with store.recorder.datastore.get_connection() as connection:
        found = [
            connection.execute(f"SHOW {name}").fetchone()[name]
            for name in (
                "synchronous_commit",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            )
        ]
        with connection.transaction():
            isolation = connection.execute("SHOW transaction_isolation").fetchone()
        # On a socket of files they have no effect, and no value that could be shown.
        set_here = connection.execute(
            "SELECT name FROM pg_settings WHERE source='session' AND name LIKE 'tcp%' ORDER BY name"
        ).fetchall()
    assert found == ["on", "1min", "1min"]
    assert isolation == {"transaction_isolation": "read committed"}
    assert [row["name"] for row in set_here] == [
        "tcp_keepalives_count",
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
    ]


@pytest.mark.parametrize("read_only", [False, True])
def test_somebody_who_keeps_the_tables(
    postgres_url: str, open_url: OpenURL, monkeypatch: pytest.MonkeyPatch, read_only: bool
) -> None:
    """Whoever opens the database waits no longer than for a save, and says so."""
    open_url(postgres_url)
    monkeypatch.setattr("batchtrail.adapters.postgres.schema.SESSION", "SET lock_timeout = '50ms'")
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE batchtrail_log")
        with pytest.raises(StoreError, match="lock timeout") as caught:
            PostgresBatchFactory(postgres_url, read_only=read_only)
    assert not isinstance(caught.value, InputError)


def test_somebody_who_prepares_the_tables(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And vanishes over it: nobody waits for that without end, either."""
    monkeypatch.setattr("batchtrail.adapters.postgres.schema.SESSION", "SET lock_timeout = '50ms'")
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        with pytest.raises(StoreError, match="lock timeout"):
            PostgresBatchFactory(postgres_url)


def test_whoever_reads_the_log(
    postgres_url: str, open_url: OpenURL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may be as slow as a pager is with an export, and wait for no lock for ever."""
    store = open_url(postgres_url)
    reader: Any
    with store.recorder.reading() as reader:
        assert reader._rows("SHOW idle_in_transaction_session_timeout") == [("0",)]
    monkeypatch.setattr("batchtrail.adapters.postgres.schema.SESSION", "SET lock_timeout = '50ms'")
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE batchtrail_events")
        with pytest.raises(StoreError, match="lock timeout"), store.recorder.reading() as reader:
            reader.last_position()


def test_server_out_of_reach() -> None:
    """The sentence names the place and the reason; what passes is no bad input."""
    url = "postgresql://me:hidden@127.0.0.1:1/trail"
    with pytest.raises(StoreError, match=r"database trail at 127\.0\.0\.1:1: conn") as caught:
        PostgresBatchFactory(url)
    assert not isinstance(caught.value, InputError)


@pytest.mark.parametrize("read_only", [False, True])
def test_server_that_has_no_connection_left(
    postgres_server: PostgresServer, read_only: bool
) -> None:
    """Nor is what a server says that is there."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS many")
        connection.execute("CREATE ROLE many LOGIN CONNECTION LIMIT 0")
    with pytest.raises(StoreError, match="too many connections") as caught:
        PostgresBatchFactory(f"{postgres_server.url}&user=many", read_only=read_only)
    assert not isinstance(caught.value, InputError)


def test_database_that_does_not_exist(postgres_server: PostgresServer) -> None:
    """The sentence says how to make it."""
    url = postgres_server.url.replace("/postgres?", "/nothing?")
    with pytest.raises(DatabaseRefusedError, match="does not exist; make it with `createdb`") as e:
        PostgresBatchFactory(url)
    assert "\n" not in str(e.value)


def test_user_that_does_not_exist(postgres_server: PostgresServer) -> None:
    """Nobody is told to make a database that is there."""
    url = f"{postgres_server.url}&user=nobody_there"
    with pytest.raises(DatabaseRefusedError, match="does not exist; name another user"):
        PostgresBatchFactory(url)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (f"user={GUARDED}", "no password supplied"),
        (f"user={BARRED}", "rejects connection"),
        ("user=pg_monitor", "not permitted to log in"),
        ("user=outsider&dbname=closed", "permission denied for database"),
        ("options=-cnonsense%3D1", "unrecognized configuration parameter"),
        ("options=-cdefault_transaction_read_only%3Don", "in a read-only transaction"),
    ],
)
def test_url_that_will_never_do(postgres_server: PostgresServer, wrong: str, problem: str) -> None:
    """What waiting does not mend is bad input."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        for statement in (
            "DROP DATABASE IF EXISTS closed",
            "DROP ROLE IF EXISTS outsider",
            "CREATE ROLE outsider LOGIN",
            "CREATE DATABASE closed",
            "REVOKE CONNECT ON DATABASE closed FROM public",
        ):
            connection.execute(statement)
    with pytest.raises(DatabaseRefusedError, match=problem):
        PostgresBatchFactory(f"{postgres_server.url}&{wrong}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hid%den@host/db",
        "postgresql://me:hidden@den@host/db",
        "postgresql://me:hidden/den@host/db",
        "postgresql://me:hidden@host:port/db",
        "postgresql://me@host/db?password=hidden&nonsense=1",
        "postgresql://me:hidden@[::1/db",
        "postgresql://me:hidden@127.0.0.1:1/db?sslmode=hidden",
    ],
)
def test_malformed_url(url: str) -> None:
    """A URL that was typed wrong is refused, and no piece of it shows."""
    with pytest.raises(InputError) as caught:
        PostgresBatchFactory(url)
    shown = "".join(format_exception(caught.value, limit=0))
    assert not [word for word in ("hid", "den") if word in shown]
    assert "hid" not in repr(Settings(database=url))
    assert "den" not in repr(Settings(database=url))


def test_password_is_nowhere(
    postgres_server: PostgresServer, open_url: OpenURL, caplog: pytest.LogCaptureFixture
) -> None:
    """Right or wrong, the password shows in no error, no repr and no log."""
    caplog.set_level(logging.DEBUG)
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
        connection.execute(f"CREATE SCHEMA AUTHORIZATION {GUARDED}")
    encoded = PASSWORD.replace("%", "%25").replace("&", "%26")
    url = postgres_server.url.replace("//postgres@", f"//{GUARDED}:{encoded}@")
    store: Any = open_url(url)
    store.views.summaries(limit=1)
    datastore = store.recorder.datastore
    said = [*map(repr, (datastore, datastore.pool, datastore.address, Settings(database=url)))]
    with pytest.raises(DatabaseRefusedError, match="password authentication failed") as caught:
        PostgresBatchFactory(url.replace("pw-3f9c", "pw-wrong"))
    said += [repr(caught.value), caplog.text]
    assert not [text for text in said if "3f9c" in text or "wrong" in text]
