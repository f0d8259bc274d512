"""Samples that stand in `tests/golden/endpoints`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_GOLDEN = Path(__file__).parents[1] / "golden/endpoints"


@pytest.fixture
def golden() -> Callable[[str], Any]:
    """Read a sample by its name."""

    def read(name: str) -> Any:
        return json.loads((_GOLDEN / f"{name}.json").read_text())

    return read
