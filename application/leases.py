"""Leases: who is at work on something now, so that others save themselves the work.

A lease makes nothing correct: every change is fenced by the event store's versions. It keeps two
workers from uploading one file or calling one handler at the same moment, as long as the clocks of
their machines agree within a lease.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

from .errors import StoreError
from .runtime import Runtime

DEFAULT_LEASE = 45.0
"""Seconds without a sign of life after which somebody else takes over."""

_LONGEST = timedelta(minutes=15)
"""Far longer than leases last: one that ends later is from a clock that was ahead."""

_log = logging.getLogger(__name__)


def batch_lease(batch_id: UUID) -> str:
    """The name of the lease on everything that is done for a batch."""
    return f"batch {batch_id}"


def polls_lease(provider: str) -> str:
    """The name of the lease on the polls of all batches at a provider."""
    return f"polls {provider}"


class Leases:
    """The leases of one process, in the database that all of them share.

    `renewal` is the seconds between two signs of life, `busy_delay` those until what somebody else
    is at work on is looked at again.
    """

    def __init__(self, runtime: Runtime, seconds: float = DEFAULT_LEASE) -> None:
        """`seconds` is how long a lease lasts without a sign of life."""
        self._runtime = runtime
        self._lease = timedelta(seconds=seconds)
        self.renewal = seconds / 3
        self.busy_delay = seconds / 9
        self._holder = uuid4().hex
        self._held: set[str] = set()

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[bool]:
        """Hold a lease during the block and renew it; False when somebody else has it.

        Somebody else may be another task of this process. A lease that cannot be renewed in time
        is lost without a word: what the block records is fenced all the same.
        """
        if name in self._held:
            yield False
            return
        self._held.add(name)
        try:
            if not await self._claim_or_leave(name):
                yield False
                return
            async with self._renewed(name):
                yield True
        finally:
            self._held.discard(name)

    async def _claim_or_leave(self, name: str) -> bool:
        """Claim a lease; who is cancelled meanwhile leaves none, which nobody would give back."""
        try:
            return await self.claim(name)
        except asyncio.CancelledError:
            await self.release(name)  # on the same thread, behind a claim that is made even so
            raise

    @asynccontextmanager
    async def _renewed(self, name: str) -> AsyncIterator[None]:
        """Renew a lease during the block, then give it back."""
        renewal = asyncio.ensure_future(self._keep(name))
        try:
            yield
        finally:
            renewal.cancel()
            try:
                # Awaited by itself, its cancellation would pass for ours, or ours for its.
                await asyncio.gather(renewal, return_exceptions=True)
            finally:
                await self.release(name)

    async def claim(self, name: str) -> bool:
        """Take or renew a lease; False when somebody else has it."""
        now = self._runtime.clock.now()
        claim = partial(
            self._runtime.batches.recorder.claim,
            now=now,
            until=now + self._lease,
            latest=now + max(2 * self._lease, _LONGEST),
        )
        return await self._runtime.in_store(claim, name, self._holder)

    async def release(self, name: str) -> None:
        """Give a lease back, so that nobody waits for its end."""
        try:
            await self._runtime.in_store(self._runtime.batches.recorder.release, name, self._holder)
        except StoreError as error:
            _log.warning("a lease ends by itself only: %s", error)

    async def _keep(self, name: str) -> None:
        while True:
            # By the loop and not by the clock: a test's clock would run ahead of the work.
            await asyncio.sleep(self.renewal)
            with suppress(StoreError):
                await self.claim(name)
