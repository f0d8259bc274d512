"""Users' own projections: each event of the log exactly once, in order, whatever happens."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial
from typing import Any, ClassVar

from attrs import frozen

from ..domain.checks import check_text
from ..domain.events import BatchEvent
from .errors import BatchtrailError, InputError
from .runtime import Runtime
from .store import Batches

FOLLOW_INTERVAL = 1.0
"""Seconds between two looks for new events."""

_SLICE = 32
"""Events read at a time; the largest of them are about a megabyte."""

_PAGE_BYTES = 1 << 20
_PAGE_EVENTS = 500
"""No more, because on SQLite nobody else writes while a projection takes in a page."""


@frozen
class Recorded:
    """An event and where it stands in the log: positions grow in the order of commits."""

    position: int
    event: BatchEvent


class ProjectionError(BatchtrailError):
    """A projection raised while it took in an event; what it raised is the `__cause__`.

    Nothing of that event's page was kept, so the next attempt begins where this one did.
    """

    def __init__(self, name: str, what: str, error: Exception) -> None:
        super().__init__(f"the projection {name!r} failed {what}: {type(error).__name__}: {error}")


class Projection(ABC):
    """What somebody makes of the log: rows of their own, in tables beside it.

    `name` is that of its checkpoint; another name begins anew. `events` are the kinds that it
    wants, all when there are none. Its methods run on the store's thread, inside the transaction
    that moves the checkpoint, so they neither commit nor call the trail. The cursor is that of
    the database's driver, `sqlite3` or psycopg, with its own marks for parameters.
    """

    name: str
    events: ClassVar[Collection[type[BatchEvent]]] = ()
    bodies: ClassVar[bool] = False
    """Whether the events bring the lines that they carry; without, their digests and sizes."""

    def begin(self, cursor: Any) -> None:  # noqa: B027 (not everybody has tables)
        """Called once, before the first event: the place to make tables."""

    @abstractmethod
    def process(self, recorded: Recorded, cursor: Any) -> None:
        """Take in one event, in the order of positions."""


def check_kinds(kinds: object) -> None:
    """Raise `InputError` for what is no collection of event classes."""
    if isinstance(kinds, str | type) or not isinstance(kinds, Collection):
        raise InputError(f"events is {kinds!r}; give classes of events, for example [Submitted]")
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BatchEvent)):
            raise InputError(f"events has {kind!r}, which is no class of events")


def check_projection(projection: Projection) -> None:
    """Raise `InputError` for a projection without a name, or of what are no events."""
    if not isinstance(projection, Projection):
        raise InputError(f"{projection!r} is no Projection")
    check_text(f"the name of {type(projection).__name__}", getattr(projection, "name", None))
    check_kinds(projection.events)


async def project(runtime: Runtime, projection: Projection) -> int:
    """Bring a projection up to the end of the log; returns the position that it has reached.

    Safe beside other processes with the same projection, and after a crash at any point. Raises
    `ProjectionError` with what the projection raised.
    """
    checkpoints = runtime.batches.recorder.checkpoints
    while True:
        before = await runtime.in_store(checkpoints.position, projection.name)
        to, write = await runtime.in_store(_step, runtime.batches, projection, before)
        if to == before:
            return to
        await runtime.in_store(checkpoints.advance, projection.name, before, to, write)


def _step(
    batches: Batches, projection: Projection, before: int | None
) -> tuple[int, Callable[[Any], None]]:
    """How far the next transaction goes, and what is done in it."""
    if before is None:
        return 0, lambda cursor: _begin(projection, cursor)
    to, page = log_page(batches, before, projection.events, bodies=projection.bodies)
    return to, lambda cursor: _process(projection, page, cursor)


def _begin(projection: Projection, cursor: Any) -> None:
    try:
        projection.begin(cursor)
    except Exception as error:
        raise ProjectionError(projection.name, "to begin", error) from error


def _process(projection: Projection, page: list[Recorded], cursor: Any) -> None:
    for recorded in page:
        try:
            projection.process(recorded, cursor)
        except Exception as error:
            event = recorded.event
            what = (
                f"at event {event.originator_version} of batch {event.originator_id} "
                f"({type(event).__name__}, position {recorded.position})"
            )
            raise ProjectionError(projection.name, what, error) from error


async def log(
    runtime: Runtime, after: int, kinds: Collection[type[BatchEvent]], *, bodies: bool
) -> AsyncIterator[Recorded]:
    """The events of all batches behind a position, in the order of positions, page by page."""
    while True:
        to, page = await runtime.in_store(
            partial(log_page, runtime.batches, after, kinds, bodies=bodies)
        )
        for recorded in page:
            yield recorded
        if to == after:
            return
        after = to


def log_page(
    batches: Batches, after: int, kinds: Collection[type[BatchEvent]], *, bodies: bool
) -> tuple[int, list[Recorded]]:
    """Some events behind a position, and up to where there are no others of these kinds.

    That is `after` itself at the end of the log.
    """
    recorder = batches.recorder
    end = recorder.max_notification_id() or 0
    topics = [kind.TOPIC for kind in kinds]
    page: list[Recorded] = []
    size = 0
    while size < _PAGE_BYTES and len(page) < _PAGE_EVENTS:
        found = recorder.select_notifications(after, _SLICE, end, topics, inclusive_of_start=False)
        for notification in found:
            event = batches.mapper.to_domain_event(notification)
            assert isinstance(event, BatchEvent)
            if bodies:
                event = batches.with_body(event)
                size += event.body.size if event.body is not None else 0
            page.append(Recorded(notification.id, event))
            size += len(notification.state)
        if len(found) < _SLICE:
            return max(end, after), page
        after = found[-1].id
    return after, page
