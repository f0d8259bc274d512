"""Time travel: what the events alone make of a batch, or of one request, as of any moment."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import UUID

from ..domain import events
from ..domain.batch import Batch
from ..domain.bodies import is_marker
from ..domain.checks import check_moment
from ..domain.status import BatchStatus, Outcome
from ..domain.values import BatchProblem
from .completions import Completion, completion_of, errors_by_line
from .errors import BatchNotFoundError, InputError
from .following import followed
from .store import Batches, checked_id
from .views import CompletionRow

At = datetime | int
"""A moment, with its time zone, or the number of an event of the batch."""


def events_until(batches: Batches, batch_id: UUID, at: At | None) -> Iterator[events.BatchEvent]:
    """The events of a batch up to a moment or an event, in constant memory; None means all.

    As of a moment is after the last event that says it had happened by then. Clocks of several
    machines may disagree, so that an event before that one says it is later: it is taken in as
    well, because the later ones were decided on it.

    Raises `BatchNotFoundError`, and `InputError` when there was no such event or moment.
    """
    batch_id = checked_id(batch_id)
    if at is not None and not isinstance(at, datetime | int):
        raise InputError(f"at is {at!r}; give a datetime, or the number of an event")
    last = _version_at_moment(batches, batch_id, at) if isinstance(at, datetime) else at
    if last is not None and last < 1:
        raise InputError(f"there is no event {last}; the events of a batch count from 1")
    version = 0
    for event in batches.history(batch_id):
        version = event.originator_version
        if last is not None and version > last:
            return
        yield event
    if version == 0:
        raise BatchNotFoundError(batch_id)
    if last is not None and version < last:
        raise InputError(f"batch {batch_id} has no event {last} yet; its last one is {version}")


def _version_at_moment(batches: Batches, batch_id: UUID, moment: datetime) -> int | None:
    check_moment("at", moment)
    version, began = 0, None
    for event in batches.history(batch_id):
        began = began or event.timestamp
        if event.timestamp <= moment:
            version = event.originator_version
    if began is not None and version == 0:
        raise InputError(
            f"batch {batch_id} began at {began.isoformat()}; it was not there at "
            f"{moment.isoformat()}"
        )
    return version or None


def batch_after(happened: Iterable[events.BatchEvent]) -> Batch:
    """The batch that these events make, the first one to begin with."""
    batch = followed(None, happened)
    assert batch is not None
    return batch


class RequestReplay:
    """Follows one request through the events of a batch; takes them one by one, in order."""

    def __init__(self, custom_id: str) -> None:
        self.custom_id = custom_id
        self._batch: Batch | None = None
        self._number = 0
        self._added: events.RequestsAdded | None = None
        self._result: events.ResultApplied | None = None
        self._errors: tuple[BatchProblem, ...] = ()

    def process(self, event: events.BatchEvent) -> None:
        """Take in the next event."""
        self._batch = followed(self._batch, (event,))
        if isinstance(event, events.REPORTING):
            self._errors = event.report.errors if event.report is not None else ()
        match event:
            case events.RequestsAdded():
                self._look_for_request(event)
            case events.ResultApplied() if event.custom_id == self.custom_id:
                self._result = event

    def _look_for_request(self, event: events.RequestsAdded) -> None:
        if self.custom_id in event.custom_ids:
            self._added = event
            self._number = event.first_number + event.custom_ids.index(self.custom_id)

    def line(self, batches: Batches) -> bytes | None:
        """The request as it is sent, without its newline; None when that was removed."""
        assert self._added is not None
        lines = batches.with_body(self._added).lines.content
        if lines is None:
            return None
        index = self._number - self._added.first_number
        line = lines.split(b"\n", index + 1)[index]
        return None if is_marker(line + b"\n") else line

    @property
    def batch(self) -> Batch:
        """The batch as of the last event."""
        assert self._batch is not None
        return self._batch

    @property
    def is_known(self) -> bool:
        """Whether the batch had the request by then."""
        return self._number > 0

    @property
    def has_result(self) -> bool:
        """Whether a result line was applied to the request by then."""
        return self._result is not None

    def completion(self, batches: Batches) -> Completion:
        """What had become of the request."""
        outcome = self.batch.rest_outcome or Outcome.PENDING
        result = self._result
        if result is not None:
            outcome, result = result.outcome, batches.with_body(result)
        failed = self.batch.status is BatchStatus.FAILED
        why = errors_by_line(self._errors) if failed else {}
        row = CompletionRow(self._number, self.custom_id, outcome, None)
        return completion_of(self.batch, why, row, result)
