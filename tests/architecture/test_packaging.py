"""What the repository's layout promises to those who build and install it."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from batchtrail import __version__

ROOT = Path(__file__).parents[2]
LAYERS = ("domain", "application", "adapters")


@pytest.fixture(name="project")
def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_folder_is_listed(project: dict[str, Any]) -> None:
    """A package that is not listed is missing from the wheel, and only there."""
    folders = {
        "batchtrail." + ".".join(path.parent.relative_to(ROOT).parts)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("__init__.py")
    }

    listed = project["tool"]["setuptools"]["packages"]

    assert sorted({"batchtrail", *folders}) == listed


def test_every_file_of_data_is_listed(project: dict[str, Any]) -> None:
    """As with packages: what is not listed is missing from the wheel."""
    files = {
        ("batchtrail." + ".".join(path.parent.relative_to(ROOT).parts), path.name)
        for layer in LAYERS
        for path in (ROOT / layer).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }

    listed = project["tool"]["setuptools"]["package-data"]

    assert {("batchtrail", "py.typed"), *files} == {
        (package, name) for package, names in listed.items() for name in names
    }


def test_every_layer_is_mapped_and_linked(project: dict[str, Any]) -> None:
    """Wheels find a layer by the mapping, type checkers by the symlink."""
    mapping = project["tool"]["setuptools"]["package-dir"]

    for layer in LAYERS:
        assert mapping[f"batchtrail.{layer}"] == layer
        assert (ROOT / "src/batchtrail" / layer).resolve() == ROOT / layer


def test_no_layer_is_imported_bare() -> None:
    """`import domain` would find a user's own package, or nothing."""
    for path in ROOT.glob("**/*.py"):
        if ".venv" in path.parts or "build" in path.parts:
            continue
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in {"import", "from"}:
                assert words[1].partition(".")[0] not in LAYERS, f"{path}: {line}"


def test_the_package_runs_as_the_command() -> None:
    """For whoever has many environments, or none of their commands on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "batchtrail", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"batchtrail {__version__}\n"


def test_the_front_door_opens_without_the_heavy_imports() -> None:
    """Naming something in `batchtrail` imports its home, and `__all__` is all there."""
    import batchtrail  # noqa: PLC0415 (the module under test)

    assert dir(batchtrail) == sorted(batchtrail.__all__)
    for name in batchtrail.__all__:
        assert getattr(batchtrail, name) is not None
    with pytest.raises(AttributeError):
        _ = batchtrail.nothing_of_the_kind
