"""Where results go: whole, or not at all."""

import errno
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from batchtrail.adapters.cli.output import write_lines


async def _lines(*, broken: bool = False) -> AsyncIterator[bytes]:
    yield b'{"custom_id":"a"}\n'
    if broken:
        raise KeyboardInterrupt
    yield b'{"custom_id":"b"}\n'


@pytest.fixture(params=["unnamed", "named"], name="target")
def _target(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A target on a system with files without names, and on one without."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return tmp_path / "out.jsonl"


async def test_file_is_written_and_alone(target: Path) -> None:
    """Every line is there, and nothing else is left in the directory."""
    await write_lines(_lines(), target)

    assert target.read_bytes() == b'{"custom_id":"a"}\n{"custom_id":"b"}\n'
    assert [target] == list(target.parent.iterdir())


async def test_new_file_has_the_usual_permissions(target: Path) -> None:
    """The umask decides, as for any new file."""
    await write_lines(_lines(), target)

    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


async def test_replaced_file_keeps_its_permissions(target: Path) -> None:
    """Who could read the results before can read them now, and nobody else."""
    target.touch()
    target.chmod(0o640)

    await write_lines(_lines(), target)

    assert target.stat().st_mode & 0o777 == 0o640


async def test_interrupted_writing_changes_nothing(target: Path) -> None:
    """The earlier results stand until the new ones are complete."""
    target.write_bytes(b"before\n")

    with pytest.raises(KeyboardInterrupt):
        await write_lines(_lines(broken=True), target)

    assert target.read_bytes() == b"before\n"
    assert [target] == list(target.parent.iterdir())


def _syncs_of_directories(
    monkeypatch: pytest.MonkeyPatch, target: Path, problem: int | None = None
) -> list[bool]:
    """Note of each whether the file stood under its name, and let it fail."""
    synced, fsync = list[bool](), os.fsync

    def note(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(target.exists())
            if problem is not None:
                raise OSError(problem, os.strerror(problem))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return synced


async def test_the_name_survives_a_power_cut(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on to remove what was written, as `prune` does, finds it there again."""
    synced = _syncs_of_directories(monkeypatch, target)
    await write_lines(_lines(), target)
    assert synced == [True]


@pytest.mark.parametrize("problem", [errno.EINVAL, errno.ENOTSUP])
async def test_a_directory_that_cannot_be_synced(
    target: Path, monkeypatch: pytest.MonkeyPatch, problem: int
) -> None:
    """Not every file system can; the file is there all the same."""
    _syncs_of_directories(monkeypatch, target, problem)
    await write_lines(_lines(), target)
    assert [target] == list(target.parent.iterdir())


async def test_a_directory_that_fails(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that says that it failed is believed: nothing else is removed then."""
    _syncs_of_directories(monkeypatch, target, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        await write_lines(_lines(), target)


async def test_the_content_survives_a_power_cut(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is on the disk before the file has its name."""
    synced, fsync = list[tuple[int, bool]](), os.fsync

    def note(descriptor: int) -> None:
        about = os.fstat(descriptor)
        if stat.S_ISREG(about.st_mode):
            synced.append((about.st_size, target.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    await write_lines(_lines(), target)
    assert synced == [(target.stat().st_size, False)]


def _refuse_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may open every directory."""
    opened = os.open

    def refuse(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags == os.O_RDONLY and Path(path).is_dir() and not str(path).startswith("/proc"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)


async def test_a_directory_that_cannot_be_read(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files can be made in it, but it cannot be opened."""
    _refuse_directories(monkeypatch)
    await write_lines(_lines(), target)
    assert target.exists()
