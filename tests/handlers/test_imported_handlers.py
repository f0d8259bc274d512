"""Completion handlers from modules: which may be imported, and what is said of the others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from batchtrail.adapters.handlers import ImportedHandlers
from batchtrail.application.errors import HandlerNotAllowedError, HandlerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODULE = """
class Done:
    class Inner:
        pass

ready = Done()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of the user: `shop` with `batches`, and modules that cannot be imported."""
    package = tmp_path / "handled_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "batches.py").write_text(MODULE)
    (package / "broken.py").write_text("class Done(:\n")
    (package / "leaves.py").write_text("import sys\nsys.exit(9)\n")
    (package / "raises.py").write_text("raise RuntimeError('not here')\n")
    (package / "panics.py").write_text("raise BaseException('broken')\n")
    (tmp_path / "handled_shopping.py").write_text("raise AssertionError('was imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    for name in [name for name in sys.modules if name.startswith("handled_shop")]:
        del sys.modules[name]


@pytest.mark.parametrize("allowed", ["handled_shop", "handled_shop.batches"])
def test_an_allowed_class_is_found(shop: Path, allowed: str) -> None:
    """A name allows itself and all below it."""
    del shop
    handlers = ImportedHandlers(["other", allowed])
    for name in ("Done", "Done.Inner"):
        found = handlers.load(f"handled_shop.batches:{name}")
        assert isinstance(found, type)
        assert found.__qualname__ == name


def test_what_is_no_class_is_taken_as_it_is(shop: Path) -> None:
    """An object of the module serves as well, and is the same every time."""
    del shop
    handlers = ImportedHandlers(["handled_shop"])
    first = handlers.load("handled_shop.batches:ready")
    assert type(first).__name__ == "Done"
    assert handlers.load("handled_shop.batches:ready") is first


@pytest.mark.parametrize(
    ("allowed", "reference"),
    [
        ([], "handled_shop.batches:Done"),
        (["handled_shop.batches"], "handled_shop:Done"),
        (["handled_shop"], "handled_shopping:Done"),
        (["handled_shop"], "os:system"),
        (["handled_shop"], "subprocess:Popen"),
    ],
)
def test_nothing_else_is_imported(shop: Path, allowed: list[str], reference: str) -> None:
    """The module is not even looked at; the remedy is named."""
    del shop
    with pytest.raises(HandlerNotAllowedError, match="BATCHTRAIL_HANDLERS") as caught:
        ImportedHandlers(allowed).load(reference)
    assert reference in str(caught.value)
    assert "handled_shop.batches" not in sys.modules
    assert "handled_shopping" not in sys.modules


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("handled_shop.nowhere:Done", "No module named"),
        ("handled_shop.batches:Nobody", "Nobody"),
        ("handled_shop.broken:Done", "SyntaxError"),
        ("handled_shop.raises:Done", "RuntimeError: not here"),
        ("handled_shop.leaves:Done", "SystemExit: 9"),
        ("handled_shop.panics:Done", "BaseException: broken"),
    ],
)
def test_what_cannot_be_had_is_reported(shop: Path, reference: str, problem: str) -> None:
    """Whatever a module does at its import, it is one sentence with the reason."""
    del shop
    with pytest.raises(HandlerUnavailableError, match="cannot be imported") as caught:
        ImportedHandlers(["handled_shop"]).load(reference)
    assert problem in str(caught.value)
    assert reference in str(caught.value)
