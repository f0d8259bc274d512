"""The use cases: draft, submit, wait, cancel, and read what came of it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from attrs import evolve

from ..domain.batch import Batch
from ..domain.checks import check_number, check_seconds, check_text, check_type
from ..domain.errors import NotCollectedError, NothingToCollectError, NotSubmittedError
from ..domain.status import BatchStatus, Outcome, WorkStep
from ..domain.values import NewBatch, Stamp
from .collection import cut_ends
from .completions import check_outcomes
from .correlation import one_chain
from .drafting import add_requests, checked_input, identity_of, input_digest, record_input
from .errors import (
    BatchNotFoundError,
    HandlerError,
    InputError,
    ProviderError,
    problem_text,
)
from .handlers import NoHandlers, check_reference
from .input import CheckedInput, Requests, fill, spool
from .lifecycle import Lifecycle, ServiceSettings
from .log_keeper import LogKeeper
from .polling import Patience
from .ports import BatchProvider, CompletionHandlers, PriceBook
from .progress import Delayed, OnProgress, Progress, Waiting, silent
from .reconciliation import BATCH_ID_KEY
from .retrying import requests_to_retry
from .runtime import Runtime
from .submission import TRANSIENT, sent_metadata
from .token_counting import CounterOf, by_bytes
from .views import BatchSummary
from .worker import DEFAULT_PARALLEL, LOOK_INTERVAL, Worker

if TYPE_CHECKING:
    from .endpoints import Answer, EndpointRequest
    from .estimation import Estimate


_SIBLING_TRIES = 10
"""So often is the cancellation of a second provider batch repeated once all results are there."""


class BatchService(LogKeeper):
    """Runs batches, and goes on from what the log says; a repeat is safe unless a method denies it.

    Methods raise `BatchNotFoundError` for an unknown batch, `InputError` for input that breaks a
    rule, `DomainError` for what a batch's state forbids and `ProviderError` for what the
    provider could not or would not do.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        settings: ServiceSettings | None = None,
        handlers: CompletionHandlers | None = None,
        *,
        prices: PriceBook | None = None,
        counter_of: CounterOf = by_bytes,
    ) -> None:
        """Without `prices` no cost is known; `counter_of` counts the tokens of estimates.

        Raises `InputError` for what are no settings.
        """
        if settings is not None:
            check_type("settings", settings, ServiceSettings, "ServiceSettings")
        super().__init__(runtime)
        self._provider = provider
        self._prices = prices
        self._counter_of = counter_of
        self._lifecycle = Lifecycle(
            runtime, provider, handlers or NoHandlers(), settings or ServiceSettings(), prices
        )

    @one_chain
    async def submit(
        self,
        requests: Requests | Path,
        *,
        endpoint: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        completion_handler: str | None = None,
        new: bool = False,
        max_cost: Decimal | None = None,
        on_progress: OnProgress = silent,
    ) -> UUID:
        """Check the requests as a whole, record them and hand them to the provider once.

        `requests` is the path of a JSONL file or an iterable, plain or async, of lines or
        mappings; it is never all in memory. The same input for the same provider continues the
        earlier batch, whatever happened to it, unless `new` asks for another. `metadata` is
        ours and is not sent. `completion_handler` names a class as `package.module:Name`, which
        is called when every request has its outcome; where this process may import it, it must be
        there. A batch that goes on has the one that it was begun with, and another is refused. Its
        metadata and description stay as well. Returns the batch id.

        With `max_cost`, in USD, an input of which no batch may exist yet at the provider is refused
        when its estimate's upper end is above it, or when it has none.

        Who cancels this during the create call waits for the answer, ten seconds at most: a call
        that is broken off may have made a batch, which is then searched for.

        Raises `InputError` before anything is recorded or sent, and a `ProviderError` behind
        that: the batch is recorded then, and a worker or the same call goes on with it.
        """
        check_reference(completion_handler)
        _check_new(new)
        if endpoint is not None:
            check_text("endpoint", endpoint)
        _check_amount(max_cost)
        async with checked_input(requests, self._provider.limits, self._runtime) as checked:
            if endpoint not in {None, checked.endpoint}:
                raise InputError(
                    f"{checked.name}: line 1, field url: is {checked.endpoint!r}, "
                    f"and the batch is for {endpoint!r}"
                )
            draft = NewBatch(
                provider=self._provider.name,
                endpoint=checked.endpoint,
                metadata={} if metadata is None else metadata,
                description=description,
                completion_handler=completion_handler,
                identity=identity_of(self._provider.name, checked),
            )
            batch_id = await self._record_input(checked, draft, new=new, max_cost=max_cost)
        await self._hand_over(batch_id, on_progress)
        return batch_id

    async def estimate(self, requests: Requests | Path) -> "Estimate":
        """What requests would cost, and which limits they would hit; nothing is recorded or sent.

        Raises `InputError` for the first request that breaks a rule.
        """
        async with checked_input(requests, self._provider.limits, self._runtime) as checked:
            return await self._runtime.in_store(self._estimate, checked)

    def _estimate(self, checked: CheckedInput) -> "Estimate":
        from .estimation import estimate  # noqa: PLC0415 (start-up time)

        return estimate(checked, self._prices, self._counter_of)

    def _check_cost(self, checked: CheckedInput, max_cost: Decimal, batch: Batch | None) -> None:
        """Raise `InputError` for an input that may cost too much; `batch` is its, if it has one."""
        from .estimation import check_cost  # noqa: PLC0415 (start-up time)

        try:
            check_cost(checked.name, self._estimate(checked), max_cost)
        except InputError as error:
            if batch is None or batch.is_draft:
                raise
            raise InputError(
                f"{error}; it was recorded before, as batch {batch.id}, which a worker would "
                f"submit all the same: `cancel {batch.id}` ends it"
            ) from None

    def _recorded(self, identity: str, generation: int) -> Batch | None:
        """What the log has of an input."""
        with suppress(BatchNotFoundError):
            return self._runtime.batches.get(Batch.id_for(identity, generation))
        return None

    async def _record_input(
        self, checked: CheckedInput, draft: NewBatch, *, new: bool, max_cost: Decimal | None
    ) -> UUID:
        """Record a checked input under the id that it has, or a new one."""
        assert draft.identity is not None
        in_store = self._runtime.in_store
        generation = await in_store(self._generation, draft.identity, new)
        batch = await in_store(self._recorded, draft.identity, generation)
        if max_cost is not None and (batch is None or batch.is_unpaid):
            await in_store(self._check_cost, checked, max_cost, batch)
        if batch is None or batch.is_draft:
            self._lifecycle.check_can_call()
            if draft.retry_of is None:  # a retry has the handler of its parent, as it is
                self._check_handler(draft.completion_handler)
        draft = evolve(draft, generation=generation)
        return await in_store(record_input, self._runtime, draft, checked, self._provider.limits)

    async def _hand_over(self, batch_id: UUID, on_progress: OnProgress) -> None:
        """Submit what was recorded; an error then says that it is, as a worker would go on."""
        try:
            await self._lifecycle.submit(batch_id, on_progress)
        except ProviderError as error:
            error.add_note(
                f"batch {batch_id} is recorded: a worker goes on with it as well, and "
                f"`cancel {batch_id}` ends it"
            )
            raise

    def _check_handler(self, reference: str | None) -> None:
        """Raise `InputError` for a completion handler that would be missed after all is paid."""
        if reference is not None:
            self._lifecycle.handlers.check(reference)

    def _generation(self, identity: str, new: bool) -> int:
        """Which batch of an identity is meant: the newest that was not dropped as a draft."""
        latest = self._runtime.batches.views.latest_generation(identity)
        if latest == 0:
            return 1
        batch = self._runtime.batches.get(Batch.id_for(identity, latest))
        dropped = batch.status is BatchStatus.CANCELED and batch.submission is None
        return latest + 1 if new or dropped else latest

    @one_chain
    async def draft(self, new: NewBatch) -> UUID:
        """Begin a batch to which requests are added piece by piece; returns its id.

        Not safe to repeat without an `identity`: each call makes another batch. With one, a repeat
        is a `ConflictError`, and the batch stays as it is.
        """
        check_type("new", new, NewBatch, "a NewBatch")
        check_reference(new.completion_handler)
        self._check_handler(new.completion_handler)
        if new.provider != self._provider.name:
            raise InputError(
                f"the draft is for {new.provider!r}, and this is {self._provider.name}, where "
                "nobody could submit it"
            )
        if new.endpoint not in self._provider.limits.endpoints:
            raise InputError(f"{new.endpoint!r} is no batch endpoint of {self._provider.name}")
        batch = Batch.draft(new, stamp=self._runtime.stamp())
        sent = sent_metadata(new.metadata, batch.id) if new.send_metadata else {}
        if problem := self._provider.limits.metadata_problem(sent):
            raise InputError(f"metadata {problem}, {BATCH_ID_KEY} included")
        await self._runtime.in_store(self._runtime.batches.save_batch, batch)
        return batch.id

    @one_chain
    async def add_requests(self, batch_id: UUID, requests: Requests | Path) -> int:
        """Add requests to a draft, in the forms that `submit` takes; returns how many it has now.

        The rules are checked against all that was added before; when one request breaks a rule
        (`InputError`), none is added. Not safe to repeat: the custom_ids are then taken. Raises
        `ConflictError` when another process adds to the same draft.
        """
        with spool() as file:
            limits = self._provider.limits
            await fill(file, requests, limits)
            return await self._runtime.in_store(add_requests, self._runtime, batch_id, file, limits)

    @one_chain
    async def submit_draft(self, batch_id: UUID, on_progress: OnProgress = silent) -> None:
        """Hand a draft to the provider; refused for a batch that was submitted before."""
        self._lifecycle.check_can_call()
        self._lifecycle.check_provider(await self._runtime.load(batch_id))

        def start(batch: Batch, stamp: Stamp) -> None:
            # Read with the decision: a request that another process adds meanwhile ends both.
            digest = input_digest(self._runtime.batches, batch_id)
            batch.start_submission(digest, stamp=stamp)

        await self._runtime.command(batch_id, start)
        await self._lifecycle.submit(batch_id, on_progress)

    @one_chain
    async def wait(self, batch_id: UUID, on_progress: OnProgress = silent) -> BatchSummary:
        """Stay with a batch until every request has an outcome and its handler has run.

        A second provider batch of it that cannot be canceled then is tried for some times more,
        between the shortest polls, and otherwise left to a worker or the next wait: the summary's
        `next_step` tells.

        An unreachable provider is waited for, and for an hour a batch or file that it says it
        does not have. Interrupting the wait does not touch the batch. Raises `NotSubmittedError`
        for a draft that nobody has submitted, and `HandlerError` when the results are collected
        and the completion handler did not run to its end.
        """
        batch = await self._runtime.load(batch_id)
        self._lifecycle.check_provider(batch)
        if batch.is_draft:
            raise NotSubmittedError(batch_id, "waiting for it")
        patience, tries_left = Patience(self._runtime.clock), _SIBLING_TRIES
        while True:
            try:
                batch = await self._lifecycle.advance(batch_id, on_progress)
            except TRANSIENT as error:
                batch = await self._runtime.load(batch_id)
                delay = max(self._lifecycle.watch.delay(batch), patience.wait_after(error))
                on_progress(Delayed(batch_id, str(error), delay))
            except HandlerError as error:
                await self._record_handler_failed(batch_id, error)
                raise
            else:
                if batch.results_collected and not batch.awaits_handler:
                    if not (batch.siblings and tries_left):
                        return BatchSummary.of(batch)
                    tries_left -= 1
                patience.forget()
                delay = self._lifecycle.delay(batch)
                on_progress(_waiting(batch, delay))
            await self._runtime.clock.sleep(delay)

    async def _record_handler_failed(self, batch_id: UUID, error: HandlerError) -> None:
        """Leave the handler to a worker, or to the next wait."""
        await self._runtime.command(
            batch_id,
            lambda batch, stamp: batch.record_work_failed(
                WorkStep.COMPLETION_HANDLER, problem_text(error), retry_at=None, stamp=stamp
            ),
        )

    @one_chain
    async def refresh(self, batch_id: UUID) -> BatchSummary:
        """Ask the provider once and record what changed; nothing is asked after the end."""
        batch = await self._runtime.load(batch_id)
        if batch.provider_batch_id is not None and not batch.status.is_terminal:
            self._lifecycle.check_provider(batch)
            batch = await self._lifecycle.watch.poll(batch)
        return BatchSummary.of(batch)

    @one_chain
    async def collect(
        self, batch_id: UUID, on_progress: OnProgress = silent, *, as_is: bool = False
    ) -> BatchSummary:
        """Apply the results of a batch that is over, and settle every request.

        `as_is` takes what can be fetched now and does not wait for files that are out of reach,
        nor for the rows of a batch that was given up and is still being canceled, which is an
        `InputError` otherwise.
        """
        batch = await self._runtime.load(batch_id)
        self._lifecycle.check_provider(batch)
        collection = self._lifecycle.collection
        if as_is:
            return BatchSummary.of(await collection.collect_as_is(batch_id, on_progress))
        _, is_over = await self._lifecycle.watch.look_for_late_end(batch)
        if not is_over:
            raise InputError(
                f"batch {batch_id} was given up and is still being canceled; "
                "wait for its rows, or settle it without them: `collect --as-is`"
            )
        return BatchSummary.of(await collection.collect(batch_id, on_progress))

    @one_chain
    async def collect_again(
        self, batch_id: UUID, on_progress: OnProgress = silent, *, as_is: bool = False
    ) -> BatchSummary:
        """Ask once more for the results of the requests that had no line when they were settled.

        Raises `NotCollectedError` before that, and `NothingToCollectError` when there are none.
        """
        batch = await self._runtime.load(batch_id)
        self._lifecycle.check_provider(batch)
        if not batch.results_collected:
            raise NotCollectedError(batch_id, batch.status)
        if batch.provider_batch_id is None:
            raise NothingToCollectError(batch_id, "the provider never had it")
        if not batch.rest:
            raise NothingToCollectError(batch_id)
        seen = await self._provider.retrieve_batch(batch.provider_batch_id)

        def reopen(batch: Batch, stamp: Stamp) -> None:
            ends = cut_ends(self._runtime.batches, batch)
            batch.reopen_collection(
                seen.report, request_id=seen.request_id, stamp=stamp, cut_ends=ends
            )

        await self._runtime.command(batch_id, reopen)
        return await self.collect(batch_id, on_progress, as_is=as_is)

    @one_chain
    async def retry(
        self,
        batch_id: UUID,
        *,
        only: Collection[Outcome] | None = None,
        new: bool = False,
        max_cost: Decimal | None = None,
        on_progress: OnProgress = silent,
    ) -> UUID:
        """Submit the requests of a batch that are worth it once more, as a batch of their own.

        Those that expired, were canceled or are missing, and those that failed for the server's
        sake (HTTP 408, 429, 5xx, a time-out); `only` takes every request with one of these outcomes
        instead. The same retry continues the batch that it made before, unless `new` asks for
        another. Returns the new batch's id; both batches name each other in their history.
        `max_cost` is that of `submit`. Refused without `new` while the provider shows the batch as
        at work again, and it may answer what had no result.

        Raises `NotCollectedError` while requests may still get their result,
        `NothingToRetryError`, and what `submit` raises.
        """
        _check_new(new)
        _check_amount(max_cost)
        if only is not None:
            check_outcomes(only)
        parent = await self._runtime.load(batch_id)
        self._lifecycle.check_provider(parent)
        if parent.end_taken_back and parent.rest and not new:
            raise InputError(
                f"batch {batch_id} was at work again when it was looked at last, and may still "
                f"answer: `cancel {batch_id}`, and `collect {batch_id}` once it is over; --new "
                "does not wait for it"
            )
        requests = requests_to_retry(self._runtime, parent, only)
        async with checked_input(requests, self._provider.limits, self._runtime) as checked:
            draft = NewBatch(
                provider=parent.provider,
                endpoint=parent.endpoint,
                completion_window=parent.completion_window,
                metadata=parent.metadata,
                send_metadata=parent.send_metadata,
                completion_handler=parent.completion_handler,
                description=parent.description,
                identity=f"{identity_of(parent.provider, checked)}\nretry of {parent.id}",
                retry_of=parent.id,
            )
            retry_id = await self._record_input(checked, draft, new=new, max_cost=max_cost)
        await self._hand_over(retry_id, on_progress)
        return retry_id

    @one_chain
    async def cancel(self, batch_id: UUID, on_progress: OnProgress = silent) -> BatchSummary:
        """Ask for a batch's end; finished requests keep their results.

        A batch that was never submitted is canceled at once, without a call. Refused after the
        end, unless the provider shows the batch as at work again, which it is asked for until the
        results are collected; and for a batch whose cancellation the provider knows of already.
        """
        batch = await self._runtime.load(batch_id)
        self._lifecycle.check_provider(batch)
        may_be_taken_back = batch.provider_batch_id is not None and not batch.results_collected
        if batch.submission is not None and (may_be_taken_back or not batch.is_over):
            self._lifecycle.check_can_call()  # its end is the provider's to make
        if batch.status.is_terminal and may_be_taken_back:
            batch = await self._lifecycle.watch.see_again(batch)
        if batch.is_canceling or not batch.cancel_requested or batch.is_over:
            await self._runtime.command(
                batch_id, lambda batch, stamp: batch.request_cancel(stamp=stamp)
            )
        batch = await self._lifecycle.submit(batch_id, on_progress)
        if batch.provider_batch_id is not None and not batch.is_over:
            batch = await self._lifecycle.watch.send_cancel(batch)
        if batch.provider_batch_id is None and batch.status.is_terminal:
            batch = await self._lifecycle.collection.settle(batch_id)
        return BatchSummary.of(batch)

    async def complete_now(self, request: "EndpointRequest") -> "Answer":
        """Have one request answered at once, at the full price and outside every batch.

        The log says nothing of it. Not safe to repeat: every call is paid. Raises
        `OutcomeUnknownError` when the answer was lost, and other `ProviderError`s with the
        provider's words and request id.
        """
        from .direct import complete_now  # noqa: PLC0415 (start-up time)

        return await complete_now(self._provider, request)

    def worker(
        self, *, parallel: int = DEFAULT_PARALLEL, look_interval: float = LOOK_INTERVAL
    ) -> Worker:
        """A worker that keeps every open batch of this database at this provider going.

        `parallel` is how many batches are submitted or collected at once; every `look_interval`
        seconds it looks for batches that other processes have begun. Raises `InputError` for a
        worker that would never do anything.
        """
        check_number("parallel", parallel)
        check_seconds("look_interval", look_interval)
        return Worker(
            self._runtime,
            self._provider,
            self._lifecycle,
            parallel=parallel,
            look_interval=look_interval,
        )


def _check_new(new: Any) -> None:
    """Raise `InputError` for what does not plainly ask for another batch, which is paid again."""
    check_type("new", new, bool, "True or False")


def _check_amount(max_cost: Any) -> None:
    """Raise `InputError` for what is no sum of money; a float is one, though not an exact one."""
    if max_cost is None:
        return
    is_number = isinstance(max_cost, Decimal | int | float) and not isinstance(max_cost, bool)
    if not is_number or not Decimal(max_cost).is_finite() or max_cost < 0:
        raise InputError(f"max_cost is {max_cost!r}; give an amount of USD as a Decimal")


def _waiting(batch: Batch, seconds: float) -> Progress:
    """What a batch waits for."""
    if batch.results_collected and batch.siblings:
        reason = f"{batch.siblings[0]}, a second provider batch of it, is not canceled yet"
        return Delayed(batch.id, reason, seconds)
    if batch.deferral is not None:
        return Delayed(batch.id, batch.deferral.problem.message, seconds)
    return Waiting(BatchSummary.of(batch), seconds)
