"""A provider that lives: batches go their own ways, each drawn from the seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import define, evolve

from batchtrail.adapters.fake import Answer, FakeBatchProvider, InputRequest, RawStatus
from batchtrail.adapters.fake.script import TOKEN_LIMIT, UNKNOWN_MODEL
from batchtrail.domain.status import ResultFile
from batchtrail.domain.values import BatchProblem, RequestCounts

if TYPE_CHECKING:
    from collections import Counter

    from tests.laboratory.virtual_time import VirtualTime

    from batchtrail.application.ports import CreateRequest, ProviderBatch, UploadedFile

WINDOW = 24 * 3_600.0
NOT_VISIBLE = BatchProblem("invalid_request", "No such File object.", param="file_id")
_GARBAGE = (b"this is not JSON", b'{"custom_id": "nobody-asked", "response": null}', b"", b"[]")
_OLDER = 0.5
_LONGEST_OLDER = 120.0
"""Seconds for which a server may show the state of a batch before its end, and how many do."""

_UNDER_WAY = (RawStatus.VALIDATING, RawStatus.IN_PROGRESS, RawStatus.FINALIZING)
_STATUS_CODES = (200, 200, 200, 200, 200, 400, 429, 500)


@define
class Climate:
    """How often a provider is odd: chances between 0 and 1."""

    odd_batch: float = 0.0
    odd_line: float = 0.0
    lag: float = 0.0
    longest_lag: float = 90.0
    """Seconds for which a new batch may be missing from the list."""

    durations: tuple[float, ...] = (600.0, 600.0, 7_200.0, 80_000.0)
    """Seconds that a batch may take at most: minutes, hours or nearly the whole window."""


class LivingProvider(FakeBatchProvider):
    """Moves every batch along by its own clock, to every kind of end."""

    def __init__(
        self, seed: str, time: VirtualTime, climate: Climate, faults: Counter[str]
    ) -> None:
        super().__init__(now=time.now, answering=self._answer_to, page_size=3)
        self._seed = seed
        self._time = time
        self._climate = climate
        self._noted = faults
        self._shown_from: dict[str, float] = {}
        self._files_from: dict[str, float] = {}
        self._ripe: dict[str, Callable[[], object]] = {}
        self._before_end: dict[str, ProviderBatch] = {}
        self._older_until: dict[str, float] = {}
        self.honest: set[str] = set()
        """Batches whose counts and files agree, so that a short download can be noticed."""

    def _random(self, *about: object) -> Random:
        """Chance of its own for each thing, whatever happens elsewhere."""
        return Random(" ".join(map(str, (self._seed, *about))))  # noqa: S311 (a simulation)

    def _answer_to(self, request: InputRequest) -> Answer:
        return Answer(self._random("answer", request.custom_id).choice(_STATUS_CODES))

    def batch(self, batch_id: str) -> Any:
        """The batch behind the port."""
        return self._account.batch(batch_id)

    def file(self, file_id: str | None) -> bytes:
        """A result file as it is; nothing without one."""
        return self._account.files[file_id] if file_id else b""

    # What the port shows.

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        chance = self._random("upload", len(self.calls))
        if chance.random() < self._climate.lag:
            self._noted["input file not visible"] += 1
            self.hide_file(times=chance.randint(1, 2))
        return await super().upload(lines, filename=filename, size=size)

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        created = await super().create_batch(request)
        chance = self._random("lag", created.id)
        if chance.random() < self._climate.lag:
            self._noted["list lags"] += 1
            lag = chance.uniform(1, self._climate.longest_lag)
            self._shown_from[created.id] = self._time.elapsed + lag
        _Fate(self, created.id, self._random("fate", created.id)).begin()
        return created

    def shown_from(self, batch_id: str) -> float:
        """The second of the life from which the list shows a batch."""
        return self._shown_from.get(batch_id, 0.0)

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        seen = self._as_seen(await super().retrieve_batch(batch_id))
        if self._looked_at(batch_id):
            self._noted["stale answer"] += 1
            await self._time.sleep(self._random("stale", batch_id).uniform(2, 25))
        return seen

    def end_after_a_look(self, batch_id: str, end: Callable[[], object]) -> None:
        """Let a batch come to its end behind somebody's back, whose answer is on its way."""
        self._ripe[batch_id] = end

    def _looked_at(self, batch_id: str) -> bool:
        """Whether the end of a batch was waiting for this look."""
        end = self._ripe.pop(batch_id, None)
        if end is not None:
            self._time.after(self._random("ripe", batch_id).uniform(0, 2), end)
        return end is not None

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        async for batch in super().list_batches():
            if self.shown_from(batch.id) <= self._time.elapsed:
                self._looked_at(batch.id)
                yield self._as_seen(batch)

    def _as_seen(self, batch: ProviderBatch) -> ProviderBatch:
        return self._maybe_older(self._maybe_without_files(batch))

    def _maybe_older(self, batch: ProviderBatch) -> ProviderBatch:
        """What was seen before the end; some servers still show it after one has shown the end."""
        if not batch.report.status.is_terminal:
            self._before_end[batch.id] = batch
        elif batch.id not in self._older_until:
            chance = self._random("older", batch.id)
            lag = chance.uniform(0, _LONGEST_OLDER) if chance.random() < _OLDER else 0.0
            self._older_until[batch.id] = self._time.elapsed + lag
        elif batch.id in self._before_end and self._time.elapsed < self._older_until[batch.id]:
            self._noted["older state after the end"] += 1
            return evolve(self._before_end[batch.id], request_id=batch.request_id)
        return batch

    def _maybe_without_files(self, batch: ProviderBatch) -> ProviderBatch:
        """Some servers name the files only a while after the end."""
        if self._files_from.get(batch.id, 0.0) <= self._time.elapsed:
            return batch
        report = evolve(batch.report, output_file_id=None, error_file_id=None)
        return evolve(batch, report=report)

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        before = self.batch(batch_id).status
        shown = await super().cancel_batch(batch_id)
        if before in _UNDER_WAY:
            _Fate(self, batch_id, self._random("cancel", batch_id)).begin_cancel()
        return shown


@define
class _Fate:
    """What becomes of one batch."""

    provider: LivingProvider
    batch_id: str
    chance: Random

    @property
    def _batch(self) -> Any:
        return self.provider.batch(self.batch_id)

    def _is_odd(self) -> bool:
        return self.chance.random() < self.provider._climate.odd_batch

    @staticmethod
    def _after(seconds: float, act: Callable[..., object], *arguments: Any) -> None:
        asyncio.get_running_loop().call_later(seconds, act, *arguments)

    def _note(self, fault: str) -> None:
        self.provider._noted[fault] += 1

    def begin(self) -> None:
        """Draw the way of a new batch."""
        validated = self.chance.uniform(1, 900)
        if self._is_odd():
            self._begin_oddly(validated)
        else:
            self._after(validated, self._start_work)
            self._after(validated + self._duration(), self._ripen)

    def _duration(self) -> float:
        """Seconds of work."""
        return self.chance.choice(self.provider._climate.durations) * self.chance.uniform(0.05, 1)

    def _ripen(self) -> None:
        """Complete now, or as soon as somebody has looked."""
        end = partial(self._end, RawStatus.COMPLETED)
        if self.chance.random() < 0.3:
            end()
        else:
            self.provider.end_after_a_look(self.batch_id, end)

    def _begin_oddly(self, validated: float) -> None:
        way = self.chance.choice(("fail", "not visible", "stuck", "expire", "expire", "cancel"))
        self._note(f"batch: {way}")
        if way == "fail":
            self._after(validated, self._fail, self.chance.choice((TOKEN_LIMIT, UNKNOWN_MODEL)))
        elif way == "not visible":
            self._after(validated, self._fail, NOT_VISIBLE)
        elif way == "stuck" and self.chance.random() < 0.3:
            return
        else:
            self._after(validated, self._start_work)
            if way == "expire":
                self._after(WINDOW + self.chance.uniform(0, 300), self._end, RawStatus.EXPIRED)
            elif way == "cancel":
                self._after(validated + self._duration(), self._cancel_by_others)

    def _start_work(self) -> None:
        if self._batch.status is not RawStatus.VALIDATING:
            return
        self.provider.advance(self.batch_id)
        for _ in range(self.chance.randint(0, 2)):
            self._after(self._duration() / 2, self._work_some)
        if self._is_odd():
            self._note("unknown status word")
            self.provider.show_status(self.batch_id, "paused_for_lunch")
            self._after(self._duration(), self._show_truth)

    def _work_some(self) -> None:
        batch = self._batch
        if batch.status is RawStatus.IN_PROGRESS:
            finished = self.chance.randint(len(batch.done), batch.total)
            self.provider.work(self.batch_id, finished=finished)

    def _show_truth(self) -> None:
        self.provider.show_status(self.batch_id, None)

    def _fail(self, *errors: BatchProblem) -> None:
        if self._batch.status is RawStatus.VALIDATING:
            self.provider.fail(self.batch_id, errors)

    def _cancel_by_others(self) -> None:
        """Somebody clicks on the provider's web page."""
        if self._batch.status in _UNDER_WAY:
            self.provider._account.cancel(self._batch, "web")
            self.begin_cancel()

    def begin_cancel(self) -> None:
        """Draw the way of a batch that is being cancelled."""
        if self._is_odd():
            self._note("cancellation stuck")
            if self.chance.random() < 0.5:
                return
            self._after(self.chance.uniform(600, 7_200), self._end, RawStatus.CANCELLED)
        else:
            self._after(self.chance.uniform(1, 600), self._end, RawStatus.CANCELLED)

    def _end(self, status: RawStatus) -> None:
        """Come to an end, if it still lies on the way, with files as odd as they may be."""
        batch = self._batch
        if batch.status is RawStatus.CANCELLING and status is not RawStatus.CANCELLED:
            return
        if batch.status.is_over:
            return
        is_plain = self._deform(batch)
        finished = self.chance.randint(len(batch.done), batch.total)
        if status is RawStatus.COMPLETED:
            self.provider.complete(self.batch_id)
        elif status is RawStatus.EXPIRED:
            self.provider.expire(self.batch_id, finished=finished)
        else:
            self.provider.finish_cancel(self.batch_id, finished=finished)
        self._undeform()
        self._misreport(batch, is_plain=is_plain)

    def _deform(self, batch: Any) -> bool:
        """Order odd lines for the files of this batch; whether there are none."""
        verbs: dict[str, Callable[[str], None]] = {
            "drop": self.provider.drop_line,
            "repeat": self.provider.repeat_line,
            "garble": self.provider.garble_line,
            "rename": lambda custom_id: self.provider.rename_line(custom_id, self._other_name()),
        }
        is_plain = True
        for request in batch.verdict.requests:
            if self.chance.random() < self.provider._climate.odd_line:
                verb = self.chance.choice(tuple(verbs))
                self._note(f"line: {verb}")
                verbs[verb](request.custom_id)
                is_plain = False
        for file in ResultFile:
            if self.chance.random() < self.provider._climate.odd_line:
                self._note("line: garbage")
                self.provider.add_line(self.chance.choice(_GARBAGE), file)
                is_plain = False
            if self.chance.random() < self.provider._climate.odd_line / 2:
                self._note("file cut off")
                self.provider.cut_last_line(file)
                is_plain = False
        return is_plain

    def _other_name(self) -> str | None:
        return self.chance.choice((None, "somebody-else", ""))

    def _undeform(self) -> None:
        shapes = self.provider._account.shapes
        shapes.lines.clear()
        shapes.cut.clear()
        for lines in shapes.added.values():
            lines.clear()

    def _misreport(self, batch: Any, *, is_plain: bool) -> None:
        """Count wrongly, or show the end or its files late."""
        counts = batch.show(None).report.request_counts
        if self._is_odd():
            self._note("wrong counts")
            wrong = RequestCounts(*(self.chance.randint(0, 9) for _ in range(3)))
            self.provider.show_counts(self.batch_id, self.chance.choice((wrong, RequestCounts())))
            return
        if is_plain:
            self.provider.honest.add(self.batch_id)
            if counts.completed + counts.failed and self._is_odd():
                self._note("files named late")
                late = self._after_now(self.chance.uniform(1, 100))
                self.provider._files_from[self.batch_id] = late
        if self._is_odd():
            self._note("end shown late")
            self.provider.show_status(self.batch_id, "finalizing")
            self._after(self.chance.uniform(1, 3_600), self._show_truth)

    def _after_now(self, seconds: float) -> float:
        return self.provider._time.elapsed + seconds
