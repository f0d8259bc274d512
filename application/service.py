"""The use cases: draft, submit, wait, cancel, and read what came of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from attrs import frozen

from ..domain.batch import Batch
from ..domain.errors import NotSubmittedError
from ..domain.events import BatchEvent
from ..domain.status import BatchStatus
from ..domain.values import NewBatch
from .collection import SHORT_FETCHES, CollectionFlow
from .completions import Completion, completions
from .drafting import add_requests, checked_input, identity_of, input_digest, record_input
from .errors import BatchNotFoundError, InputError, RefusedError
from .estimation import CounterOf, Estimate, by_bytes, check_cost, estimate
from .input import CheckedInput, Requests, fill, spool
from .polling import DEFAULT_SCHEDULE, Trouble, first_poll, poll_delay
from .ports import BatchProvider, PriceBook, ProviderBatch
from .progress import Delayed, OnProgress, Waiting, silent
from .reconciliation import Reconciliation
from .runtime import Runtime
from .submission import TRANSIENT, SubmissionFlow
from .views import BatchSummary


@frozen
class ServiceSettings:
    """How patient the service is: all in seconds.

    `poll_schedule` is the time between the polls of one batch, the last repeats;
    `reconcile_wait` is how long a create without an answer is searched for before it is made
    again; `create_timeout` is after how long the provider adapter gives a create call up.
    """

    poll_schedule: Sequence[float] = DEFAULT_SCHEDULE
    reconcile_wait: float = 120.0
    create_timeout: float = 60.0


class BatchService:
    """Runs batches, and goes on from what the log says; a repeat is safe unless a method denies it.

    Methods raise `BatchNotFoundError` for an unknown batch, `InputError` for input that breaks a
    rule, `DomainError` for what a batch's state forbids and `ProviderError` for what the
    provider could not or would not do.
    """

    def __init__(
        self,
        runtime: Runtime,
        provider: BatchProvider,
        settings: ServiceSettings = ServiceSettings(),
        prices: PriceBook | None = None,
        counter_of: CounterOf = by_bytes,
    ) -> None:
        """Without `prices` no cost is known; `counter_of` counts the tokens of estimates."""
        self._runtime = runtime
        self._provider = provider
        self._settings = settings
        self._prices = prices
        self._counter_of = counter_of
        self._reconciliation = Reconciliation(
            runtime,
            provider,
            wait=settings.reconcile_wait,
            create_timeout=settings.create_timeout,
        )
        self._submission = SubmissionFlow(runtime, provider, self._reconciliation)
        self._collection = CollectionFlow(
            runtime, provider, prices, short_delays=settings.poll_schedule[:SHORT_FETCHES]
        )

    async def submit(
        self,
        requests: Requests | Path,
        *,
        endpoint: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        new: bool = False,
        max_cost: Decimal | None = None,
        on_progress: OnProgress = silent,
    ) -> UUID:
        """Check the requests as a whole, record them and hand them to the provider once.

        `requests` is the path of a JSONL file or an iterable, plain or async, of lines or
        mappings; it is never all in memory. The same input for the same provider continues the
        earlier batch, whatever happened to it, unless `new` asks for another. `metadata` is
        ours and is not sent; a batch that goes on keeps what it was begun with. Returns the
        batch id.

        With `max_cost`, in USD, an input that was not submitted before is refused when its
        estimate's upper end is above it, or when it has none.

        Raises `InputError` before anything is recorded or sent.
        """
        async with checked_input(requests, self._provider.limits, self._runtime) as checked:
            if max_cost is not None:
                await self._runtime.in_store(self._check_cost, checked, max_cost, new)
            batch_id = await self._record_input(checked, endpoint, metadata, description, new=new)
        await self._submission.advance(batch_id, on_progress)
        return batch_id

    async def estimate(self, requests: Requests | Path) -> Estimate:
        """What requests would cost, and which limits they would hit; nothing is recorded or sent.

        Raises `InputError` for the first request that breaks a rule.
        """
        async with checked_input(requests, self._provider.limits, self._runtime) as checked:
            return await self._runtime.in_store(self._estimate, checked)

    def _estimate(self, checked: CheckedInput) -> Estimate:
        return estimate(checked, self._prices, self._counter_of)

    def _check_cost(self, checked: CheckedInput, max_cost: Decimal, new: bool) -> None:
        """Raise `InputError` for an input that may cost too much and was not submitted yet."""
        identity = identity_of(self._provider.name, checked)
        try:
            batch = self._runtime.batches.get(
                Batch.id_for(identity, self._generation(identity, new))
            )
        except BatchNotFoundError:
            batch = None
        if batch is None or batch.submission is None:
            check_cost(checked.name, self._estimate(checked), max_cost)

    async def _record_input(
        self,
        checked: CheckedInput,
        endpoint: str | None,
        metadata: Mapping[str, str] | None,
        description: str | None,
        *,
        new: bool,
    ) -> UUID:
        """Record a checked input under the id that it has, or a new one."""
        if endpoint not in {None, checked.endpoint}:
            raise InputError(
                f"{checked.name}: line 1, field url: is {checked.endpoint!r}, "
                f"and the batch is for {endpoint!r}"
            )
        identity = identity_of(self._provider.name, checked)
        draft = NewBatch(
            provider=self._provider.name,
            endpoint=checked.endpoint,
            metadata=dict(metadata or {}),
            description=description,
            identity=identity,
            generation=await self._runtime.in_store(self._generation, identity, new),
        )
        return await self._runtime.in_store(
            record_input, self._runtime, draft, checked, self._provider.limits
        )

    def _generation(self, identity: str, new: bool) -> int:
        """Which batch of an identity is meant: the newest that was not dropped as a draft."""
        latest = self._runtime.batches.views.latest_generation(identity)
        if latest == 0:
            return 1
        batch = self._runtime.batches.get(Batch.id_for(identity, latest))
        dropped = batch.status is BatchStatus.CANCELED and batch.submission is None
        return latest + 1 if new or dropped else latest

    async def draft(self, new: NewBatch) -> UUID:
        """Begin a batch to which requests are added piece by piece; returns its id."""
        if new.completion_handler is not None:
            raise InputError("completion handlers are not run by this version; leave it out")
        if new.endpoint not in self._provider.limits.endpoints:
            raise InputError(f"{new.endpoint!r} is no batch endpoint of {self._provider.name}")
        batch = Batch.draft(new, stamp=self._runtime.stamp())
        await self._runtime.in_store(self._runtime.batches.save_batch, batch)
        return batch.id

    async def add_requests(self, batch_id: UUID, requests: Requests) -> int:
        """Add requests to a draft; returns how many it has now.

        The rules are checked against all that was added before; when one request breaks a rule
        (`InputError`), none is added. Not safe to repeat: the custom_ids are then taken. Raises
        `ConflictError` when another process adds to the same draft.
        """
        with spool() as file:
            await fill(file, requests)
            return await self._runtime.in_store(
                add_requests, self._runtime, batch_id, file, self._provider.limits
            )

    async def submit_draft(self, batch_id: UUID, on_progress: OnProgress = silent) -> None:
        """Hand a draft to the provider; refused for a batch that was submitted before."""
        self._check_provider(await self._runtime.load(batch_id))
        digest = await self._runtime.in_store(input_digest, self._runtime.batches, batch_id)
        await self._runtime.command(
            batch_id, lambda batch, stamp: batch.start_submission(digest, stamp=stamp)
        )
        await self._submission.advance(batch_id, on_progress)

    async def wait(self, batch_id: UUID, on_progress: OnProgress = silent) -> BatchSummary:
        """Stay with a batch until every request has an outcome; poll on the schedule.

        An unreachable provider is waited for, and for an hour a batch or file that it says it
        does not have. Interrupting the wait does not touch the batch.
        Raises `NotSubmittedError` for a draft that nobody has submitted.
        """
        batch = await self._runtime.load(batch_id)
        self._check_provider(batch)
        if batch.status is BatchStatus.PENDING and batch.submission is None:
            raise NotSubmittedError(batch_id, "waiting for it")
        trouble = Trouble(self._runtime.clock)
        while True:
            try:
                batch = await self._advance(batch_id, on_progress)
            except TRANSIENT as error:
                batch = await self._runtime.load(batch_id)
                delay = max(self._delay(batch), trouble.wait_after(error))
                on_progress(Delayed(batch_id, str(error), delay))
            else:
                if batch.results_collected:
                    return BatchSummary.of(batch)
                trouble.is_over()
                delay = self._delay(batch)
                on_progress(Waiting(BatchSummary.of(batch), delay))
            await self._runtime.clock.sleep(delay)

    def _delay(self, batch: Batch) -> float:
        """Seconds until the batch's next poll."""
        since = batch.submitted_at or batch.modified_on
        elapsed = (self._runtime.clock.now() - since).total_seconds()
        return poll_delay(self._settings.poll_schedule, max(0.0, elapsed), batch.id)

    async def _advance(self, batch_id: UUID, on_progress: OnProgress) -> Batch:
        """Take a batch as far as it goes now: submit, poll once, collect."""
        batch = await self._submission.advance(batch_id, on_progress)
        if not batch.status.is_terminal and self._is_due(batch):
            batch = await self._poll(batch)
        if batch.status.is_terminal:
            batch = await self._collection.collect(batch_id, on_progress)
        return batch

    def _is_due(self, batch: Batch) -> bool:
        """Whether a batch may have news: one that was just submitted has none yet."""
        if batch.submitted_at is None or batch.report is not None or batch.cancel_requested:
            return True
        elapsed = (self._runtime.clock.now() - batch.submitted_at).total_seconds()
        return elapsed >= first_poll(self._settings.poll_schedule, batch.id)

    async def refresh(self, batch_id: UUID) -> BatchSummary:
        """Ask the provider once and record what changed; nothing is asked after the end."""
        batch = await self._runtime.load(batch_id)
        if batch.provider_batch_id is not None and not batch.status.is_terminal:
            batch = await self._poll(batch)
        return BatchSummary.of(batch)

    async def _poll(self, batch: Batch) -> Batch:
        self._check_provider(batch)
        if batch.provider_batch_id is None:
            return batch
        batch = await self._reconciliation.look_for_siblings(batch)
        if batch.provider_batch_id is None or batch.status.is_terminal:
            return batch
        if batch.cancel_requested and not (batch.report and batch.report.is_canceling):
            return await self._send_cancel(batch)
        return await self._record_seen(
            batch, await self._provider.retrieve_batch(batch.provider_batch_id)
        )

    async def _record_seen(
        self, batch: Batch, seen: ProviderBatch, *, after_call: bool = False
    ) -> Batch:
        return await self._runtime.command(
            batch.id,
            lambda batch, stamp: batch.record_status(
                seen.id,
                seen.report,
                request_id=seen.request_id,
                stamp=stamp,
                after_call=after_call,
            ),
        )

    async def collect(self, batch_id: UUID, on_progress: OnProgress = silent) -> BatchSummary:
        """Apply the results of a batch that is over, and settle every request."""
        batch = await self._runtime.load(batch_id)
        self._check_provider(batch)
        return BatchSummary.of(await self._collection.collect(batch_id, on_progress))

    async def cancel(self, batch_id: UUID, on_progress: OnProgress = silent) -> BatchSummary:
        """Ask for a batch's end; finished requests keep their results.

        A batch that was never submitted is canceled at once, without a call. Refused after the
        end, and for a batch whose cancellation the provider knows of already.
        """
        batch = await self._runtime.load(batch_id)
        self._check_provider(batch)
        told = batch.report is not None and batch.report.is_canceling
        if told or not batch.cancel_requested or batch.status.is_terminal:
            await self._runtime.command(
                batch_id, lambda batch, stamp: batch.request_cancel(stamp=stamp)
            )
        batch = await self._submission.advance(batch_id, on_progress)
        if batch.provider_batch_id is not None and not batch.status.is_terminal:
            batch = await self._send_cancel(batch)
        return BatchSummary.of(batch)

    async def _send_cancel(self, batch: Batch) -> Batch:
        assert batch.provider_batch_id is not None
        try:
            seen = await self._provider.cancel_batch(batch.provider_batch_id)
        except RefusedError:
            # It ended in the meantime; what the provider reports now decides.
            seen = await self._provider.retrieve_batch(batch.provider_batch_id)
            return await self._record_seen(batch, seen)
        return await self._record_seen(batch, seen, after_call=True)

    async def status(self, batch_id: UUID) -> BatchSummary:
        """One batch as the log has it; nothing is asked of the provider."""
        return BatchSummary.of(await self._runtime.load(batch_id))

    async def batches(self, *, limit: int = 100) -> list[BatchSummary]:
        """The newest batches, `limit` at most."""
        return await self._runtime.in_store(
            lambda: self._runtime.batches.views.summaries(limit=limit)
        )

    async def find(self, reference: str) -> UUID:
        """The id of a batch from its id or the beginning of it, if only one fits.

        Raises `InputError` when none or more than one fits.
        """
        prefix = reference.replace("-", "").lower()
        if not prefix or not all(digit in "0123456789abcdef" for digit in prefix):
            raise InputError(f"{reference!r} is no batch id; `status` lists the batches")
        ids = await self._runtime.in_store(lambda: self._runtime.batches.views.matching_ids(prefix))
        if len(ids) != 1:
            found = "no batch" if not ids else "more than one batch"
            raise InputError(f"{found} has an id that begins with {reference}")
        return ids[0]

    def completions(self, batch_id: UUID) -> AsyncIterator[Completion]:
        """The completions of a batch in input order, in constant memory."""
        return completions(self._runtime, batch_id)

    async def history(self, batch_id: UUID) -> AsyncIterator[BatchEvent]:
        """Every event of a batch, oldest first, in constant memory."""
        await self._runtime.load(batch_id)
        log = self._runtime.batches.history(batch_id)
        while (event := await self._runtime.in_store(next, log, None)) is not None:
            yield event

    def _check_provider(self, batch: Batch) -> None:
        if batch.provider != self._provider.name:
            raise InputError(
                f"batch {batch.id} is at {batch.provider}, and this is {self._provider.name}; "
                "set the base URL that the batch was submitted to"
            )
