"""The read models: a row for each batch, a row for each of its requests, and their port."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol, Self
from uuid import UUID

from attrs import frozen

from ..domain.batch import Batch
from ..domain.status import BatchStatus, Outcome, WorkStep
from ..domain.values import BatchProblem, Deferral, RequestCounts, Totals, Trouble


@frozen
class BatchSummary:
    """One batch as lists and `status` show it: an image of the aggregate at `version`."""

    id: UUID
    version: int
    created_at: datetime
    updated_at: datetime
    provider: str
    endpoint: str
    model: str | None
    completion_window: str
    metadata: dict[str, str]
    description: str | None
    identity: str | None
    generation: int
    status: BatchStatus
    raw_status: str | None
    provider_batch_id: str | None
    submitted_at: datetime | None
    ended_at: datetime | None
    given_up: bool
    cancel_requested: bool
    request_count: int
    input_size: int
    request_counts: RequestCounts | None
    totals: Totals
    price_source: str | None
    results_collected: bool
    miscounted: bool
    completion_handler: str | None
    handler_dispatched: bool
    trouble: Trouble | None
    retry_of: UUID | None
    retries: tuple[UUID, ...]
    next_step: WorkStep | None
    lost_creates: int
    deferral: Deferral | None
    errors: tuple[BatchProblem, ...]
    error_count: int

    @classmethod
    def of(cls, batch: Batch) -> "BatchSummary":
        """The summary of an aggregate as it is now."""
        return cls(
            id=batch.id,
            version=batch.version,
            created_at=batch.created_on,
            updated_at=batch.modified_on,
            provider=batch.provider,
            endpoint=batch.endpoint,
            model=batch.model,
            completion_window=batch.completion_window,
            metadata=dict(batch.metadata),  # the batch may be one that is remembered
            description=batch.description,
            identity=batch.identity,
            generation=batch.generation,
            status=batch.status,
            raw_status=batch.raw_status,
            provider_batch_id=batch.provider_batch_id,
            submitted_at=batch.submitted_at,
            ended_at=batch.ended_at,
            given_up=batch.given_up,
            cancel_requested=batch.cancel_requested,
            request_count=batch.request_count,
            input_size=batch.input_size,
            request_counts=batch.report.request_counts if batch.report else None,
            totals=batch.totals,
            price_source=batch.price_source,
            results_collected=batch.results_collected,
            miscounted=batch.miscounted,
            completion_handler=batch.completion_handler,
            handler_dispatched=batch.handler_dispatched,
            trouble=batch.trouble,
            retry_of=batch.retry_of,
            retries=batch.retries,
            next_step=batch.next_step,
            lost_creates=batch.submission.lost_creates if batch.submission else 0,
            deferral=batch.deferral,
            errors=batch.errors,
            error_count=batch.error_count,
        )

    @property
    def never_ran(self) -> bool:
        """Whether the provider failed it as a whole, so that nothing is paid for.

        One with successes ran, whatever it is called, and so did one that counts some which nobody
        has collected.
        """
        is_failed = self.status is BatchStatus.FAILED and not self.given_up
        counted = self.request_counts.completed if self.request_counts else 0
        return is_failed and not (self.totals.outcomes.succeeded or counted)

    @property
    def may_have_siblings(self) -> bool:
        """Whether create calls were lost, so that there may be provider batches besides its own."""
        return self.lost_creates > 0

    @property
    def deferred_until(self) -> datetime | None:
        """When it is created again, if the provider's queue had no room for it."""
        return None if self.deferral is None else self.deferral.until


ROW_BYTES = 500
"""What the row of a request weighs beside its body, so that pages without bodies end as well."""

_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
"""Asking the class for each of very many rows takes some times as long."""


@frozen
class OpenBatch:
    """A batch with something left to do: as little of it as a worker needs of very many.

    `may_have_siblings` when create calls were lost, so that each poll looks for what they made.
    `deferred_until` when the provider's queue had no room for it.
    """

    id: UUID
    version: int
    next_step: WorkStep
    updated_at: datetime
    submitted_at: datetime | None
    provider_batch_id: str | None
    may_have_siblings: bool
    deferred_until: datetime | None


class CompletionRow(NamedTuple):
    """One request in the completions view.

    `position` is where its ResultApplied event stands in the log; None when no result line
    mentioned the request.
    """

    number: int
    custom_id: str
    outcome: Outcome
    position: int | None

    @classmethod
    def read(cls, number: int, custom_id: str, outcome: str, position: int | None) -> Self:
        """A row as a database holds it."""
        return cls(number, custom_id, _OUTCOMES[outcome], position)


class ViewWriter(Protocol):
    """What the projections write, inside the transaction that moves their checkpoint."""

    def put_batch(self, summary: BatchSummary, first_position: int | None) -> None:
        """Insert or replace a batch's row.

        `first_position` is that of the batch's first event, None when that was written before:
        it numbers the batch, so that a rebuild gives every batch its number again.
        """
        ...

    def add_requests(self, batch_id: UUID, first_number: int, custom_ids: Sequence[str]) -> None:
        """Insert a pending row for each request."""
        ...

    def settle(
        self, batch_id: UUID, results: Iterable[tuple[int, Outcome, int]], *, behind: int
    ) -> None:
        """Give requests their outcome, by triples of their number, that, and an event's position.

        The positions are counted from the one `behind`.
        """
        ...

    def settle_rest(self, batch_id: UUID, outcome: Outcome) -> None:
        """Give every request that is still pending this outcome."""
        ...

    def reopen(self, batch_id: UUID) -> None:
        """Make every request pending again that has no result line."""
        ...


class ViewReader(Protocol):
    """What the services ask of the views."""

    def summaries(self, *, limit: int, before: datetime | None = None) -> list[BatchSummary]:
        """Batches, newest first, `limit` at most, made before a moment."""
        ...

    def summary(self, batch_id: UUID) -> BatchSummary | None:
        """One batch; None for an unknown one."""
        ...

    def open_batches(self, provider: str) -> list[OpenBatch]:
        """The batches at a provider with something left to do, oldest first."""
        ...

    def open_elsewhere(self, provider: str) -> list[str]:
        """The other providers that have open batches."""
        ...

    def latest_generation(self, identity: str) -> int:
        """The highest generation of the batches with this identity; 0 when there is none."""
        ...

    def matching_ids(self, prefix: str) -> list[UUID]:
        """The ids that begin with these hex digits, at most ten."""
        ...

    def index_page(self, batch_id: UUID, *, after: int) -> tuple[Sequence[str], Sequence[int]]:
        """The next custom_ids behind number `after`, and which numbers of theirs are settled.

        As many as the database reads at once; none behind the last.
        """
        ...
