"""Removing what one request asked and got; all else of its batch stays, and can be checked."""

from collections.abc import Callable, Iterator
from io import BytesIO
from uuid import UUID

from ..domain.batch import Batch
from ..domain.bodies import is_marker, marker_of
from ..domain.checks import check_text
from ..domain.events import (
    BatchEvent,
    RequestRedacted,
    RequestsAdded,
    ResultApplied,
    ResultSkipped,
)
from ..domain.values import Stamp
from .body_writer import BodyWriter
from .errors import ConflictError, InputError
from .store import Batches, ChangeBodies

_Changes = dict[int, bytes | None]
"""New bodies by the numbers of their events; None for one that is removed."""


def redact(
    batches: Batches,
    batch_id: UUID,
    custom_id: str,
    reason: str | None,
    stamp: Callable[[], Stamp],
) -> int:
    """Remove a request's line and its results, together with the event that says so.

    Gives the number of bodies that were changed, 0 when nothing of it was left. Raises
    `BatchNotFoundError`, `InputError` for a request that the batch does not have, and
    `UnfinishedError` while the batch may need it. Safe to repeat.
    """
    check_text("custom_id", custom_id)
    if reason is not None:
        check_text("reason", reason)
    while True:
        batch = batches.get(batch_id)
        changes = _changes(batches, batch_id, custom_id)
        if not changes:
            return 0
        batch.redact_request(custom_id, sorted(changes), reason, stamp=stamp())
        try:
            batches.save_batch(batch, change_bodies=_writing(batches, batch_id, changes))
        except ConflictError:
            continue
        return len(changes)


def redact_late(batches: Batches, batch: Batch, stamp: Stamp) -> ChangeBodies:
    """Decide that what came for requests after they were redacted is removed: late results.

    To be saved with the decision that ends their collection, so that no crash leaves them.
    """
    reasons = dict[str, str | None]()
    late = dict[str, list[int]]()
    for event in batches.history(batch.id):
        if isinstance(event, RequestRedacted):
            reasons[event.custom_id], late[event.custom_id] = event.reason, []
        elif isinstance(event, ResultApplied | ResultSkipped) and event.custom_id in reasons:
            late[event.custom_id or ""].append(event.originator_version)
    changes = _Changes()
    for custom_id, versions in late.items():
        if versions:
            batch.redact_request(custom_id, versions, reasons[custom_id], stamp=stamp)
            changes.update(dict.fromkeys(versions))
    return _writing(batches, batch.id, changes)


def _writing(batches: Batches, batch_id: UUID, changes: _Changes) -> ChangeBodies:
    def write(writer: BodyWriter) -> None:
        for version, body in changes.items():
            stored = None if body is None else batches.batch_mapper.bodies.stored(body)
            writer.replace(batch_id, version, stored)

    return write


def _changes(batches: Batches, batch_id: UUID, custom_id: str) -> _Changes:
    is_known, changes = False, _Changes()
    for event in batches.history(batch_id, bodies=True):
        if isinstance(event, RequestsAdded) and custom_id in event.custom_ids:
            is_known = True
        changes.update(_change(event, custom_id))
    if not is_known:
        raise InputError(f"batch {batch_id} has no request {custom_id!r}")
    return changes


def _change(event: BatchEvent, custom_id: str) -> Iterator[tuple[int, bytes | None]]:
    if event.body is None or event.body.content is None:
        return
    if isinstance(event, ResultApplied | ResultSkipped) and event.custom_id == custom_id:
        yield event.originator_version, None
    elif isinstance(event, RequestsAdded) and custom_id in event.custom_ids:
        lines = list(BytesIO(event.text))
        index = event.custom_ids.index(custom_id)
        if not is_marker(lines[index]):
            lines[index] = marker_of(custom_id, lines[index])
            yield event.originator_version, b"".join(lines)
