"""The collect flow: stream both result files, apply each line once, settle what is left.

A chunk of lines is one transaction that also moves the file position, so after a crash the flow
goes on behind the last line applied. No transaction is open during a network call.
"""

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from uuid import UUID

from ..domain.batch import Batch
from ..domain.bodies import Body
from ..domain.errors import NotTerminalError
from ..domain.events import ResultApplied, ResultSkipped
from ..domain.requests import RequestIndex
from ..domain.status import BatchStatus, ResultFile
from ..domain.values import RequestProblem, Stamp
from .errors import (
    ConflictError,
    NotFoundError,
    ProviderError,
    RateLimitedError,
    UnavailableError,
    is_of_account,
)
from .line_groups import line_groups
from .ports import BatchProvider, PriceBook
from .pricing import BatchCosting
from .progress import Applying, Delayed, OnProgress, silent
from .raw_lines import RawLine, split_lines
from .result_lines import parse_result_line
from .runtime import Runtime
from .saving import Steps
from .store import Batches, ChangeBodies, refuse_lost_requests
from .watching import EndTakenBackError, WatchFlow

CHUNK_LINES = 2_000
CHUNK_BYTES = 6 << 20

SHORT_FETCHES = 3
"""So often are files that are short of the provider's count fetched again."""


_FAILURE_DELAYS = (1.0, 2.0, 5.0, 15.0, 30.0, 60.0)
_LONGEST_SHORT_DELAY = 60.0
_WORTH_ANOTHER = (UnavailableError, RateLimitedError, NotFoundError)

_Ends = dict[ResultFile, RawLine]
"""The piece of a line with which a file ended."""

_log = logging.getLogger(__name__)


class CollectionFlow:
    """Brings a batch from its end at the provider to an outcome for every request."""

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        watch: WatchFlow,
        prices: PriceBook | None,
        *,
        short_delays: Sequence[float],
    ) -> None:
        """`short_delays` are the seconds before short files are fetched again, a minute at most."""
        self._runtime = runtime
        self._provider = provider
        self._watch = watch
        self._prices = prices
        self._short_delays = [min(delay, _LONGEST_SHORT_DELAY) for delay in short_delays]

    async def collect(
        self, batch_id: UUID, on_progress: OnProgress = silent, *, longest_wait: float = math.inf
    ) -> Batch:
        """Apply what both files hold, then settle the rest.

        Safe to repeat and to run in several processes at once. Raises `NotTerminalError` before
        the batch's end, and the `ProviderError` of a file that stays out of reach, or for which
        the provider asks to wait for more than `longest_wait` seconds; the same call then goes on
        later.
        """
        batch = _ended(await self._runtime.load(batch_id))
        attempt, rereads = _Attempt(self._short_delays, longest_wait), False
        if _shows_no_results(batch):  # a list may show less than the batch itself
            batch = await self._look_again(batch, attempt, on_progress)
        while not batch.results_collected:
            before = _positions(batch)
            ends, failure = await self._apply_files(batch, on_progress, rereads=rereads)
            batch = await self._runtime.load(batch_id)
            went_on = attempt.note_ends(ends) or _positions(batch) != before
            delay: float | None = None
            reason = "the result files hold fewer lines than they should"
            if failure is not None:
                delay, reason = attempt.after_failure(failure, went_on=went_on), str(failure)
            elif ends or _is_short(batch):
                delay = attempt.after_short_files(went_on=went_on)
            if delay is None:
                if rereads or not _may_have_missed(batch):
                    return await self.settle(batch_id, ends=ends)
                rereads = True
                continue
            await self._rest(batch, reason, delay, on_progress)
            batch = await self._look_again(batch, attempt, on_progress)
        return await self.settle(batch_id)

    async def _look_again(
        self, batch: Batch, attempt: "_Attempt", on_progress: OnProgress
    ) -> Batch:
        """See whether the provider shows more of a batch by now.

        Where it has named no file yet, a look that fails is repeated, or its error raised: nobody
        knows whether there is one.
        """
        while _shows_no_results(batch):
            try:
                return await self._watch.look_again(batch)
            except ProviderError as error:
                delay = attempt.after_failure(error, went_on=False)
                await self._rest(batch, str(error), delay, on_progress)
        return await self._watch.amend(batch)

    async def _rest(self, batch: Batch, reason: str, delay: float, on_progress: OnProgress) -> None:
        on_progress(Delayed(batch.id, reason, delay))
        await self._runtime.clock.sleep(delay)

    async def collect_as_is(self, batch_id: UUID, on_progress: OnProgress) -> Batch:
        """Apply what can be fetched now, and settle the rest without waiting for more.

        Safe to repeat. Raises `NotTerminalError` before the batch's end, and the `ProviderError`
        of a key that is wrong or an account without credit.
        """
        batch = _ended(await self._runtime.load(batch_id))
        with suppress(EndTakenBackError):
            batch = await self._watch.amend(batch)
        lost: RequestProblem | None = None
        if batch.results_collected:
            return batch
        ends, failure = await self._apply_files(batch, on_progress)
        if failure is None and _may_have_missed(await self._runtime.load(batch_id)):
            _, failure = await self._apply_files(batch, on_progress, rereads=True)
        if failure is not None:
            if is_of_account(failure):
                raise failure
            lost = RequestProblem("result_file_lost", f"A result file is out of reach: {failure}")
        return await self.settle(batch_id, lost, ends=ends)

    async def settle(
        self, batch_id: UUID, lost: RequestProblem | None = None, *, ends: _Ends | None = None
    ) -> Batch:
        """Give every request without a line its outcome; `lost` says why lines are out of reach.

        `ends` are the pieces of lines with which the files end. They are recorded with the end
        of the collection and not before: until then the files may turn out to be longer. One that
        an earlier collection recorded is not recorded again.
        """
        batches = self._runtime.batches

        def decide(batch: Batch, stamp: Stamp) -> ChangeBodies | None:
            if batch.results_collected:
                return None
            for file, piece in _unrecorded(batches, batch, ends) if ends else ():
                batch.skip_cut_end(file, piece.offset, piece.raw, stamp=stamp)
            batch.finish_collection(stamp=stamp, lost=lost)
            if not (batch.redactions and batch.is_at_rest):
                return None
            from .redacting import redact_late  # noqa: PLC0415 (start-up time)

            return redact_late(batches, batch, stamp)

        return await self._runtime.command(batch_id, decide)

    async def _apply_files(
        self, batch: Batch, on_progress: OnProgress, *, rereads: bool = False
    ) -> tuple[_Ends, ProviderError | None]:
        """Apply what is new in both files, and leave the rest for another download.

        With `rereads` from their beginning, and only what requests without a result have there.
        Gives the pieces of lines with which files ended, and why one is out of reach.
        """
        ends: _Ends = {}
        failure: ProviderError | None = None
        if batch.report is None:
            return ends, failure
        apply = partial(Applier(self._runtime, batch, self._prices).apply, rereads=rereads)
        for file in (ResultFile.OUTPUT, ResultFile.ERROR):
            file_id = batch.report.file_id(file)
            is_both = file is ResultFile.ERROR and file_id == batch.report.output_file_id
            if file_id is None or is_both:  # some servers name one file twice
                continue
            offset = 0 if rereads else batch.positions[file].offset
            try:
                async with aclosing(self._provider.download(file_id)) as content:
                    async for lines in _chunks(_from(content, offset), offset):
                        if _has_broken_end(lines):
                            ends[file] = lines.pop()
                        applied = await self._runtime.in_store(apply, file, lines)
                        lines.clear()  # megabytes, which need not wait for the next ones
                        on_progress(Applying(batch.id, applied, batch.request_count))
            except ProviderError as error:
                failure = error  # one file that stays away does not keep the other
        return ends, failure


class _Attempt:
    """Counts the downloads of one collection that brought nothing new."""

    def __init__(self, short_delays: Sequence[float], longest_wait: float) -> None:
        self._short_delays = short_delays
        self._longest_wait = longest_wait
        self._failures = 0
        self._short_in_vain = 0
        self._reached: dict[ResultFile, int] = {}

    def note_ends(self, ends: _Ends) -> bool:
        """Whether a file ends within a line and farther than ever before: more may be coming."""
        reached = {file: piece.offset + len(piece.raw) for file, piece in ends.items()}
        grown = {file: end for file, end in reached.items() if end > self._reached.get(file, 0)}
        self._reached |= grown
        return bool(grown)

    def after_failure(self, error: ProviderError, *, went_on: bool) -> float:
        """Seconds until the next attempt; raises the error when there have been enough.

        One that does not pass by itself, or not for too long, at once.
        """
        self._failures = 1 if went_on else self._failures + 1
        asked = error.retry_after or 0.0
        is_worth_another = isinstance(error, _WORTH_ANOTHER) and asked <= self._longest_wait
        if not is_worth_another or self._failures > len(_FAILURE_DELAYS):
            raise error
        return max(_FAILURE_DELAYS[self._failures - 1], asked)

    def after_short_files(self, *, went_on: bool) -> float | None:
        """Seconds until the files are fetched again; None after several that brought nothing new.

        They are then taken as they are.
        """
        self._failures = 0
        if went_on:
            self._short_in_vain = 0
        if self._short_in_vain == len(self._short_delays):
            return None
        self._short_in_vain += 1
        return self._short_delays[self._short_in_vain - 1]


class Applier:
    """Applies chunks of lines on the store's thread; starts over when another process was first."""

    def __init__(self, runtime: Runtime, batch: Batch, prices: PriceBook | None) -> None:
        self._runtime = runtime
        self._batch_id = batch.id
        self._costing = BatchCosting(prices, batch.endpoint, batch.model)
        self._loaded: tuple[Batch, RequestIndex] | None = None

    def apply(self, file: ResultFile, lines: Sequence[RawLine], *, rereads: bool = False) -> int:
        """Apply the lines that are not applied yet; return how many requests have a result.

        With `rereads` also lines from before the file's position, but only those of requests that
        have no result, whatever is wrong with the others.
        """
        while True:
            batch, index = self._loaded or self._load()
            if batch.results_collected:
                return batch.totals.outcomes.settled
            try:
                self._runtime.batches.save_batch(
                    batch, self._steps(batch, index, file, lines, rereads=rereads)
                )
            except ConflictError:
                _log.debug("batch %s is being collected by another process too", self._batch_id)
                self._loaded = None
                continue
            return batch.totals.outcomes.settled

    def _steps(
        self,
        batch: Batch,
        index: RequestIndex,
        file: ResultFile,
        lines: Sequence[RawLine],
        *,
        rereads: bool,
    ) -> Steps:
        """Apply some lines with each step, all by one decision.

        In the order of their requests: then those of one page of the database are near each other
        for whoever reads results in input order, which is nearly everybody.
        """
        stamp, behind = self._runtime.stamp(), batch.positions[file].offset
        costing, source = self._costing, self._costing.source
        if rereads:
            behind, lines = 0, [line for line in lines if _is_missed(line, index)]
        new = [line for line in lines if line.offset >= behind and line.raw.strip()]
        for group in line_groups(new, index, costing.cost_of):
            alike = group.alike(costing.costs_of)
            applied = None
            if alike is not None:
                applied = batch.apply_alike(
                    file, alike, index, behind=behind, stamp=stamp, price_source=source
                )
            if applied is None:
                results = group.one_by_one(costing.cost_of)
                batch.apply_results(
                    file, results, index, behind=behind, stamp=stamp, price_source=source
                )
            yield applied

    def _load(self) -> tuple[Batch, RequestIndex]:
        # The batch first: should another process write between the two, saving is refused.
        batch = self._runtime.batches.get(self._batch_id)
        index = self._runtime.batches.request_index(self._batch_id)
        # Their results would be taken for those of unknown requests.
        refuse_lost_requests(batch, len(index))
        self._loaded = (batch, index)
        return self._loaded


def _is_missed(line: RawLine, index: RequestIndex) -> bool:
    """Whether a line is the result of a request that has none."""
    custom_id = parse_result_line(line).custom_id
    return custom_id is not None and index.is_open(custom_id)


def cut_ends(batches: Batches, batch: Batch) -> dict[ResultFile, int]:
    """Where the lines begin of which the files had a piece; a later download may have the whole."""
    ends: dict[ResultFile, int] = {}
    for event in batches.history(batch.id):
        if isinstance(event, ResultApplied | ResultSkipped):
            is_last = event.offset + event.line.size + 1 == batch.positions[event.file].offset
            if is_last and isinstance(event, ResultSkipped) and event.cut_off:
                ends[event.file] = event.offset
            elif is_last:  # which was a whole line in the end
                ends.pop(event.file, None)
    return ends


def _unrecorded(
    batches: Batches, batch: Batch, ends: _Ends
) -> Iterable[tuple[ResultFile, RawLine]]:
    """The pieces that the log does not have, of files that nobody has read farther meanwhile."""
    left = {
        file: piece for file, piece in ends.items() if batch.positions[file].offset <= piece.offset
    }
    for event in batches.history(batch.id):
        if isinstance(event, ResultSkipped) and (piece := left.get(event.file)) is not None:
            found = event.offset, event.line.sha256
            if found == (piece.offset, Body.digest_of(piece.raw)):
                del left[event.file]
    return left.items()


async def _from(content: AsyncGenerator[bytes, None], offset: int) -> AsyncIterator[bytes]:
    """A stream from a position on; providers offer no ranges, so the head is read and dropped."""
    left = offset
    async for piece in content:
        if len(piece) <= left:
            left -= len(piece)
            continue
        yield piece[left:] if left else piece
        left = 0


async def _chunks(content: AsyncIterator[bytes], offset: int) -> AsyncIterator[list[RawLine]]:
    """Lines in chunks of a transaction's size; after a broken transfer, what was whole."""
    held: list[RawLine] = []
    broken: ProviderError | None = None
    try:
        async for lines in split_lines(content, offset):
            held += lines
            while held and (
                len(held) >= CHUNK_LINES or held[-1].offset - held[0].offset >= CHUNK_BYTES
            ):
                yield held[:CHUNK_LINES]
                del held[:CHUNK_LINES]
    except ProviderError as error:
        broken = error
    if held:
        yield held
    if broken is not None:
        raise broken


def _has_broken_end(lines: Sequence[RawLine]) -> bool:
    """Whether the last line was cut off: no newline, something in it, and not readable as it is."""
    end = lines[-1]
    is_piece = not end.complete and end.raw.strip()
    return bool(is_piece) and parse_result_line(end).problem is not None


def _ended(batch: Batch) -> Batch:
    """The batch, if its results are final. Raises `NotTerminalError`."""
    if not batch.status.is_terminal:
        raise NotTerminalError(batch.id, batch.status)
    return batch


def _has_all(batch: Batch) -> bool:
    return batch.totals.outcomes.settled >= batch.request_count


def _may_have_missed(batch: Batch) -> bool:
    """Whether the files are to be read once more, for requests that have no line.

    Where lines made no sense: after a page in the place of a file, or of a file in another
    order, the position lies behind lines that nobody has seen.
    """
    return not _has_all(batch) and batch.totals.skipped_lines > 0


def _shows_no_results(batch: Batch) -> bool:
    """Whether the last report says nothing of the results of a batch that ran, or runs on."""
    report = batch.report
    return batch.end_taken_back or (
        report is not None
        and report.status in (BatchStatus.ENDED, BatchStatus.EXPIRED, BatchStatus.CANCELED)
        and report.names_no_file
    )


def _is_short(batch: Batch) -> bool:
    """Whether the files have shown less than they should.

    Of a batch that came to its own end, that is a line of each request, whatever the provider
    counts; otherwise a line of each that it counts.
    """
    if batch.report is None or _has_all(batch):
        return False
    if batch.status is BatchStatus.ENDED:
        return True
    counts, outcomes = batch.report.request_counts, batch.totals.outcomes
    is_executed_missing = outcomes.succeeded + outcomes.failed < counts.completed + counts.failed
    return is_executed_missing or _may_tell_of_the_rest(batch)


def _may_tell_of_the_rest(batch: Batch) -> bool:
    """Whether lines of requests that were not run may be missing, which no provider counts.

    Who writes such lines writes one for each, and the error file is there to hold them, behind
    those of the requests that failed.
    """
    if batch.report is None or batch.status not in (BatchStatus.EXPIRED, BatchStatus.CANCELED):
        return False
    outcomes = batch.totals.outcomes
    return outcomes.expired + outcomes.canceled > 0 or batch.report.error_file_id is not None


def _positions(batch: Batch) -> tuple[int, ...]:
    return tuple(position.offset for position in batch.positions.values())
