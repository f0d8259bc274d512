"""Golden logs: a whole log as each release wrote it, and what its events came to.

A log is written once for a release and never touched again: such logs are in databases.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from tests.laboratory.author import Author
from tests.laboratory.stores import all_rows, save_all

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.exporting import export_store
from batchtrail.application.importing import import_into_store
from batchtrail.application.store import Batches
from batchtrail.version import __version__

LOGS = Path(__file__).parents[1] / "golden" / "logs"

_BESIDE_THE_STATE = {"_id", "_pending_events"}


def path_of(release: str) -> Path:
    """Where the log of a release stands; what it came to stands beside it, as JSON."""
    return LOGS / f"{release}.jsonl"


def image_of(store: Batches) -> dict[str, Any]:
    """What a log came to, as JSON has it: the state of each batch, and its rows in the views."""
    image = {
        str(summary.id): {
            "state": _facts(vars(store.get(summary.id))),
            "summary": summary,
            "rows": [row._asdict() for row in all_rows(store, summary.id)],
        }
        for summary in store.views.summaries(limit=1_000)
    }
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(image))
    return facts


def _facts(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in _BESIDE_THE_STATE}


def fill(store: Batches, path: Path) -> str:
    """Import a golden log; gives its seal."""
    with path.open("rb") as file:
        return str(import_into_store(store, file, path.name, lambda: None).seal)


def write() -> list[Path]:
    """Write the log of the present version unless it is there; gives what was written."""
    path = path_of(__version__)
    image = path.with_suffix(".json")
    if path.exists() and image.exists():
        return []
    store = Batches(SQLiteBatchFactory(":memory:"))
    save_all(store, Author().interleaved())
    export = BytesIO()
    exported = export_store(store, export, (), f"batchtrail {__version__}", lambda: None)
    came_to = {"seal": str(exported.seal), "batches": image_of(store)}
    LOGS.mkdir(exist_ok=True)
    path.write_bytes(export.getvalue())
    image.write_bytes(msgspec.json.format(msgspec.json.encode(came_to), indent=2) + b"\n")
    return [path, image]
