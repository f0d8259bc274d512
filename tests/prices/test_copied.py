"""The copy of OpenAI's prices says what the package says, and is asked only in its place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from genai_prices.data import providers
from hypothesis import given, settings, strategies as st

import batchtrail
from batchtrail.adapters.prices import GenaiPrices
from batchtrail.adapters.prices.copied import EMBEDDINGS, PATH, copied_prices, is_installed
from batchtrail.adapters.prices.genai import price_of

from .copying import ASKED, OPENAI, made

COPIED = copied_prices()
LISTED = GenaiPrices()
ENDPOINTS = ("/v1/responses", EMBEDDINGS, "/v1/moderations")
WORDS = sorted(
    {
        part
        for model in OPENAI.models
        for name in (model.id, *model.id.split("-"))
        for part in (name, f"-{name}")
    }
    | {"", "-", ".", ":", "ft:", " ", "\n", "-2025-08-07", "-20250807", "-20251399", "-latest", "İ"}
)


def names() -> set[str]:
    """Every name of the table, what users and providers make of it, and other providers' models."""
    listed = {model.id for model in OPENAI.models}
    listed |= {rule.text for model in (COPIED.models if COPIED else ()) for rule in model.rules}
    return {model.id for provider in providers for model in provider.models} | {
        variant
        for name in listed
        for variant in (
            name,
            name.upper(),
            f"{name}-2026-03-17",
            f"{name}-20260317",
            f"{name}-20261317",
            f"{name}-mini",
            f"{name}:free",
            f"{name}\n",
            f" {name}",
            f"ft:{name}:acme::id",
            f"openai/{name}",
            name[:-1],
        )
    }


def test_the_copy_is_what_make_prices_writes() -> None:
    """Of the release that constraints.txt names: run `make prices` after an update."""
    assert made() == PATH.read_bytes()


def test_the_copy_is_read_from_an_archive(tmp_path: Path) -> None:
    """As `zipapp` makes them: without, no cost would ever be known of a batch."""
    source = Path(batchtrail.__file__).parent
    shutil.copytree(source, tmp_path / "batchtrail", ignore=shutil.ignore_patterns("*.pyc"))
    archive = shutil.make_archive(str(tmp_path / "app"), "zip", tmp_path, "batchtrail")
    code = (
        "from batchtrail.adapters.prices import copied; print(copied.PATH, copied.copied_prices())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": archive},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{archive}/batchtrail/adapters/prices/openai.json {COPIED}\n"


def test_every_model_has_the_same_prices() -> None:
    """Rates and tiers of each model of the package, to the digit; and the text in the log."""
    assert COPIED is not None
    assert COPIED.source == ASKED.source == LISTED.source
    for model, copied in zip(OPENAI.models, COPIED.models, strict=True):
        for endpoint in ("/v1/responses", EMBEDDINGS):
            assert repr(price_of(model, endpoint)) == repr(copied.price(endpoint))


def test_every_name_finds_the_same_model() -> None:
    """Of thousands, dated, tuned, misspelled and of other providers, those that the copy knows."""
    assert COPIED is not None
    known = {name: copied for name in names() if (copied := COPIED.find(name)) is not None}

    assert len(known) > 500
    for name, copied in known.items():
        assert OPENAI.find_model(name) is OPENAI.models[COPIED.models.index(copied)], name


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS), max_size=4).map("".join), st.text()))
def test_any_text_finds_the_same_model(name: str) -> None:
    """Pieces of names put together in any way, and any text at all."""
    for endpoint in ENDPOINTS:
        assert ASKED.price(name, endpoint) == LISTED.price(name, endpoint)


@pytest.mark.parametrize(
    ("directory", "same"),
    [
        ("genai_prices-7.8.9.dist-info", True),
        ("genai_prices-7.8.10.dist-info", False),
        ("genai_prices-7.8.9.egg-info", False),
    ],
)
def test_the_copy_stands_for_its_own_release_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, directory: str, *, same: bool
) -> None:
    """As it would be imported: another release, or a doubt, and the package is asked."""
    (tmp_path / directory).mkdir()
    (tmp_path / "genai_prices").mkdir()
    (tmp_path / "genai_prices/__init__.py").touch()
    monkeypatch.delitem(sys.modules, "genai_prices")
    monkeypatch.syspath_prepend(tmp_path)

    assert is_installed("7.8.9") is same


def test_the_package_is_found_where_it_was_imported_from() -> None:
    """The release that is here, and no other."""
    assert COPIED is not None
    assert is_installed(COPIED.release)
    assert not is_installed("0.1.0")


def test_without_the_release_the_package_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of another release says nothing."""
    monkeypatch.setattr("batchtrail.adapters.prices.copied.is_installed", lambda _: False)

    assert copied_prices.__wrapped__() is None
