"""The port for those who check a log: everything in the database, as it was at one moment."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec
from eventsourcing.persistence import StoredEvent

from .records import EventRecord
from .sealing import KeptSeal
from .views import BatchSummary


class ViewRow(NamedTuple):
    """A row of the completions view, as it stands there: after damage, with any word."""

    number: int
    custom_id: str
    outcome: str
    position: int | None


def differing_columns(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> list[str]:
    """The names of the columns that are not as wanted; of a summary, which facts in it."""
    names = []
    for name, value in wanted.items():
        if live[name] != value:
            facts = _differing_facts(value, live[name]) if name == "summary" else ""
            names.append(f"{name}{facts}")
    return names


def _differing_facts(wanted: bytes | str, live: bytes | str) -> str:
    facts = msgspec.json.decode(wanted)
    try:
        found = msgspec.json.decode(live)
        names = [name for name in {**facts, **found} if facts.get(name) != found.get(name)]
    except (msgspec.MsgspecError, TypeError, ValueError):
        return " (which cannot be read)"
    return f" ({', '.join(names)})" if names else ""


class StoredLog(Protocol):
    """The log and the views as they were at one moment; nothing is written, ever.

    Rows are given as they stand. In a damaged database an originator id may be any text, and a
    version any value.
    """

    def last_position(self) -> int:
        """The highest position that was ever given to an event, whether it is there or not."""
        ...

    def checkpoint(self) -> int:
        """How much of the log the views hold."""
        ...

    def log_page(self, *, after: int, max_bytes: int) -> Sequence[EventRecord]:
        """The events behind a position, with bodies; ended by the one that passes `max_bytes`."""
        ...

    def stream_page(
        self, batch_id: UUID, *, after: int, max_bytes: int, bodies: bool = False
    ) -> Sequence[EventRecord]:
        """The events of a batch behind a version, ended as those of the log are.

        Without their bodies, unless these are asked for.
        """
        ...

    def snapshots(self, batch_id: UUID, *, after: int, to: int) -> Sequence[StoredEvent]:
        """The snapshots of a batch behind one version and up to another, in their order."""
        ...

    def next_batch(self, after: UUID | None) -> UUID | None:
        """The batch in the log whose id follows, in the order of ids; None behind the last."""
        ...

    def next_view(self, after: UUID | None) -> UUID | None:
        """The batch in the views whose id follows."""
        ...

    def differing_columns(self, summary: BatchSummary, first_position: int) -> list[str] | None:
        """The columns of a batch's row that are not those of the summary; None without a row.

        `first_position` is that of the batch's first event.
        """
        ...

    def view_page(self, batch_id: UUID, *, after: int, limit: int) -> Sequence[ViewRow]:
        """Rows of the completions view behind a number."""
        ...

    def stray_rows(self) -> int:
        """How many rows of the views belong to no batch that the views can have."""
        ...

    def seals(self) -> Sequence[KeptSeal]:
        """The seals that were taken of this log, in the order of their positions."""
        ...
