"""The database file: what it is made like, and which files are refused and left alone."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.laboratory.author import Author, request_line
from tests.sqlite.conftest import OpenFile, Query

from batchtrail import open_trail
from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.sqlite import SQLiteBatchFactory, new_file
from batchtrail.adapters.sqlite.database import SCHEMA_VERSION, problem_of
from batchtrail.application.errors import StoreError
from batchtrail.application.store import Batches


def refusal(path: Path | str, *, read_only: bool = False) -> str:
    """What the store says when it cannot use the file; always one sentence that names it."""
    with pytest.raises(StoreError) as caught:
        SQLiteBatchFactory(path, read_only=read_only)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def foreign(path: Path, *statements: str) -> bytes:
    """Make the database of another program."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path.read_bytes()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_owner_may_read(
    path: Path, open_file: OpenFile, author: Author, umask: int
) -> None:
    """Prompts and answers are private: the file and what SQLite puts beside it have mode 0600."""
    before = os.umask(umask)
    try:
        store = open_file(path)
        store.save_batch(author.draft([request_line("a")]))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) == {"batches.db", "batches.db-wal", "batches.db-shm"}
    assert set(modes.values()) == {0o600}
    store.close()


def test_made_with_our_settings(path: Path, open_file: OpenFile, query: Query) -> None:
    """A new file has large pages, a write-ahead log and our marks."""
    open_file(path)
    assert query("PRAGMA page_size") == [(32_768,)]
    assert query("PRAGMA journal_mode") == [("wal",)]
    assert query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert query("PRAGMA application_id") == [(int.from_bytes(b"btra"),)]


def test_commits_are_durable(path: Path, open_file: OpenFile) -> None:
    """Every connection waits for the disk: an intent survives a power cut."""
    store: Any = open_file(path)
    with store.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone()[0] == 2


def test_closing_leaves_one_file(path: Path, author: Author) -> None:
    """A closed database is one file that can be copied."""
    store = Batches(SQLiteBatchFactory(path))
    store.save_batch(author.draft([request_line("a")]))
    store.close()
    assert list(path.parent.iterdir()) == [path]


def test_empty_file_is_ours(path: Path, open_file: OpenFile, author: Author) -> None:
    """An empty file, as `mktemp` leaves it, becomes a database with our settings."""
    path.touch()
    store = open_file(path)
    batch = author.draft([request_line("a")])
    store.save_batch(batch)
    assert open_file(path).get(batch.id) == batch


def test_only_whoever_begins_makes_a_file(path: Path) -> None:
    """Others leave no file where none is, and one that is empty as it is."""
    for is_there in (False, True):
        if is_there:
            path.touch()
        with pytest.raises(StoreError, match=f"no database {path}; `run` and `submit` make one"):
            SQLiteBatchFactory(path, makes_database=False)
        assert path.exists() is is_there
    assert path.read_bytes() == b""


async def test_a_trail_that_makes_no_database(path: Path) -> None:
    """A program that looks for what another recorded does not take an empty log for it."""
    url, provider = f"sqlite:///{path}", FakeBatchProvider()
    with pytest.raises(StoreError, match="there is no database"):
        async with open_trail(url, provider=provider, makes_database=False):
            raise AssertionError
    assert not path.exists()
    async with open_trail(url, provider=provider):
        pass
    async with open_trail(url, provider=provider, makes_database=False) as trail:
        assert await trail.batches() == []


def test_path_may_be_text(path: Path, open_file: OpenFile, author: Author) -> None:
    """A path is taken as a string, too."""
    batch = author.draft([request_line("a")])
    open_file(str(path)).save_batch(batch)
    assert open_file(path).get(batch.id) == batch


def test_memory_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_file: OpenFile, author: Author
) -> None:
    """`:memory:` makes no file, and two of them share nothing."""
    monkeypatch.chdir(tmp_path)
    one, two = open_file(":memory:"), open_file(":memory:")
    one.save_batch(author.draft([request_line("a")]))
    assert len(one.views.summaries(limit=9)) == 1
    assert two.views.summaries(limit=9) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["CREATE TABLE notes (text)"], id="plain"),
        pytest.param(["CREATE TABLE events (x)", "CREATE TABLE snapshots (y)"], id="our-names"),
        pytest.param(["PRAGMA application_id=7"], id="marked-and-empty"),
        pytest.param(["PRAGMA journal_mode=WAL", "CREATE TABLE notes (text)"], id="wal"),
        pytest.param(["PRAGMA page_size=512", "CREATE TABLE notes (text)"], id="small-pages"),
    ],
)
def test_foreign_database(path: Path, statements: list[str]) -> None:
    """The database of another program is refused and stays as it is, byte for byte."""
    content = foreign(path, *statements)
    assert "another program" in refusal(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"hello\n" * 1_000, id="text"),
        pytest.param(b'{"custom_id":"a"}\n', id="line"),
        pytest.param(b"SQLite format 3\0" + b"junk" * 300, id="header-only"),
        pytest.param(b"hi\n", id="tiny"),
        pytest.param(b"\n", id="one-byte"),
    ],
)
def test_other_file(path: Path, content: bytes) -> None:
    """A file that is no database, such as the input, is refused and stays as it is."""
    path.write_bytes(content)
    refusal(path)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_newer_schema(path: Path, open_file: OpenFile, query: Query) -> None:
    """A database of a newer version is refused with the remedy and stays as it is."""
    open_file(path).close()
    query(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    content = path.read_bytes()
    assert "upgrade batchtrail" in refusal(path)
    assert path.read_bytes() == content


def test_opening_writes_nothing(path: Path, open_file: OpenFile) -> None:
    """Whoever only looks at a finished file leaves it as it is, on a full disk as well."""
    open_file(path).close()
    before = path.read_bytes()
    with closing(sqlite3.connect(path)) as keeper:  # or the log beside the file is taken away
        keeper.execute("SELECT * FROM events").fetchall()
        open_file(path).close()
        assert path.with_name(f"{path.name}-wal").read_bytes() == b""
    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
def test_directory(tmp_path: Path, read_only: bool) -> None:
    """A directory is refused."""
    assert "is a directory" in refusal(tmp_path, read_only=read_only)


def test_missing_directory(tmp_path: Path) -> None:
    """A file in a directory that is not there is refused."""
    assert "No such file or directory" in refusal(tmp_path / "none" / "batches.db")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_directory(tmp_path: Path) -> None:
    """A directory in which no file can be made is refused."""
    tmp_path.chmod(0o500)
    try:
        assert "Permission denied" in refusal(tmp_path / "batches.db")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_database_in_an_unwritable_directory(path: Path) -> None:
    """A database beside which SQLite cannot put its log is refused."""
    Batches(SQLiteBatchFactory(path)).close()
    path.parent.chmod(0o500)
    try:
        refusal(path)
    finally:
        path.parent.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_file(path: Path) -> None:
    """A database that may not be written is refused."""
    Batches(SQLiteBatchFactory(path)).close()
    path.chmod(0o400)
    assert "cannot be written; `verify` and `export` read" in refusal(path)


def test_what_sqlite_says_of_a_file_that_is_not_ours_to_write(path: Path) -> None:
    """In a folder in which it cannot make its log, it learns that only when it writes."""
    Batches(SQLiteBatchFactory(path)).close()
    with (
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError) as caught,
    ):
        connection.execute("DELETE FROM events")
    assert "it cannot be written; `verify` and `export` read" in problem_of(caught.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_device() -> None:
    """A device without room is refused."""
    refusal("/dev/full")


def test_cut_off_database(path: Path, author: Author) -> None:
    """A database that lost its end, as after a broken copy, is refused."""
    store = Batches(SQLiteBatchFactory(path))
    store.save_batch(author.draft(request_line(f"r{n}", "x" * 500) for n in range(1_000)))
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refusal(path)


def test_damaged_database(path: Path, open_file: OpenFile) -> None:
    """A database with broken pages is an error of the store when it is opened."""
    open_file(path).close()
    content = path.read_bytes()
    path.write_bytes(content[:32_768] + b"Z" * (len(content) - 32_768))
    with pytest.raises(StoreError):
        open_file(path)


@pytest.mark.parametrize("name", ["file:trail.db", "file:trail.db?mode=ro"])
def test_file_with_the_name_of_a_uri(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_file: OpenFile, author: Author, name: str
) -> None:
    """The file that was checked and made private is the one that is used."""
    monkeypatch.chdir(tmp_path)
    store = open_file(name)
    store.save_batch(author.draft([request_line("a")]))
    store.close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["mode=memory.db", "x:memory:.db"])
def test_file_named_like_memory(tmp_path: Path, open_file: OpenFile, name: str) -> None:
    """Whatever a file is called, it has a write-ahead log."""
    store: Any = open_file(tmp_path / name)
    with store.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA journal_mode")
        assert cursor.fetchone()[0] == "wal"


def test_full_disk(path: Path, open_file: OpenFile, author: Author) -> None:
    """When the disk is full nothing is written, and the store goes on when there is room again."""
    store: Any = open_file(path)
    with store.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count={pages + 2}")
    batch = author.draft(request_line(f"r{n}", "x" * 5_000) for n in range(100))
    with pytest.raises(Exception, match="full"):
        store.save_batch(batch)
    with store.recorder.datastore.transaction(commit=False) as cursor:
        cursor.execute("PRAGMA max_page_count=1000000")
    assert store.views.summaries(limit=9) == []
    assert list(store.history(batch.id)) == []
    store.save_batch(batch)
    assert store.get(batch.id) == batch


def no_links(*_: object) -> None:
    """What a file system without links says."""
    raise PermissionError


def save_one(path: Path | str) -> None:
    """Make a database with one batch."""
    store = Batches(SQLiteBatchFactory(path))
    store.save_batch(Author().draft([request_line("a")]))
    store.close()


def test_a_file_that_is_moved(path: Path, open_file: OpenFile, author: Author) -> None:
    """Its newest events stay behind in the log beside it, of which the error tells."""
    store, batch = open_file(path), author.draft([request_line("a")])
    store.save_batch(batch)
    moved = path.rename(path.with_name("moved.db"))
    with pytest.raises(StoreError, match="with its own `-wal` beside it"):
        store.get(batch.id)
    store.close()
    Path(f"{path}-wal").rename(f"{moved}-wal")
    assert open_file(moved).get(batch.id) == batch


@pytest.mark.parametrize("is_empty", [False, True])
def test_no_new_file_beside_the_log_of_another(
    path: Path, open_file: OpenFile, author: Author, is_empty: bool
) -> None:
    """As a worker that is started again would make it: SQLite would delete what stands there.

    It would do so for whoever only reads, too.
    """
    store, batch = open_file(path), author.draft([request_line("a")])
    store.save_batch(batch)
    moved = path.rename(path.with_name("moved.db"))
    store.close()
    if is_empty:
        path.touch()
    assert "there is no database" in refusal(path, read_only=True)
    assert "the `-wal` of a database that was moved or deleted" in refusal(path)
    assert path.exists() is is_empty
    moved.rename(path)
    assert open_file(path).get(batch.id) == batch


def test_a_file_that_is_taken_away(path: Path, open_file: OpenFile, author: Author) -> None:
    """Nothing is written where nobody finds it again, nor read of what others do not see."""
    store, batch = open_file(path), author.draft([request_line("a")])

    def assert_refused() -> None:
        with pytest.raises(StoreError, match=f"{path.name} was moved, deleted or replaced"):
            store.save_batch(batch)
        with pytest.raises(StoreError, match=f"{path.name} was moved, deleted or replaced"):
            store.catch_up()

    path.unlink()
    assert_refused()
    Path(f"{path}-wal").unlink()
    save_one(path)
    assert_refused()


@pytest.mark.parametrize("has_links", [True, False])
def test_a_new_file_gets_its_name_last(
    path: Path, open_file: OpenFile, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """Until then nobody finds it; then it is the one file, private as all of them are."""
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with new_file(path) as made:
        save_one(made)
        assert not path.exists()
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(open_file(path).views.summaries(limit=9)) == 1


def test_a_new_file_that_is_not_finished(path: Path) -> None:
    """Nothing is left of it."""
    with pytest.raises(RuntimeError), new_file(path) as made:  # noqa: PT012 (the block is the case)
        save_one(made)
        raise RuntimeError
    assert list(path.parent.iterdir()) == []


def test_a_new_file_takes_no_place_that_is_taken(path: Path, open_file: OpenFile) -> None:
    """What another process made meanwhile stays; what is there before is used as it is."""
    with pytest.raises(StoreError, match=f"made the database {path} meanwhile"):  # noqa: SIM117, PT012 (the block is the case)
        with new_file(path) as made:
            Batches(SQLiteBatchFactory(made)).close()
            save_one(path)
    assert list(path.parent.iterdir()) == [path]
    assert len(open_file(path).views.summaries(limit=9)) == 1
    other = path.with_name("other.db")
    other.with_name("other.db-wal").write_bytes(b"an old log")
    for there in (path, other, path.parent / "none" / "new.db"):
        with new_file(there) as made:
            assert made == there
    with new_file(":memory:") as name:
        assert name == ":memory:"
