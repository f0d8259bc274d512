"""`export` and `import` as they are typed: a log moves to a server and back."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Emulator, custom_ids, recorded, sentence
from tests.laboratory.commands import COMMAND
from tests.laboratory.forks import Forks

from batchtrail.adapters.cli.output import whole_file
from batchtrail.application.errors import InputError


@pytest.fixture(scope="module", name="finished")
def _finished(
    tmp_path_factory: pytest.TempPathFactory, fast_emulator: Emulator, warm: Forks
) -> tuple[Path, list[str]]:
    """A directory with two finished batches, exported, and the batches' ids."""
    fast_emulator.begin()
    cli = Cli(tmp_path_factory.mktemp("moving"), fast_emulator.base_url, warm)
    first = cli.write(5, change={2: {"user": "emulator:400:too_long"}})
    second = cli.write(2, "second.jsonl")
    ids = [cli("run", path, "--json", "-o", "out.jsonl").json["id"] for path in (first, second)]
    assert cli("seal").status == 0
    assert cli("export", "-o", "log.jsonl").status == 0
    return cli.home, ids


@pytest.fixture(name="ids")
def _ids(finished: tuple[Path, list[str]], cli: Cli) -> list[str]:
    """The ids of the batches in the database of the directory in which the command runs."""
    for path in finished[0].iterdir():
        (cli.home / path.name).write_bytes(path.read_bytes())
    return finished[1]


def files(home: Path) -> set[Path]:
    """The files that are there, but for those that come and go beside a database."""
    return {path for path in home.iterdir() if not path.name.endswith(("-wal", "-shm"))}


def test_to_a_server_and_back(
    cli: Cli, ids: list[str], emulator: Emulator, postgres_url: str
) -> None:
    """The same seal, verified each time, the same results, and nothing is submitted again."""
    seal = cli("seal").out.strip()
    events = recorded(cli.home / "batchtrail.db")
    results = [cli("results", batch).stdout for batch in ids]
    history = cli("history", ids[0], "--json").stdout
    for url, source in ((postgres_url, "log.jsonl"), ("sqlite:///back.db", "postgresql.jsonl")):
        place = ("--db", url)
        moved = cli("import", source, *place)
        said = f"imported; events: {events}; batches: 2; seal: {seal}\n"
        assert (moved.status, moved.out, moved.err) == (0, said, "")
        assert cli("verify", "--against", seal, *place).status == 0
        assert cli("seal", "--full", *place).out.strip() == seal
        assert [cli("results", batch, *place).stdout for batch in ids] == results
        assert cli("history", ids[0], "--json", *place).stdout == history
        name = f"{url.partition(':')[0]}.jsonl"
        exported = cli("export", "-o", name, *place)
        assert (exported.status, exported.out) == (0, "")
        assert exported.err == f"batchtrail: ex{said[2:]}"
        assert (cli.home / name).read_bytes() == (cli.home / "log.jsonl").read_bytes()
        again = cli("run", "in.jsonl", *place)
        assert (again.status, again.stdout) == (3, results[0])
    assert emulator.received() == {}


def test_some_batches_through_a_pipe(cli: Cli, ids: list[str]) -> None:
    """One batch alone, named by its first characters, without a file in between."""
    batch = ids[1][:8]
    moved = cli.shell(
        "export", batch, redirect=f"| {COMMAND} import - --json --db sqlite:///one.db"
    )
    assert moved.status == 0
    assert moved.json["batches"] == 1
    one = ("--db", "sqlite:///one.db")
    assert cli("seal", *one).out.strip() == moved.json["seal"]
    assert cli("verify", *one).status == 0
    assert cli("results", batch, *one).stdout == cli("results", batch).stdout
    (shown,) = cli("status", "--json", *one).jsonl
    assert shown["id"] == ids[1]


def test_who_may_read_an_export(cli: Cli, ids: list[str]) -> None:
    """It is as private as the database."""
    assert stat.S_IMODE((cli.home / "log.jsonl").stat().st_mode) != 0o600
    assert cli("export", ids[0], "-o", "new.jsonl").status == 0
    assert stat.S_IMODE((cli.home / "new.jsonl").stat().st_mode) == 0o600


@pytest.mark.parametrize("nameless", [True, False])
def test_an_export_that_another_process_has_made_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, nameless: bool
) -> None:
    """Two at once, as by a clock: the first stays, and nothing is left of the second."""
    if not nameless:  # as on systems that have no files without a name
        monkeypatch.setattr("batchtrail.adapters.cli.output._DESCRIPTORS", tmp_path / "none")
    path = tmp_path / "log.jsonl"

    def export_twice() -> None:
        with whole_file(path, export=True) as second:
            with whole_file(path, export=True) as first:
                first.write(b"first")
            second.write(b"second")

    with pytest.raises(InputError, match=r"log\.jsonl is there already"):
        export_twice()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        ("log.jsonl", b"first")
    ]


def test_an_export_is_never_replaced(cli: Cli, ids: list[str]) -> None:
    """It may be the only copy of what was pruned since; a pipe or a device is none."""
    before = files(cli.home)
    assert cli("prune", "--older-than", "0s", "--no-export").status == 0
    kept = (cli.home / "log.jsonl").read_bytes()
    told = sentence(cli("export", "-o", "log.jsonl"))
    assert told == "log.jsonl is there already and may hold what was pruned; name a new file"
    (cli.home / "link.jsonl").symlink_to("log.jsonl")
    assert "link.jsonl is there already" in sentence(cli("export", ids[0], "-o", "link.jsonl"))
    assert (cli.home / "log.jsonl").read_bytes() == kept
    assert files(cli.home) == before | {cli.home / "link.jsonl"}
    assert cli("export", "-o", "/dev/null").status == 0


def test_what_an_export_lacks(cli: Cli, ids: list[str]) -> None:
    """Its summary tells of the texts that were removed before, if there are any."""
    batch = ids[1]
    (request, *_) = custom_ids((cli.home / "second.jsonl").read_bytes())
    assert cli("redact", batch, request).status == 0
    *lacks, _ = cli("export", batch, "-o", "redacted.jsonl").err.splitlines()
    assert lacks == [
        "batchtrail: bodies that were removed before, and are not in the export: 1",
        "batchtrail: request lines that are redacted: 1",
    ]
    assert cli("prune", "--older-than", "0s", "--no-export").status == 0
    *lacks, _ = cli("export", batch, "-o", "pruned.jsonl").err.splitlines()
    assert lacks == ["batchtrail: bodies that were removed before, and are not in the export: 3"]


def test_a_file_that_is_refused(cli: Cli, ids: list[str]) -> None:
    """One sentence, status 2, and no database where there was none."""
    assert ids
    log = (cli.home / "log.jsonl").read_bytes()
    before = files(cli.home)
    new = ("--db", "sqlite:///new.db")
    for content, what in (
        (log[:-1], "the file ends here"),
        (log[: len(log) // 2], "the file ends here"),
        (log.replace(b"gpt-5-nano", b"gpt-5-mini", 1), "field body: has a body that is not the"),
        ((cli.home / "in.jsonl").read_bytes(), "is not the header of an export"),
    ):
        (cli.home / "wrong.jsonl").write_bytes(content)
        said = sentence(cli("import", "wrong.jsonl", *new))
        assert said.startswith("wrong.jsonl: line ")
        assert what in said
    (cli.home / "wrong.jsonl").unlink()
    assert files(cli.home) == before
    assert "cannot be read: No such file" in sentence(cli("import", "none.jsonl", *new))
    assert "cannot be read: Is a directory" in sentence(cli("import", ".", *new))
    assert "has events already" in sentence(cli("import", "log.jsonl"))
    assert "is the database" in sentence(cli("import", "batchtrail.db"))
    assert "cannot open the database" in sentence(
        cli("import", "log.jsonl", "--db", "sqlite:///none/new.db")
    )
    assert files(cli.home) == before


def test_an_empty_database_that_is_there(cli: Cli, ids: list[str]) -> None:
    """It is filled, and one that cannot be filled stays."""
    assert ids
    there = ("--db", "sqlite:///there.db")
    assert cli("status", "--json", *there).out == ""
    assert sentence(cli("import", "in.jsonl", *there))
    assert recorded(cli.home / "there.db") == 0
    assert cli("import", "log.jsonl", *there).status == 0
    assert recorded(cli.home / "there.db") == recorded(cli.home / "batchtrail.db")


def test_a_log_that_cannot_be_exported(cli: Cli, ids: list[str]) -> None:
    """Damage is named, no file is left, and the other batch can be moved."""
    before = files(cli.home)
    with closing(sqlite3.connect(cli.home / "batchtrail.db", isolation_level=None)) as database:
        database.execute("UPDATE events SET state=state||x'00' WHERE position=3")
    said = sentence(cli("export", "-o", "damaged.jsonl"), 1)
    assert "the event at position 3 is not what its digest says" in said
    assert said.endswith("`verify` names all that is damaged")
    assert files(cli.home) == before
    assert cli("export", ids[1], "-o", "one.jsonl").status == 0
    assert "is the database" in sentence(cli("export", "-o", "batchtrail.db"))
    assert "no batch ffff" in sentence(cli("export", "ffff"))
    assert "there is no database" in sentence(cli("export", "--db", "sqlite:///none.db"))
