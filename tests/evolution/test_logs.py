"""A log that a release wrote is what it was, on every store and with every later version."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.evolution.logs import LOGS, fill, image_of, path_of

from batchtrail.adapters.postgres import PostgresBatchFactory
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.store import Batches
from batchtrail.application.verification import verify_store
from batchtrail.version import __version__


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Give an empty database."""
    factory: Any
    if request.param == "postgresql":
        factory = PostgresBatchFactory(request.getfixturevalue("postgres_url"))
    else:
        file = tmp_path / "batches.db"
        factory = SQLiteBatchFactory(file if request.param == "sqlite" else ":memory:")
    batches = Batches(factory)
    yield batches
    batches.close()


def recorded_part(now: Any, then: Any) -> Any:
    """What is now of what was recorded then: a value may have more fields by now, and none less."""
    if isinstance(now, dict) and isinstance(then, dict):
        return {name: recorded_part(now[name], then[name]) for name in then if name in now}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        return [recorded_part(*pair) for pair in zip(now, then, strict=True)]
    return now


@pytest.mark.parametrize("path", sorted(LOGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_log_comes_to_what_it_came_to(store: Batches, path: Path) -> None:
    """Its states, its views and its seal; and nothing in it differs from what was recorded."""
    then = msgspec.json.decode(path.with_suffix(".json").read_bytes())
    assert fill(store, path) == then["seal"]
    now = image_of(store)
    assert now.keys() == then["batches"].keys()
    assert recorded_part(now, then["batches"]) == then["batches"]
    found = verify_store(store, against=None, limit=9)
    assert (found.differences, str(found.seal)) == ((), then["seal"])


def test_this_version_has_a_log() -> None:
    """Otherwise nobody would notice later that it cannot be read."""
    assert path_of(__version__).exists(), "run `make golden`"
