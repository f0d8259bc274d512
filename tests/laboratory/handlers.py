"""Completion handlers whose calls are remembered, whoever called them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import Factory, define

from batchtrail.application.errors import HandlerNotAllowedError

if TYPE_CHECKING:
    from batchtrail.application.completions import Completion
    from batchtrail.application.views import BatchSummary

REFERENCE = "laboratory:Handler"

Mishap = Callable[[], None]
"""Is called within each handler; may raise."""


@define
class Handled:
    """One whole call of a handler's method: for which batch, and the outcomes that it saw."""

    batch_id: UUID
    method: str
    outcomes: dict[str, str]


def no_mishap() -> None:
    """Let the handler run to its end."""


@define
class Handlers:
    """Where every process finds the one handler; `began` and `done` count calls of all."""

    done: list[Handled] = Factory(list)
    began: int = 0
    mishap: Mishap = no_mishap

    def load(self, reference: str) -> object:
        if reference != REFERENCE:
            raise HandlerNotAllowedError(f"there is no {reference}")
        return _Handler(self)


class _Handler:
    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def on_batch_completion(
        self, batch: BatchSummary, completions: AsyncIterator[Completion]
    ) -> None:
        await self._handle("completion", batch, completions)

    async def on_batch_success(
        self, batch: BatchSummary, completions: AsyncIterator[Completion]
    ) -> None:
        await self._handle("success", batch, completions)

    async def on_batch_failure(
        self, batch: BatchSummary, completions: AsyncIterator[Completion]
    ) -> None:
        await self._handle("failure", batch, completions)

    async def _handle(
        self, method: str, batch: BatchSummary, completions: AsyncIterator[Completion]
    ) -> None:
        self._handlers.began += 1
        self._handlers.mishap()
        outcomes = {each.custom_id: each.outcome.value async for each in completions}
        self._handlers.mishap()
        self._handlers.done.append(Handled(batch.id, method, outcomes))
