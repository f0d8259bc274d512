"""A round of polls: many batches asked for with few calls."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import aclosing
from datetime import datetime, timedelta

from .errors import (
    NotFoundError,
    ProviderError,
    RefusedError,
    UnauthorizedError,
    problem_text,
    worth_tracing,
)
from .ports import BatchProvider, Clock, ProviderBatch

LIST_PAGE = 100
"""Batches on one page of a provider's list (OpenAI's API reference, 2026)."""

_MANY_CALLS = 100
"""As many as a list of 10,000 batches has pages."""

_OUTAGE_DELAYS = (1.0, 5.0, 15.0, 30.0, 60.0)

_log = logging.getLogger(__name__)

Take = Callable[[str, ProviderBatch | Exception], Awaitable[None]]
"""Is given the id of each batch, and what the provider shows of it, or why it does not."""


class PollRounds:
    """Asks for batches, from the provider's list and then by name, and sits out its outages."""

    def __init__(
        self, provider: BatchProvider, clock: Clock, take: Take, *, spread: float = 0.0
    ) -> None:
        """The calls of a round are spread over `spread` seconds, if there are many of them."""
        self._spread = spread
        self._provider = provider
        self._clock = clock
        self._take = take
        self._outages = 0
        self._is_listless = False
        self.is_locked_out = False
        self._resting_until: datetime | None = None

    @property
    def is_resting(self) -> bool:
        """Whether the provider is left alone because it did not answer."""
        return self._resting_until is not None and self._clock.now() < self._resting_until

    async def ask(self, due: Iterable[str], known: Collection[str]) -> None:
        """Ask for the provider batches that are due, and take what is seen of others on the way.

        Walking the list costs a call for each page, so it ends as soon as the batches that it
        has not shown yet are no more than the pages so far: asking for those costs no more. What
        was not asked for because of an outage stays due.
        """
        left = dict.fromkeys(due)
        try:
            if len(known) > 1:
                await self._ask_list(left, known)
            pause = self._pause(len(left))
            for asked, batch_id in enumerate(left):
                if asked:
                    await self._clock.sleep(pause)
                await self._ask_for(batch_id)
        except ProviderError as error:
            self.is_locked_out = isinstance(error, UnauthorizedError)
            self._rest_after(error)
            return
        self.is_locked_out = False
        if self._outages:
            _log.info("the provider answers again")
        self._outages = 0

    async def _ask_list(self, left: dict[str, None], known: Collection[str]) -> None:
        try:
            await self._walk_list(left, known)
        except Exception as error:
            if _is_outage(error):
                raise
            if not self._is_listless:
                _log.warning(
                    "the provider does not list its batches: %s",
                    problem_text(error),
                    exc_info=worth_tracing(error),
                )
            self._is_listless = True

    def _pause(self, calls: int) -> float:
        """Seconds between calls; a round of many has no more of them in a second than one of few.

        Providers count the calls of a minute, and other programs under the same key make some.
        """
        return self._spread / max(calls, _MANY_CALLS)

    async def _walk_list(self, left: dict[str, None], known: Collection[str]) -> None:
        listed = 0
        pause = self._pause(len(known) // LIST_PAGE)
        async with aclosing(self._provider.list_batches()) as newest_first:
            async for seen in newest_first:
                listed += 1
                if seen.id in known:
                    left.pop(seen.id, None)
                    await self._take(seen.id, seen)
                if listed % LIST_PAGE == 0:
                    if len(left) <= listed // LIST_PAGE:
                        return
                    await self._clock.sleep(pause)

    async def _ask_for(self, batch_id: str) -> None:
        try:
            seen: ProviderBatch | Exception = await self._provider.retrieve_batch(batch_id)
        except Exception as error:
            if _is_outage(error):
                raise
            seen = error
        await self._take(batch_id, seen)

    def _rest_after(self, error: ProviderError) -> None:
        delay = _OUTAGE_DELAYS[min(self._outages, len(_OUTAGE_DELAYS) - 1)]
        delay = max(delay, error.retry_after or 0.0)
        self._outages += 1
        self._resting_until = self._clock.now() + timedelta(seconds=delay)
        _log.warning("the polls fail, again in %g s: %s", delay, error)


def _is_outage(error: Exception) -> bool:
    """Whether the provider is not there; otherwise it is, but will not show what it is asked for.

    What no adapter should raise says nothing about other batches either.
    """
    return isinstance(error, ProviderError) and not isinstance(error, NotFoundError | RefusedError)
