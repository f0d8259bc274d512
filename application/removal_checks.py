"""Whether an event says of each body that is not there any more that it was removed."""

from collections.abc import Iterator
from uuid import UUID

from attrs import define, evolve

from ..domain.bodies import Body
from ..domain.events import BodiesPruned, RequestRedacted
from .differences import Difference
from .inspection import Finding
from .records import EventRecord


@define
class _Missing:
    """Events that follow each other and miss their bodies, or one that misses lines of its body."""

    first: int
    last: int
    position: int | None
    """Where the first of them stands; None once others stood before it."""
    lines: int = 0

    def behind(self, version: int) -> "_Missing":
        """Those of them behind an event."""
        return self if self.first > version else evolve(self, first=version + 1, position=None)


class RemovalChecks:
    """Whether each body that is missing, whole or in parts, was pruned or redacted by an event.

    Remembers what no event has told yet: as ranges, so that a batch that is pruned takes little.
    `removed_bodies` and `redacted_lines` count all that is missing.
    """

    def __init__(self) -> None:
        self.removed_bodies = self.redacted_lines = 0
        self._batches: dict[UUID, list[_Missing]] = {}

    def take(self, record: EventRecord, finding: Finding) -> None:
        """Take in an event of the log, in the order of positions."""
        batch_id, event = record.originator_id, finding.event
        if not isinstance(batch_id, UUID) or event is None:
            return
        if isinstance(event, BodiesPruned):
            self._tell_up_to(batch_id, event.through)
        elif isinstance(event, RequestRedacted):
            for version in event.versions:
                self._tell_one(batch_id, version)
        elif event.body is not None:
            self._take_body(batch_id, event.body, event.originator_version, record.position)

    def untold(self) -> Iterator[Difference]:
        """What is missing and was never told."""
        for batch_id, missed in self._batches.items():
            for each in missed:
                what = "misses its body" if not each.lines else "misses lines of its body"
                if each.last > each.first:
                    what += f", as all do up to event {each.last}"
                what += ", and no event says that it was removed"
                yield Difference(what, batch_id, each.first, each.position)

    def _take_body(self, batch_id: UUID, body: Body, version: int, position: int) -> None:
        lines = body.redacted
        self.removed_bodies += body.content is None
        self.redacted_lines += lines
        missed = self._batches.setdefault(batch_id, [])
        if body.content is None:
            _miss(missed, version, position)
        elif lines:
            missed.append(_Missing(version, version, position, lines))

    def _tell_up_to(self, batch_id: UUID, through: int) -> None:
        self._batches[batch_id] = [
            each.behind(through) for each in self._batches.get(batch_id, []) if each.last > through
        ]

    def _tell_one(self, batch_id: UUID, version: int) -> None:
        left: list[_Missing] = []
        for each in self._batches.get(batch_id, []):
            if not each.first <= version <= each.last:
                left.append(each)
            elif each.lines:
                left += [evolve(each, lines=each.lines - 1)] * (each.lines > 1)
            else:
                left += [evolve(each, last=version - 1)] * (each.first < version)
                left += [each.behind(version)] * (version < each.last)
        self._batches[batch_id] = left


def _miss(missed: list[_Missing], version: int, position: int) -> None:
    if missed and not missed[-1].lines and missed[-1].last == version - 1:
        missed[-1].last = version
    else:
        missed.append(_Missing(version, version, position))
