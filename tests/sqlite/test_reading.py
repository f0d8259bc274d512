"""Reading a file for evidence: beside writers, without a write, whatever it holds."""

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from attrs import evolve
from eventsourcing.persistence import PersistenceError
from tests.laboratory.author import Author, request_line
from tests.laboratory.stores import save_all
from tests.sqlite.conftest import OpenFile, Query, read_only

from batchtrail.adapters.cli.exits import ExitStatus
from batchtrail.adapters.cli.history import HistoryOptions, Selection, show_history
from batchtrail.adapters.cli.place import Place
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.errors import InputError, StoreError
from batchtrail.application.replay import batch_after
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.application.views import BatchSummary


@pytest.fixture
def store(path: Path, open_file: OpenFile, author: Author) -> Batches:
    """Give a store with every kind of event."""
    store = open_file(path)
    save_all(store, author.interleaved())
    return store


def test_reading_changes_nothing(path: Path, store: Batches) -> None:
    """Also after a process that left its latest commits beside the file."""
    before = hashlib.sha256(path.read_bytes()).digest()
    reader = read_only(path)
    assert verify_store(reader, against=None, limit=9).is_good
    reader.close()
    assert hashlib.sha256(path.read_bytes()).digest() == before
    store.close()
    before = hashlib.sha256(path.read_bytes()).digest()
    reader = read_only(path)
    assert verify_store(reader, against=None, limit=9).is_good
    reader.close()
    assert hashlib.sha256(path.read_bytes()).digest() == before


def copied(path: Path, to: Path) -> Path:
    """Copy a database with its log, but without what processes share of it."""
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{to}{suffix}")
    return to


@pytest.fixture
def protect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Give what takes the right to write from us; root is not kept from it by permissions."""
    access = os.access

    def protect(place: Path) -> None:
        monkeypatch.setattr(
            os,
            "access",
            lambda where, mode: (
                not (mode & os.W_OK and Path(where) == place) and access(where, mode)
            ),
        )

    return protect


@pytest.fixture
def write_protected(path: Path, protect: Callable[[Path], None]) -> None:
    """No file can be made beside the database."""
    protect(path.parent)


def test_a_file_system_that_is_read_only(path: Path, store: Batches, write_protected: None) -> None:
    """Nothing is made beside the file, not even for as long as it is read."""
    del write_protected
    store.close()
    reader = read_only(path)
    with reader.recorder.reading() as log:
        assert log.last_position() > 0
        assert list(path.parent.iterdir()) == [path]
    assert verify_store(reader, against=None, limit=9).is_good
    reader.close()


def test_a_change_that_nobody_locked_out_is_told(
    path: Path, store: Batches, author: Author, write_protected: None
) -> None:
    """Another user may write to a file that this one opened as what nobody changes."""
    del write_protected
    store.close()
    reader = read_only(path)
    for met in (None, sqlite3.DatabaseError("malformed"), ValueError("no event")):
        with pytest.raises(StoreError, match=r"another process changed .*; try again"):  # noqa: SIM117, PT012 (the block is the case)
            with reader.recorder.reading() as log:
                assert log.last_position() > 0
                other = Batches(SQLiteBatchFactory(path))
                other.save_batch(author.draft([request_line("new")]))
                other.close()
                if met is not None:
                    raise met
    with pytest.raises(StoreError, match="another process changed"), reader.recorder.reading():
        path.with_name(f"{path.name}-wal").touch()
    path.with_name(f"{path.name}-wal").unlink()
    with pytest.raises(StoreError, match="another process changed"), reader.recorder.reading():
        path.unlink()
    reader.close()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("protected", ["the file", "its folder"])
def test_a_log_that_is_left_is_read(
    path: Path, store: Batches, protect: Callable[[Path], None], protected: str, *, alone: bool
) -> None:
    """The file alone would be an earlier state, without the commits beside it."""
    if alone:
        path = copied(path, path.with_name("copy.db"))
    protect(path if protected == "the file" else path.parent)
    with read_only(path).recorder.reading() as log:
        assert log.last_position() == log.checkpoint() > 0
    store.close()


def test_a_link_from_a_folder_that_nobody_may_change(
    path: Path, store: Batches, protect: Callable[[Path], None]
) -> None:
    """SQLite's log stands beside the file, so that what a writer has just recorded is seen."""
    folder = path.with_name("links")
    folder.mkdir()
    link = folder / "link.db"
    link.symlink_to(path)
    protect(folder)
    looking = Batches(SQLiteBatchFactory(link, makes_database=False, may_only_read=True))
    before = len(looking.views.summaries(limit=99))
    store.save_batch(Author().draft([request_line("later")]))
    assert len(looking.views.summaries(limit=99)) == before + 1
    looking.close()


async def test_nobody_waits_at_a_file_that_may_only_be_read(
    path: Path, store: Batches, protect: Callable[[Path], None]
) -> None:
    """It is read as what nobody changes, so that nothing would ever come."""
    batch_id = str(store.views.summaries(limit=1)[0].id)
    store.close()
    protect(path)
    once = HistoryOptions(
        batch_id, None, Selection.parse((), (), None, None), every=False, follow=False, as_json=True
    )
    place = Place(f"sqlite:///{path}")
    assert await show_history(once, place) is ExitStatus.OK
    with pytest.raises(InputError, match="cannot be written"):
        await show_history(evolve(once, follow=True), place)


@pytest.fixture(params=["the file", "its folder"])
def auditor(
    request: pytest.FixtureRequest, path: Path, store: Batches, protect: Callable[[Path], None]
) -> Iterator[Callable[[], Batches]]:
    """Give what opens a closed database that may not be written, to look back."""
    store.close()
    with ExitStack() as stack:

        def auditor() -> Batches:
            protect(path if request.param == "the file" else path.parent)
            factory = SQLiteBatchFactory(path, makes_database=False, may_only_read=True)
            batches = Batches(factory)
            stack.callback(batches.close)
            return batches

        yield auditor


def test_who_may_only_read_looks_back(
    path: Path, store: Batches, author: Author, auditor: Callable[[], Batches]
) -> None:
    """All that a log tells, of the views as well; nothing can be recorded."""
    del store
    before = path.read_bytes()
    reader = auditor()
    for summary in reader.views.summaries(limit=99):
        assert BatchSummary.of(batch_after(reader.history(summary.id))) == summary
        assert reader.get(summary.id).version == summary.version
        assert len(list(reader.lines_page(summary.id, after=0))) == summary.request_count
    with pytest.raises(PersistenceError, match="it cannot be written; `verify` and `export` read"):
        reader.save_batch(author.draft([request_line("new")]))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]  # the owner could not write to a log of ours


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE view_checkpoint SET version=version-1",
        "UPDATE view_checkpoint SET position=position-1",
        "DROP TABLE leases",
    ],
)
def test_who_may_only_read_brings_nothing_up_to_date(
    path: Path, query: Query, auditor: Callable[[], Batches], change: str
) -> None:
    """Views that lag or are old are not taken for what the log gives; what helps is told."""
    query(change)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="cannot be written; `verify` and `export` read"):
        auditor()
    assert path.read_bytes() == before


def test_a_change_is_told_to_who_looks_back(
    path: Path, store: Batches, author: Author, write_protected: None
) -> None:
    """At the end, as what was read may be of two states."""
    del write_protected
    store.close()
    reader = Batches(SQLiteBatchFactory(path, may_only_read=True))
    assert reader.views.summaries(limit=1)
    other = Batches(SQLiteBatchFactory(path))
    other.save_batch(author.draft([request_line("new")]))
    other.close()
    with pytest.raises(StoreError, match="another process changed"):
        reader.close()


def test_a_file_that_somebody_goes_on_with(path: Path, store: Batches, author: Author) -> None:
    """Whoever reads keeps what he sees, also where nobody had the file open when he began."""
    store.close()
    with read_only(path).recorder.reading() as reader:
        last = reader.last_position()
        with closing(SQLiteBatchFactory(path)) as factory:
            Batches(factory).save_batch(author.draft([request_line("new")]))
        assert Path(f"{path}-wal").exists()
        assert reader.last_position() == reader.checkpoint() == last


def test_one_moment(path: Path, store: Batches, author: Author) -> None:
    """What others save while somebody reads is not seen, and they need not wait."""
    with read_only(path).recorder.reading() as reader:
        last = reader.last_position()
        store.save_batch(author.draft([request_line("new")]))
        assert reader.last_position() == reader.checkpoint() == last
    with read_only(path).recorder.reading() as reader:
        assert reader.last_position() == last + 2


@pytest.mark.parametrize(
    "damage",
    [
        "topic=CAST(x'ff6261' AS TEXT)",
        "topic=x'00'",
        "originator_id=CAST(x'ff' AS TEXT)",
        "originator_id='00'",
        "originator_id=x'00'",
        "originator_id=upper(originator_id)",
        "originator_version='three'",
        "originator_version=-7",
        "originator_version=1e300",
        "state='text'",
        "state=7",
        "digest='text'",
        "digest=7.5",
        "body='text'",
    ],
)
def test_columns_that_hold_anything(path: Path, store: Batches, query: Query, damage: str) -> None:
    """The event is named by its position, and the others are verified."""
    del store
    query(f"UPDATE events SET {damage} WHERE position=8")  # noqa: S608 (a damage)
    query("UPDATE events SET digest=x'00' WHERE position=20")
    found = verify_store(read_only(path), against=None, limit=99)
    assert {8, 20} <= {each.position for each in found.differences}


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE completions SET first_number='one' WHERE rowid=1",
        "UPDATE completions SET first_number=0.5 WHERE rowid=1",
        "UPDATE completions SET outcomes=7",
        "UPDATE completions SET outcomes=x'ff'",
        "UPDATE completions SET outcomes=''",
        "UPDATE completions SET outcomes='?'||substr(outcomes, 2)",
        "UPDATE completions SET positions=x'01'",
        "UPDATE completions SET positions=zeroblob(8000)",
        "UPDATE completions SET positions=CAST(x'ff' AS TEXT)",
        "UPDATE request_ids SET custom_ids='{}'",
        "UPDATE request_ids SET custom_ids=json_insert(custom_ids, '$[#]', 'one too many')",
        "UPDATE batches SET summary='no JSON'",
        "UPDATE batches SET batch_id='x' WHERE batch_no=1",
        "UPDATE batches SET batch_id=CAST(x'ff' AS TEXT) WHERE batch_no=1",
        "UPDATE snapshots SET topic='other'",
    ],
)
def test_views_that_hold_anything(path: Path, store: Batches, query: Query, damage: str) -> None:
    """Whatever stands in a row, it is told."""
    del store
    query(damage)
    assert not verify_store(read_only(path), against=None, limit=99).is_good


def test_a_page_that_cannot_be_read(path: Path, store: Batches) -> None:
    """A file that SQLite itself cannot follow is one clear sentence."""
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name='events'"
        ).fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 32_768 : page * 32_768] = b"\xff" * 32_768
    path.write_bytes(content)
    with pytest.raises(StoreError, match=f"{path}"):
        verify_store(read_only(path), against=None, limit=9)
