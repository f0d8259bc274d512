"""Processes that die: at a boundary of what they do, or from outside at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from batchtrail.application.lifecycle import ServiceSettings
from batchtrail.application.runtime import Runtime
from batchtrail.application.service import BatchService
from batchtrail.application.store import Batches

from .wire import Act, RemoteProvider, Wire

if TYPE_CHECKING:
    from batchtrail.adapters.fake import FakeBatchProvider
    from batchtrail.application.ports import CompletionHandlers, PriceBook
    from batchtrail.application.saving import Steps
    from batchtrail.domain.batch import Batch

    from .databases import Database
    from .virtual_time import VirtualTime

T = TypeVar("T")
Boundary = Callable[[str], None]
"""Is told of each boundary that a process comes to; raises `Crash` to end the process there."""

Turn = Callable[[], float]
"""Says before each store call how many seconds others have their turn before it."""


class Crash(BaseException):
    """The process is gone; no code of its own may catch this."""


def pass_by(boundary: str) -> None:
    """Live on."""


def short_turn() -> float:
    """Let everybody else who is ready have one turn."""
    return 0.0


class Process:
    """One process: a service with a store connection, a provider and a clock of its own.

    Once it is dead nothing of it reaches the store or the provider any more, whatever of its
    code still unwinds; what it had sent by then may still arrive.
    """

    def __init__(
        self,
        name: str,
        time: VirtualTime,
        database: Database,
        provider: FakeBatchProvider,
        wire: Wire,
        *,
        settings: ServiceSettings | None = None,
        handlers: CompletionHandlers | None = None,
        prices: PriceBook | None = None,
        at_boundary: Boundary = pass_by,
        turn: Turn = short_turn,
    ) -> None:
        self.name = name
        self.is_alive = True
        self._at_boundary = at_boundary
        self._main: asyncio.Task[Any] | None = None
        self.batches = _ProcessBatches(self, database)
        self._runtime = _ProcessRuntime(self, self.batches, time, turn)
        remote = RemoteProvider(provider, _ProcessWire(self, wire))
        self.service = BatchService(self._runtime, remote, settings, handlers, prices=prices)

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run the main task to its end. Raises `Crash` when the process died meanwhile."""
        self._main = task = asyncio.ensure_future(main)
        try:
            return await task
        except asyncio.CancelledError:
            if not self.is_alive:
                raise Crash(self.name) from None
            raise
        finally:
            self.is_alive = False
            self.batches.close()

    async def outlive(self, main: Coroutine[Any, Any, object]) -> bool:
        """Run the main task; whether it came to its end."""
        with suppress(Crash):
            await self.run(main)
            return True
        return False

    def die(self) -> None:
        """End the process from outside, wherever it is."""
        self.is_alive = False
        if self._main is not None:
            self._main.cancel()

    def check(self) -> None:
        """Raise `Crash` in what a dead process still tries to do."""
        if not self.is_alive:
            raise Crash(self.name)

    def cross(self, boundary: str) -> None:
        """Come to a boundary, and maybe die there."""
        self.check()
        try:
            self._at_boundary(boundary)
        except Crash:
            self.die()
            raise


class _ProcessWire:
    """A wire with a boundary at this end of it."""

    def __init__(self, process: Process, wire: Wire) -> None:
        self._process = process
        self._wire = wire

    async def carry(self, operation: str, act: Act[T]) -> T:
        self._process.cross(f"before {operation}")
        try:
            answer = await self._wire.carry(operation, act)
        finally:
            self._process.check()
        self._process.cross(f"after {operation}")
        return answer

    async def piece(self, operation: str) -> None:
        self._process.cross(f"piece of {operation}")
        await self._wire.piece(operation)
        self._process.check()

    def transfer(self, file_id: str, content: bytes) -> list[bytes | Exception]:
        return self._wire.transfer(file_id, content)


class _ProcessClock:
    def __init__(self, process: Process, time: VirtualTime) -> None:
        self._process = process
        self._time = time

    def now(self) -> datetime:
        return self._time.now()

    async def sleep(self, seconds: float) -> None:
        await self._time.sleep(seconds)
        self._process.check()


class _ProcessBatches(Batches):
    """A store with a boundary before and after each commit."""

    def __init__(self, process: Process, database: Database) -> None:
        self._process = process
        super().__init__(database.open())

    def save_batch(self, batch: Batch, steps: Steps | None = None, **more: Any) -> None:
        if steps is None and not batch.pending_events:
            return
        self._process.cross("before save")
        super().save_batch(batch, None if steps is None else self._crossed(steps), **more)
        self._process.cross("after save")

    def _crossed(self, steps: Steps) -> Steps:
        """A boundary within the transaction, for each step."""
        for step in steps:
            self._process.cross("step of save")
            yield step


class _ProcessRuntime(Runtime):
    """Store calls on the loop's own thread; others have their turn before each."""

    def __init__(self, process: Process, batches: Batches, time: VirtualTime, turn: Turn) -> None:
        super().__init__(
            batches, _ProcessClock(process, time), actor=process.name, software="laboratory"
        )
        self._process = process
        self._turn = turn

    async def in_store(self, call: Callable[..., T], *args: object) -> T:
        await asyncio.sleep(self._turn())
        self._process.check()
        return call(*args)
