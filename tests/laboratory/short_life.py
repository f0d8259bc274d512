"""One batch's whole life in a few virtual minutes, to any of its ends, again and again."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, field

from batchtrail.adapters.fake import Answer, FakeBatchProvider, InputRequest
from batchtrail.application.completions import output_line
from batchtrail.application.lifecycle import ServiceSettings
from batchtrail.domain.errors import BatchtrailError, DomainError

from .handlers import REFERENCE, Handlers
from .lines import request_line
from .prices import Prices
from .processes import Boundary, Process, pass_by
from .promises import Inspection, check_batch, check_views
from .virtual_time import DAY, VirtualTime
from .wire import DirectWire, Wire

if TYPE_CHECKING:
    from uuid import UUID

    from batchtrail.application.ports import CreateRequest, ProviderBatch
    from batchtrail.application.service import BatchService
    from batchtrail.application.views import BatchSummary

    from .databases import Database

ENDS = ("ended", "failed", "expired", "canceled", "given up")
REQUESTS = ("a", "b", "c", "d")
MAX_AGE = 300.0
_ATTEMPTS = 20
_PAUSE = 60.0
_SOON = 90.0


class StillOpenError(BatchtrailError):
    """A worker has ended before its batches have."""


class EndingProvider(FakeBatchProvider):
    """Brings every batch to the same end by itself, with three of four requests answered."""

    def __init__(self, end: str, time: VirtualTime) -> None:
        super().__init__(now=time.now, answering=_timeless)
        self._end = end
        self._time = time

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        created = await super().create_batch(request)
        ends: dict[str, Callable[[], None]] = {
            "ended": lambda: self.complete(created.id),
            "failed": lambda: self.fail(created.id),
            "expired": lambda: self.expire(created.id, finished=3),
        }
        self._time.after(_SOON, ends.get(self._end, lambda: self.work(created.id, finished=2)))
        return created

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        word = self.look(batch_id).report.raw_status
        seen = await super().cancel_batch(batch_id)
        if word != "cancelling":
            self._time.after(_SOON, lambda: self.finish_cancel(batch_id, finished=3))
        return seen


def _timeless(request: InputRequest) -> Answer:
    """Answer the same at whatever time, one request in four badly."""
    if request.custom_id == "b":
        return Answer(429)
    usage = {"input_tokens": request.number, "output_tokens": 7}
    return Answer(body={"id": "resp", "model": request.model, "usage": usage})


@define
class ShortLife:
    """A user's life with one batch; each command is a process, and is given again when it dies.

    With `worker` nobody waits for the batch: a worker goes on as soon as the log has the wish,
    and a command is only given again when it left no trace.
    """

    end: str
    database: Database
    worker: bool
    at_boundary: Boundary = pass_by
    wire: Wire = Factory(DirectWire)
    time: VirtualTime = Factory(VirtualTime)
    handlers: Handlers = Factory(Handlers)
    provider: EndingProvider = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.provider = EndingProvider(self.end, self.time)

    def live(self) -> tuple[Inspection, bytes]:
        """Live to the end and check every promise; give what was found and the OUT lines."""
        return self.time.run(self._live())

    async def _live(self) -> tuple[Inspection, bytes]:
        if self.end != "canceled":
            await self._insist(self._submit, self._is_submitted)
        else:
            await self._insist(self._submit)
            await self.time.sleep(_SOON + 1)
            await self._insist(self._cancel, self._is_cancel_known)
        await self._insist(self._work if self.worker else self._wait)
        return await self._checked()

    # Commands

    async def _submit(self, service: BatchService) -> None:
        await service.submit(map(request_line, REQUESTS), completion_handler=REFERENCE)

    async def _cancel(self, service: BatchService) -> None:
        with suppress(DomainError):
            await service.cancel(await self._only_batch(service))

    async def _wait(self, service: BatchService) -> None:
        await service.wait(await self._only_batch(service))

    @staticmethod
    async def _work(service: BatchService) -> None:
        if await service.worker(look_interval=60).run(until_idle=True):
            raise StillOpenError("a worker that was locked out is started again")

    @staticmethod
    async def _only_batch(service: BatchService) -> UUID:
        (batch,) = await service.batches()
        return batch.id

    def _is_submitted(self) -> bool:
        return any(each.status != "pending" or each.next_step for each in self._summaries())

    def _is_cancel_known(self) -> bool:
        return any(each.cancel_requested for each in self._summaries())

    # Processes

    def _process(self, *, at_boundary: Boundary, wire: Wire) -> Process:
        return Process(
            "user",
            self.time,
            self.database,
            self.provider,
            wire,
            settings=ServiceSettings(
                (60.0, 120.0, 300.0), max_age=MAX_AGE if self.end == "given up" else DAY
            ),
            handlers=self.handlers,
            prices=Prices(),
            at_boundary=at_boundary,
        )

    async def _insist(
        self,
        command: Callable[[BatchService], Coroutine[Any, Any, None]],
        is_known: Callable[[], bool] = lambda: False,
    ) -> None:
        """Give a command until it came to its end, or a worker can go on with it."""
        for _ in range(_ATTEMPTS):
            process = self._process(at_boundary=self.at_boundary, wire=self.wire)
            with suppress(BatchtrailError):
                if await process.outlive(command(process.service)):
                    return
            if self.worker and is_known():
                return
            await self.time.sleep(_PAUSE)
        raise AssertionError("the command never came to its end")

    def _summaries(self) -> Sequence[BatchSummary]:
        reader = self._process(at_boundary=pass_by, wire=DirectWire())
        found = reader.batches.views.summaries(limit=10)
        reader.batches.close()
        return found

    async def _checked(self) -> tuple[Inspection, bytes]:
        reader = self._process(at_boundary=pass_by, wire=DirectWire())
        batch_id = await self._only_batch(reader.service)
        seen = await check_batch(reader, self.provider, self.handlers, batch_id)
        reader.batches.close()
        check_views(self.time, self.database, self.provider)
        return seen, b"".join(map(output_line, seen.completions))
