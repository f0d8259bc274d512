"""What every service needs: the store's thread, the clock, and who is acting."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import PersistenceError

from ..domain.batch import Batch
from ..domain.checks import check_moment
from ..domain.values import Provenance, Stamp
from .correlation import correlation_id, new_id
from .errors import ClosedError, ConflictError, StoreError
from .store import Batches, ChangeBodies

if TYPE_CHECKING:
    from .ports import Clock

_GRACE = 10.0
"""Seconds that work which should not be broken off gets to finish when it is cancelled."""

Decide = Callable[[Batch, Stamp], ChangeBodies | None]
"""Decides on a batch as it is now, and gives what becomes of earlier bodies with that, if any."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


async def finishing(work: Coroutine[Any, Any, _T]) -> _T:
    """Do something that a cancellation lets finish, within reason, before it takes effect."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_GRACE)
        raise
    finally:
        if not task.cancel() and not task.cancelled():
            task.exception()  # seen: whoever was cancelled does not ask for it


async def raised_by(work: Awaitable[object]) -> BaseException | None:
    """Do something and give what it raised, whatever that is; None when it came to its end.

    Only what breaks us off together with it goes on its way: a cancellation that was asked for,
    and an interrupt.
    """
    return _given(await _raised(work))


async def raised_apart(work: Awaitable[object]) -> BaseException | None:
    """As `raised_by`, in a task of its own: work that cancels its task then cancels only itself."""
    task = asyncio.ensure_future(_raised(work))
    try:
        return _given(await task)
    except asyncio.CancelledError as error:
        if _is_cancelled(error):
            raise
        return error


async def _raised(work: Awaitable[object]) -> BaseException | None:
    """What is raised; an interrupt as well, which would leave a task by way of the loop.

    A GeneratorExit that is given back is the work's own, for whoever closes this coroutine raises
    another one in its caller.
    """
    try:
        await work
    except BaseException as raised:
        if _is_cancelled(raised):
            raise
        return raised
    return None


def _given(raised: BaseException | None) -> BaseException | None:
    if isinstance(raised, KeyboardInterrupt):
        raise raised
    return raised


def _is_cancelled(error: BaseException) -> bool:
    """Whether somebody cancels us; a user's code may raise the same error for its own reasons."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def _raising_no_stop(call: Callable[..., _T], *args: object) -> _T:
    """Call, and tell a StopIteration, as of a clock that ran out: no future takes it, nor ends."""
    try:
        return call(*args)
    except StopIteration as error:
        raise RuntimeError("a store call raised StopIteration") from error


class Runtime:
    """Runs store calls on one thread and stamps commands.

    `actor` says who acts ("cli:ada@host", "worker:7"), `software` which version.
    """

    def __init__(self, batches: Batches, clock: "Clock", *, actor: str, software: str) -> None:
        self.batches = batches
        self.clock = clock
        self._actor = actor
        self._software = software
        self._is_closed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batchtrail-store")

    async def in_store(self, call: Callable[..., _T], *args: object) -> _T:
        """Run a store call on the store's thread, the only one that uses it once it is open.

        Raises `ClosedError` after the end, and `StoreError` when the database cannot be used.
        """
        if self._is_closed:
            raise ClosedError
        context = copy_context()  # the thread knows of no correlation by itself
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, partial(context.run, _raising_no_stop, call, *args)
            )
        except PersistenceError as error:
            raise StoreError(f"the database cannot be used: {error}") from error

    async def in_store_while_wanted(self, call: Callable[[Callable[[], None]], _T]) -> _T:
        """Run a long store call, which asks again and again whether it is still wanted.

        What it is given raises when the caller was cancelled, so that nobody waits for its end.
        """
        unwanted = Event()

        def check() -> None:
            if unwanted.is_set():
                raise StoreError("interrupted")

        try:
            return await self.in_store(call, check)
        finally:
            unwanted.set()

    def stamp(self) -> Stamp:
        """The stamp of one decision: its id is what its events name as their cause.

        Raises `InputError` where a clock of the caller's own gives no moment.
        """
        now = self.clock.now()
        check_moment("the clock's now", now)
        return Stamp(
            now.astimezone(UTC),  # as it is read again, whatever zone the clock is in
            Provenance(self._actor, self._software, correlation_id(), new_id()),
        )

    async def load(self, batch_id: UUID) -> Batch:
        """The batch as it is in the log. Raises `BatchNotFoundError`."""
        return await self.in_store(self.batches.get, batch_id)

    async def command(self, batch_id: UUID, decide: Decide) -> Batch:
        """Load, decide, save; once more from the beginning when another process was first."""
        return await self.in_store(self._attempt, batch_id, decide)

    def _attempt(self, batch_id: UUID, decide: Decide) -> Batch:
        while True:
            batch = self.batches.get(batch_id)
            change_bodies = decide(batch, self.stamp())
            try:
                self.batches.save_batch(batch, change_bodies=change_bodies)
            except ConflictError:
                _log.debug("batch %s was changed by another process; deciding again", batch_id)
                continue
            return batch

    def close(self) -> None:
        """Finish the running store call and close the store."""
        self._is_closed = True
        try:
            self._thread.submit(self.batches.close).result()
        finally:
            self._thread.shutdown()
