"""The tables: made and upgraded under a lock, whose they are, and what can be thrown away."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from attrs import evolve
from tests.laboratory.author import AWKWARD_IDS, LIMITS, Author, request_line
from tests.laboratory.stores import all_rows, image_of, positions_of
from tests.postgres.conftest import OpenURL, Query
from tests.postgres_server import PostgresServer

from batchtrail.adapters.postgres import PostgresBatchFactory, schema
from batchtrail.application.errors import ConflictError, DatabaseRefusedError
from batchtrail.application.request_lines import checked_chunks
from batchtrail.application.store import Batches
from batchtrail.application.views import BatchSummary
from batchtrail.domain.requests import RequestCheck, RequestIndex

Rows = Callable[[], list[Any]]

_ROWS = (
    "SELECT * FROM batchtrail_batches ORDER BY batch_no",
    "SELECT * FROM batchtrail_completions ORDER BY batch_no, number",
    "SELECT * FROM batchtrail_view_checkpoint",
)


@pytest.fixture
def store(postgres_url: str, open_url: OpenURL, author: Author) -> Batches:
    """Give a store with some batches."""
    store = open_url(postgres_url)
    for batch in author.interleaved():
        store.save_batch(batch)
    return store


@pytest.fixture
def rows(query: Query) -> Rows:
    """Give what reads every row of the views, past the store."""
    return lambda: [query(statement) for statement in _ROWS]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE batchtrail_view_checkpoint",
        "DROP TABLE batchtrail_batches",
        "DROP TABLE batchtrail_completions",
        "UPDATE batchtrail_view_checkpoint SET version=version-1",
        "DELETE FROM batchtrail_view_checkpoint",
    ],
)
@pytest.mark.usefixtures("store")
def test_views_that_are_missing_or_old(
    postgres_url: str, open_url: OpenURL, query: Query, rows: Rows, statement: str
) -> None:
    """Whichever is missing or of another version: all are rebuilt to what they were."""
    before = rows()
    query(statement)
    open_url(postgres_url)
    assert rows() == before


@pytest.mark.usefixtures("store")
def test_views_of_a_newer_version(
    postgres_url: str, open_url: OpenURL, query: Query, rows: Rows
) -> None:
    """Somebody else needs them as they are."""
    query("UPDATE batchtrail_view_checkpoint SET version=version+1")
    before = rows()
    with pytest.raises(
        DatabaseRefusedError, match=r"newer version of batchtrail \(views \d+, this"
    ):
        open_url(postgres_url)
    assert rows() == before


def test_positions_are_never_used_again(
    store: Batches, postgres_url: str, open_url: OpenURL, query: Query, author: Author
) -> None:
    """When the end of the log was deleted, new events get new positions, and views see them."""
    last = positions_of(store)[1]
    query("DELETE FROM batchtrail_events WHERE notification_id > %s", last - 3)
    query("DELETE FROM batchtrail_snapshots")
    again = open_url(postgres_url)
    batch = author.draft([request_line("a")])
    again.save_batch(batch)
    assert again.views.summaries(limit=1)[0].id == batch.id
    assert positions_of(again) == (last + 2, last + 2)


def test_broken_views_are_no_conflict(
    postgres_url: str, open_url: OpenURL, query: Query, author: Author
) -> None:
    """A row too many in a view is an error: a caller that meets a conflict tries for ever."""
    store = open_url(postgres_url)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    query("INSERT INTO batchtrail_completions VALUES (1, 2, 'b', 'pending', NULL)")
    check = RequestCheck(LIMITS, model="m", known=RequestIndex(["a"]))
    for chunk in checked_chunks([request_line("b") + b"\n"], check):
        batch.add_requests(chunk, LIMITS, stamp=author.stamp())
    with pytest.raises(Exception, match=r"duplicate key .*batchtrail rebuild") as caught:
        store.save_batch(batch)
    assert not isinstance(caught.value, ConflictError)
    assert "\n" not in str(caught.value)


def test_odd_texts_survive(postgres_url: str, open_url: OpenURL, author: Author) -> None:
    """NUL and lone surrogates, which no text column holds, come back as they went."""
    odd = ("nul\0", "\ud800", "\0", "ünï-✓", "")
    store: Any = open_url(postgres_url)
    batch = author.draft(identity=odd[0])
    batch_id = batch.id
    summary = evolve(BatchSummary.of(batch), provider=odd[1], provider_batch_id=odd[2])
    store.save_batch(batch)

    def write(views: Any) -> None:
        views.add_requests(batch_id, 1, odd)
        views.put_batch(evolve(summary, provider="new\0"), None)

    store.recorder.advance_views(1, 1, write)
    assert [row.custom_id for row in all_rows(store, batch_id)] == list(odd)
    assert store.views.latest_generation(odd[0]) == 1
    assert store.views.latest_generation("nul") == 0
    found = store.views.summaries(limit=1)[0]
    assert (found.provider, found.provider_batch_id) == ("new\0", odd[2])


def test_database_of_another_encoding(
    postgres_server: PostgresServer, open_url: OpenURL, author: Author
) -> None:
    """Every text of other people is bytes there, so that none depends on the encoding."""
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    store = open_url(postgres_server.url.replace("/postgres?", "/latin?"))
    batch = author.draft(map(request_line, AWKWARD_IDS), metadata={"näme": "✓\0"})
    store.save_batch(batch)
    assert [row.custom_id for row in all_rows(store, batch.id)] == list(AWKWARD_IDS)
    assert store.views.summaries(limit=1)[0].metadata == {"näme": "✓\0"}
    store.close()


def test_upgrade(
    store: Batches,
    postgres_url: str,
    open_url: OpenURL,
    query: Query,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer version brings the tables up to date, once; an older one then refuses them."""
    image = image_of(store)
    released = schema.MIGRATIONS[:]
    newer = [*released, ("ALTER TABLE batchtrail_log ADD note text DEFAULT 'upgraded'",)]
    monkeypatch.setattr(schema, "MIGRATIONS", newer)
    for _ in range(2):
        assert image_of(open_url(postgres_url)) == image
    assert query("SELECT schema_version, note FROM batchtrail_log") == [(2, "upgraded")]
    monkeypatch.setattr(schema, "MIGRATIONS", released)
    with pytest.raises(DatabaseRefusedError, match=r"schema 2, this one knows 1.*upgrade"):
        PostgresBatchFactory(postgres_url)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE batchtrail_log (line text)",
        "CREATE TABLE batchtrail_log (schema_version int, last_position bigint)",
        "CREATE TABLE batchtrail_batches (batch_no int)",
        "CREATE TABLE batchtrail_events (x int)",
    ],
)
def test_foreign_tables_of_our_names(postgres_url: str, query: Query, statement: str) -> None:
    """They are refused by name and left alone."""
    query(statement)
    with pytest.raises(DatabaseRefusedError, match="name another database or schema"):
        PostgresBatchFactory(postgres_url)
    tables = "SELECT count(*) FROM pg_tables WHERE schemaname=current_schema()"
    assert query(tables) == [(1,)]


def test_other_tables_are_no_concern(
    postgres_url: str, open_url: OpenURL, query: Query, author: Author
) -> None:
    """An application keeps its own tables beside ours, also those of common names."""
    for name in ("events", "batches", "snapshots"):
        query(f"CREATE TABLE {name} (text text)")
    store = open_url(postgres_url)
    store.save_batch(author.draft([request_line("a")]))
    assert query("SELECT count(*) FROM events") == [(0,)]
    assert len(store.views.summaries(limit=9)) == 1


def test_schema_that_does_not_exist(postgres_url: str) -> None:
    """Without a schema there is no place for tables."""
    with pytest.raises(DatabaseRefusedError, match="no schema on its search path"):
        PostgresBatchFactory(f"{postgres_url}_gone")


def test_tables_are_found_along_the_search_path(
    store: Batches, postgres_url: str, open_url: OpenURL, query: Query
) -> None:
    """A schema that comes to stand before that of the tables hides nothing."""
    name = f"Earlier_{UUID(int=7).hex}"
    query(f'CREATE SCHEMA "{name}"')
    try:
        url = postgres_url.replace("search_path%3D", f'search_path%3D"{name}",')
        assert image_of(open_url(url)) == image_of(store)
    finally:
        query(f'DROP SCHEMA "{name}"')
