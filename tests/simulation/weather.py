"""The way to the provider in bad weather: delays, refusals, lost answers, outages."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from attrs import Factory, define

from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from random import Random

    from tests.laboratory.virtual_time import VirtualTime
    from tests.laboratory.wire import Act
    from tests.simulation.provider import LivingProvider

T = TypeVar("T")

_NOT_REPEATABLE = ("upload", "create", "complete")
_CALLED_ONCE = ("upload", "create", "cancel", "delete")
_ODDS_OF_THE_RARE = 5
"""What is called once in a life must fail as often as what is called all day."""

_FAULTS = (
    "not sent",
    "answer lost",
    "answer lost",
    "late arrival",
    "too many calls",
    "no credit",
    "key refused",
    "not found",
)
_USUAL = (0.05, 0.5, 5.0)
_SLOW = 29.0
"""Seconds one way: there and back it is less than the adapter's time-out of a create."""

_MAX_LATE = 20.0
"""Seconds. With the longest lag of the list it stays within the time of a reconciliation."""

_MAX_SHORT = 1
"""So often is one file shortened: more than the tries for a file would lose what it holds."""


@define
class Weather:
    """A wire whose faults are drawn from the seed; none of them once it has cleared up."""

    time: VirtualTime
    provider: LivingProvider
    chance: Random
    faults: Counter[str]
    fault_rate: float
    outages: tuple[tuple[float, float], ...]
    """From which second to which nothing gets through."""

    lost_creates: float
    """How often a create call is done and its answer lost, beside all else."""

    is_clear: bool = False
    _shortenings: Counter[str] = Factory(Counter)
    _under_way: set[asyncio.Task[None]] = Factory(set)

    async def carry(self, operation: str, act: Act[T]) -> T:
        """Take a while there and back, with whatever happens on the way."""
        if self.is_clear:
            return await act()
        self._break_out()
        rare = operation in _CALLED_ONCE
        if self.chance.random() < self.fault_rate * (_ODDS_OF_THE_RARE if rare else 1):
            await self._fail(operation, act)
        answer = await self._arrive(operation, act)
        await self._travel()
        if operation == "create" and self.chance.random() < self.lost_creates:
            self._note("create: answer lost")
            raise OutcomeUnknownError("The answer was lost.")
        return answer

    async def piece(self, operation: str) -> None:
        """Break off a list or a download now and then."""
        if self.is_clear:
            return
        if self.chance.random() < self.fault_rate / 4:
            self._note(f"{operation} broken off")
            raise UnavailableError("The connection broke off.")
        if self.chance.random() < self.fault_rate:
            await self._travel()

    def transfer(self, file_id: str, content: bytes) -> list[bytes | Exception]:
        """Cut a file into pieces of any size, and sometimes end it too early."""
        size = self.chance.choice((50, 700, 100_000))
        if not self.is_clear and self.chance.random() < self.fault_rate * _ODDS_OF_THE_RARE:
            content = self._shortened(file_id, content)
        return [content[start : start + size] for start in range(0, len(content), size)]

    def _shortened(self, file_id: str, content: bytes) -> bytes:
        batches = (self.provider.batch(each) for each in self.provider.honest)
        files = {each for batch in batches for each in (batch.output_file_id, batch.error_file_id)}
        if file_id not in files or self._shortenings[file_id] >= _MAX_SHORT:
            return content
        self._shortenings[file_id] += 1
        self._note("download shortened")
        cut = self.chance.randint(0, len(content) - 1)
        at_line = content.rfind(b"\n", 0, cut) + 1
        return content[: self.chance.choice((cut, at_line))]

    def _break_out(self) -> None:
        for begin, end in self.outages:
            if begin <= self.time.elapsed < end:
                self._note("call in an outage")
                raise UnavailableError("The provider is down.")

    async def _travel(self) -> None:
        slow = self.chance.random() < self.fault_rate
        longest = _SLOW if slow else self.chance.choice(_USUAL)
        await asyncio.sleep(self.chance.uniform(0, longest))

    async def _arrive(self, operation: str, act: Act[T]) -> T:
        """Reach the provider; what was sent arrives even when its sender is broken off."""
        try:
            await self._travel()
        except asyncio.CancelledError:
            if operation == "create" and self.chance.random() < 0.5:
                self._note("create arrived from a broken-off sender")
                with suppress(ProviderError):
                    await act()
            raise
        return await act()

    async def _fail(self, operation: str, act: Act[T]) -> None:
        """Raise one of the port's errors, or let the call pass where the port has no such."""
        fault = self.chance.choice(_FAULTS)
        is_unknown = operation in _NOT_REPEATABLE
        if fault == "late arrival" and operation != "create":
            return
        if fault == "not found" and operation not in ("download", "retrieve"):
            return
        self._note(f"{operation}: {fault}")
        await self._travel()
        if fault in ("answer lost", "late arrival"):
            if fault == "answer lost":
                await act()
                await self._travel()
            else:
                self._act_later(act)
            lost = OutcomeUnknownError if is_unknown else UnavailableError
            raise lost("The answer was lost.")
        raise self._error(fault)

    def _act_later(self, act: Act[T]) -> None:
        async def late() -> None:
            await asyncio.sleep(self.chance.uniform(0, _MAX_LATE))
            with suppress(ProviderError):
                await act()

        task = asyncio.ensure_future(late())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _error(self, fault: str) -> Exception:
        wait = self.chance.choice((None, 0.0, 7.5, 300.0))
        errors = {
            "not sent": UnavailableError("The connection was refused."),
            "too many calls": RateLimitedError("Slow down.", retry_after=wait, http_status=429),
            "no credit": QuotaError("Your credit is used up.", http_status=429),
            "key refused": UnauthorizedError("Incorrect API key.", http_status=401),
            "not found": NotFoundError("No such thing.", http_status=404),
        }
        return errors[fault]

    def _note(self, fault: str) -> None:
        self.faults[fault] += 1
