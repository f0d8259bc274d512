"""The events of results that are alike, as they are stored, without making each of them first."""

from collections.abc import Sequence

from ..domain.alike import AppliedResults
from ..domain.bodies import digests_of
from ..domain.events import ResultApplied
from ..domain.status import Outcome
from .records import EventColumns
from .transcoding import BatchMapper

_OWN = 6
"""So many values at the end of a state are the result's own; the last is its line's digest."""


def alike_columns(applied: AppliedResults, mapper: BatchMapper) -> EventColumns:
    """What the mapper makes of an event `ResultApplied` of each result, byte for byte."""
    return EventColumns.in_turn(
        applied.batch_id,
        applied.first_version,
        ResultApplied.TOPIC,
        _states(applied, mapper),
        list(map(mapper.bodies.stored, applied.results.lines)),
    )


def _states(applied: AppliedResults, mapper: BatchMapper) -> Sequence[bytes]:
    """The state of each event, its values in the order of `IN_ORDER`."""
    encode, results = mapper.transcoder.encode, applied.results
    alike = [
        applied.stamp.at,
        applied.stamp.by,
        applied.file,
        Outcome.SUCCEEDED,
        results.status_code,
        None,
    ]
    # In MessagePack, None is one byte, and so is what says how many values of a few there are.
    head = encode([ResultApplied.class_version, *alike, *[None] * _OWN])[:-_OWN]
    own = zip(
        results.custom_ids,
        results.numbers,
        results.usages,
        results.costs,
        results.offsets,
        zip(digests_of(results.lines), map(len, results.lines), strict=True),
        strict=True,
    )
    return [head + encode(values)[1:] for values in own]
