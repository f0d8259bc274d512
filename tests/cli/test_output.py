"""Where results go: whole, or not at all."""

import os
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
