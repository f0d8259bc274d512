"""A round of polls: many batches asked for with few calls."""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TypeGuard

from .errors import (
    NotFoundError,
    ProviderError,
    RateLimitedError,
    RefusedError,
    is_of_account,
    problem_text,
    worth_tracing,
)
from .ports import BatchProvider, Clock, ProviderBatch

LIST_PAGE = 100
"""Batches on one page of a provider's list (OpenAI's API reference, 2026)."""

_MANY_CALLS = 100
"""As many as a list of 10,000 batches has pages."""

_FAILURES_OF_AN_OUTAGE = 3
"""After so many calls in a row that fail the provider is taken to be down, and left alone."""

_OUTAGE_DELAYS = (1.0, 5.0, 15.0, 30.0, 60.0)

_log = logging.getLogger(__name__)

Take = Callable[[str, ProviderBatch | Exception], Awaitable[None]]
"""Is given the id of each batch, and what the provider shows of it, or why it does not."""


class PollRounds:
    """Asks for batches, from the provider's list and then by name, and sits out its outages."""

    def __init__(self, provider: BatchProvider, clock: Clock, take: Take, *, spread: float) -> None:
        """The calls of a round are spread over `spread` seconds, if there are many of them."""
        self._spread = spread
        self._provider = provider
        self._clock = clock
        self._take = take
        self._outages = 0
        self._is_listless = False
        self._unanswered: set[str] = set()
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

        A list that cannot be read, or one batch that cannot be shown, is no outage while others
        are answered.
        """
        # What kept the last round from others does not come first again.
        left = dict.fromkeys(sorted(due, key=self._unanswered.__contains__))
        try:
            is_there = len(known) > 1 and await self._ask_list(left, known)
            await self._ask_by_name(list(left), is_there=is_there)
        except ProviderError as error:
            self.is_locked_out = is_of_account(error)
            self.rest_after(error)
            return
        self.is_locked_out = False
        if self._outages:
            _log.info("the provider answers again")
        self._outages = 0

    async def _ask_list(self, left: dict[str, None], known: Collection[str]) -> bool:
        """Take what the list shows, and off what is left; whether that was anything."""
        before = len(left)
        try:
            await self._walk_list(left, known)
        except Exception as error:
            if _is_for_all(error):
                raise
            if not self._is_listless:
                _log.warning(
                    "the provider does not list its batches: %s",
                    problem_text(error),
                    exc_info=worth_tracing(error),
                )
            self._is_listless = True
        return len(left) < before

    async def _ask_by_name(self, ids: Sequence[str], *, is_there: bool) -> None:
        """Ask for batches one by one; raises the `ProviderError` of an outage.

        While any is answered, a failure is the trouble of its own batch.
        """
        failed: dict[str, ProviderError] = {}
        in_a_row = 0
        pause = self._pause(len(ids))
        for asked, batch_id in enumerate(ids):
            if asked:
                await self._clock.sleep(pause)
            try:
                seen: ProviderBatch | Exception = await self._provider.retrieve_batch(batch_id)
            except Exception as error:
                if _is_for_all(error):
                    raise
                seen = error
            if _is_outage(seen):
                failed[batch_id] = seen
                in_a_row += 1
                if in_a_row == _FAILURES_OF_AN_OUTAGE:
                    break
                continue
            is_there, in_a_row = True, 0
            await self._take(batch_id, seen)
        self._unanswered = set(failed)
        if is_there:
            for batch_id, failure in failed.items():
                await self._take(batch_id, failure)
        if failed and (in_a_row == _FAILURES_OF_AN_OUTAGE or not is_there):
            raise next(reversed(failed.values()))

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

    def rest_after(self, error: BaseException) -> None:
        """Leave the provider alone for a while, the longer the more often in a row."""
        delay = _OUTAGE_DELAYS[min(self._outages, len(_OUTAGE_DELAYS) - 1)]
        if isinstance(error, ProviderError):
            delay = max(delay, error.retry_after or 0.0)
        self._outages += 1
        self._resting_until = self._clock.now() + timedelta(seconds=delay)
        _log.warning(
            "the polls fail, again in %g s: %s",
            delay,
            problem_text(error),
            exc_info=worth_tracing(error),
        )

    def forget_rest(self) -> None:
        """Let the next round begin at once: the clock by which it would wait was set."""
        self._resting_until = None


def _is_outage(seen: ProviderBatch | Exception) -> TypeGuard[ProviderError]:
    """Whether the provider was not there; otherwise it was, but did not show what it was asked for.

    What no adapter should raise says nothing about other batches either.
    """
    return isinstance(seen, ProviderError) and not isinstance(seen, NotFoundError | RefusedError)


def _is_for_all(error: Exception) -> bool:
    """Whether every call fails so: for the key, for the account, or for the number of calls."""
    return is_of_account(error) or isinstance(error, RateLimitedError)
