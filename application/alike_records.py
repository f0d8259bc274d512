"""The events of results that are alike, as they are stored, without making each of them first."""

from collections.abc import Iterator

from ..domain.alike import AppliedResults
from ..domain.bodies import Body
from ..domain.events import ResultApplied
from ..domain.status import Outcome
from .records import EventRecord
from .transcoding import BatchMapper

_OWN = 6
"""So many values at the end of a state are the result's own; the last is its line's digest."""


def alike_records(applied: AppliedResults, mapper: BatchMapper) -> Iterator[EventRecord]:
    """What the mapper makes of an event `ResultApplied` of each result, byte for byte."""
    return EventRecord.in_turn(
        applied.batch_id, applied.first_version, ResultApplied.TOPIC, _contents(applied, mapper)
    )


def _contents(applied: AppliedResults, mapper: BatchMapper) -> Iterator[tuple[bytes, bytes]]:
    """The state and the body of each event, its values in the order of `IN_ORDER`."""
    encode, stored, results = mapper.transcoder.encode, mapper.bodies.stored, applied.results
    stamp, file, outcome = applied.stamp, applied.file, Outcome.SUCCEEDED
    alike = [stamp.at, stamp.by, file, outcome, results.status_code, None]
    # In MessagePack, None is one byte, and so is what says how many values of a few there are.
    head = encode([ResultApplied.class_version, *alike, *[None] * _OWN])[:-_OWN]
    for custom_id, number, usage, cost, offset, line in zip(
        results.custom_ids,
        applied.numbers,
        results.usages,
        results.costs,
        results.offsets,
        results.lines,
        strict=True,
    ):
        digest = Body.digest_of(line), len(line)
        yield head + encode((custom_id, number, usage, cost, offset, digest))[1:], stored(line)
