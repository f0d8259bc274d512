"""One request across its batches: what was asked, when, and what came back each time."""

from collections.abc import Container, Iterable
from uuid import UUID

from attrs import evolve, frozen

from ..domain import events
from .completions import Completion
from .errors import BatchNotFoundError, InputError
from .replay import At, RequestReplay, events_until
from .store import Batches
from .views import BatchSummary

_MILESTONES = (
    events.Drafted,
    events.Submitted,
    events.SubmissionFailed,
    events.InputNotVisible,
    events.TokenLimitReached,
    events.CancelRequested,
    events.Canceled,
    events.GivenUp,
    events.Retried,
    events.BodiesPruned,
)
"""What happens to every request of a batch at once."""


@frozen
class RequestLife:
    """One request in one batch.

    `batch` is the batch, and `completion` the request, as the last event that was read left them;
    `line` is the request as it is sent, without its newline, None when it was removed; `events` are
    those that concern it, oldest first, among them the ones that all requests of the batch share.
    A batch that asks once more names the one before it in `batch.retry_of`.
    """

    batch: BatchSummary
    line: bytes | None
    completion: Completion
    events: tuple[events.BatchEvent, ...]


def request_lives(batches: Batches, batch_id: UUID, custom_id: str) -> list[RequestLife]:
    """The lives of a request in a batch, in those that it retries and in its retries.

    In the order in which the batches began; each is read from its events alone. Raises
    `BatchNotFoundError`, and `InputError` when the batch has no such request.
    """
    left = _with_ancestors(batches, batch_id)
    lives: dict[UUID, RequestLife] = {}
    seen = set(left)
    while left:
        one = left.pop(0)
        life = _life(batches, batches.history(one), custom_id)
        if life is not None:
            lives[one] = life
            left += [child for child in _retries(life) if child not in seen]
            seen.update(left)
    if batch_id not in lives:
        raise _no_such_request(batch_id, custom_id)
    kept = [_without_other_retries(life, lives) for life in lives.values()]
    return sorted(kept, key=lambda life: life.batch.created_at)


def _with_ancestors(batches: Batches, batch_id: UUID) -> list[UUID]:
    """The batch that was asked first, then its retry, up to this one."""
    path = [batch_id]
    parent = batches.get(batch_id).retry_of
    while parent is not None and parent not in path:
        path.insert(0, parent)
        try:
            parent = batches.get(parent).retry_of
        except BatchNotFoundError:  # a database may hold the retry alone
            return path[1:]
    return path


def _retries(life: RequestLife) -> list[UUID]:
    return [event.retry_id for event in life.events if isinstance(event, events.Retried)]


def _without_other_retries(life: RequestLife, lives: Container[UUID]) -> RequestLife:
    """A life without the retries that asked other requests once more."""
    kept = tuple(
        event
        for event in life.events
        if not isinstance(event, events.Retried) or event.retry_id in lives
    )
    return evolve(life, events=kept)


def request_at(batches: Batches, batch_id: UUID, custom_id: str, at: At | None) -> RequestLife:
    """One request of a batch as of a moment or an event; None is the newest one.

    Raises as `events_until`, and `InputError` when the batch does not have the request by then.
    """
    life = _life(batches, events_until(batches, batch_id, at), custom_id)
    if life is None:
        raise _no_such_request(batch_id, custom_id)
    return life


def _life(
    batches: Batches, happened: Iterable[events.BatchEvent], custom_id: str
) -> RequestLife | None:
    """The life of a request in one batch; None when the batch lacks it."""
    request = RequestReplay(custom_id)
    concerning = []
    for event in happened:
        was_known = request.is_known
        request.process(event)
        if _concerns(event, request, is_news=request.is_known and not was_known):
            concerning.append(event)
    if not request.is_known:
        return None
    summary = BatchSummary.of(request.batch)
    return RequestLife(
        summary, request.line(batches), request.completion(batches), tuple(concerning)
    )


def _no_such_request(batch_id: UUID, custom_id: str) -> InputError:
    return InputError(f"batch {batch_id} has no request with the custom_id {custom_id!r}")


def _concerns(event: events.BatchEvent, request: RequestReplay, *, is_news: bool) -> bool:
    """Whether an event says something of the request; `is_news` when it added the request."""
    match event:
        case events.RequestsAdded():
            return is_news
        case events.ResultApplied() | events.ResultSkipped() | events.RequestRedacted():
            return event.custom_id == request.custom_id
        case events.StatusChanged():
            return event.report.status.is_terminal
        case events.ResultsCollected() | events.CollectionReopened():
            return not request.has_result
        case _:
            return isinstance(event, _MILESTONES)
