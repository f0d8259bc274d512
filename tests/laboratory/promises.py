"""What must hold after any life: pay once, lose nothing, and prove it from the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import frozen

from batchtrail.application.reconciliation import BATCH_ID_KEY
from batchtrail.domain import events
from batchtrail.domain.status import BatchStatus

from .lines import Expectation
from .processes import Process
from .stores import all_rows
from .wire import DirectWire

if TYPE_CHECKING:
    from uuid import UUID

    from batchtrail.adapters.fake import FakeBatchProvider
    from batchtrail.application.completions import Completion
    from batchtrail.domain.batch import Batch
    from batchtrail.domain.values import StatusReport

    from .databases import Database
    from .handlers import Handlers
    from .virtual_time import VirtualTime

_STATE_BYTES = 4_000
"""More than any state here has, and less than a state would have that kept its requests."""


class BrokenPromiseError(AssertionError):
    """A life did not keep what the software promises."""


def demand(holds: object, promise: str, *evidence: object) -> None:
    """Raise `BrokenPromiseError` unless something holds."""
    if not holds:
        raise BrokenPromiseError(": ".join([promise, *map(str, evidence)]))


@frozen
class Inspection:
    """One batch after its life: as the store, the log, the views and the provider have it."""

    batch: Batch
    log: list[events.BatchEvent]
    completions: list[Completion]
    expected: Expectation
    provider: FakeBatchProvider

    @property
    def made(self) -> list[str]:
        """The provider batches that were made for this one, but for those that cost nothing.

        Those failed before they ran, for want of their input file or of tokens, and are left.
        """
        accounts = self.provider._account.batches.values()
        mine = [each for each in accounts if _batch_id_of(each) == str(self.batch.id)]
        return [each.id for each in mine if not _never_ran(each.show(None).report)]

    def named(self, event_class: type[events.BatchEvent]) -> list[Any]:
        """The events of one kind."""
        return [event for event in self.log if isinstance(event, event_class)]


def _never_ran(report: StatusReport) -> bool:
    """Whether a provider batch failed for a reason for which it is made again."""
    return report.input_not_found or report.is_out_of_tokens


def _batch_id_of(batch: Any) -> str | None:
    found: str | None = batch.request.metadata.get(BATCH_ID_KEY)
    return found


async def inspect(process: Process, provider: FakeBatchProvider, batch_id: UUID) -> Inspection:
    """Look at a batch from all sides."""
    batch = process.batches.get(batch_id)
    completions = [each async for each in process.service.completions(batch_id)]
    expected = Expectation()
    if batch.provider_batch_id is not None:
        report = provider.look(batch.provider_batch_id).report
        ids = [each.custom_id for each in completions]
        for file_id in (report.output_file_id, report.error_file_id):
            if file_id is not None:
                expected.read(provider.content(file_id), ids)
    log = list(process.batches.history(batch_id, bodies=True))
    return Inspection(batch, log, completions, expected, provider)


Excuse = Callable[[str], bool]
"""Says of a sibling whether nobody could know of it in time."""


def check_paid_once(seen: Inspection, excused: Excuse | None = None) -> None:
    """One provider batch was made for a submission, and the log knows it.

    With an excuse there may be others, if they were canceled and recorded, failed before they
    ran a request, or are excused.
    """
    ours = seen.batch.provider_batch_id
    others = [each for each in seen.made if each != ours]
    if excused is None:
        demand(not others, "one submission makes one provider batch", ours, others)
    else:
        others = [each for each in others if not excused(each)]
        others = [each for each in others if _raw_status(seen, each) != "failed"]
        lost = [each for each in others if each not in seen.batch.canceled_siblings]
        demand(not lost, "every sibling is canceled and recorded", lost)
    for each in seen.batch.canceled_siblings:
        word = _raw_status(seen, each)
        demand(word != "validating", "a canceled sibling was told so", each, word)
    demand(ours is None or ours in seen.provider.batch_ids, "our batch is the provider's", ours)


def _raw_status(seen: Inspection, provider_batch_id: str) -> str:
    return seen.provider.look(provider_batch_id).report.raw_status


def check_outcomes(seen: Inspection) -> None:
    """Every request has one outcome: what its line says, or what the batch's end says."""
    demand(seen.batch.results_collected, "the results are collected", seen.batch.status)
    numbers = [each.number for each in seen.completions]
    demand(numbers == list(range(1, seen.batch.request_count + 1)), "each request is there once")
    rest = _rest_outcome(seen.batch)
    for each in seen.completions:
        lines = seen.expected.verdicts.get(each.custom_id, {})
        if each.line is None:
            demand(not lines, "no line that is paid for is lost", each.custom_id)
            demand(each.outcome == rest, "without a line the end decides", each.custom_id)
        else:
            demand(each.line in lines, "a result is the provider's line", each.custom_id)
            verdict = lines[each.line]
            demand(each.outcome == verdict.outcome, "lines win", each.custom_id, each.outcome)
            demand(each.cost == (verdict.cost or None), "a cost is its line's", each.custom_id)


def _rest_outcome(batch: Batch) -> str:
    if batch.given_up:
        return "failed"
    return "missing" if batch.status is BatchStatus.ENDED else batch.status.value


def check_totals(seen: Inspection) -> None:
    """The totals are the sums of the lines; every line is accounted for once."""
    totals = seen.batch.totals
    counts = Counter(each.outcome.value for each in seen.completions)
    found = {name: getattr(totals.outcomes, name) for name in counts}
    demand(found == counts, "totals count outcomes", found, counts)
    demand(totals.outcomes.settled == seen.batch.request_count, "each request counts once")
    applied = seen.named(events.ResultApplied)
    verdicts = [seen.expected.verdicts[each.custom_id][each.text] for each in applied]
    tokens = [sum(each.tokens[kind] for each in verdicts) for kind in (0, 1)]
    demand([totals.usage.input, totals.usage.output] == tokens, "tokens are summed", tokens)
    priced = sum((each.cost for each in verdicts if each.cost is not None), Decimal(0))
    demand(totals.priced_cost == priced, "costs are summed", totals.priced_cost, priced)
    unpriced = sum(each.cost is None for each in verdicts)
    demand(totals.unpriced == unpriced, "what has no price is counted", totals.unpriced, unpriced)
    skipped = seen.named(events.ResultSkipped)
    demand(totals.skipped_lines == len(skipped), "skipped lines are counted")
    lines = Counter(each.text for each in [*applied, *skipped])
    demand(lines == seen.expected.lines, "each line is recorded once", _differing(lines, seen))


def _differing(lines: Counter[bytes], seen: Inspection) -> list[bytes]:
    expected = seen.expected.lines
    return [line[:80] for line in lines | expected if lines[line] != expected[line]]


def check_log(seen: Inspection) -> None:
    """The log alone gives the state; its end is never left; nothing is in it twice."""
    versions = [event.originator_version for event in seen.log]
    demand(versions == list(range(1, len(versions) + 1)), "the log has no gap")
    replayed: Any = None
    end: BatchStatus | None = None
    for event in seen.log:
        replayed = event.mutate(replayed)
        demand(end in {None, replayed.status}, "an end is never left", end, replayed.status)
        end = replayed.status if replayed.status.is_terminal else None
    demand(_state(replayed) == _state(seen.batch), "the log replays to the state")
    applied = Counter(event.custom_id for event in seen.named(events.ResultApplied))
    demand(max(applied.values(), default=1) == 1, "no result is applied twice", applied)
    left = len(seen.named(events.InputNotVisible)) + len(seen.named(events.TokenLimitReached))
    submitted = len(seen.named(events.Submitted)) - left
    demand(submitted <= 1, "a batch is submitted once", submitted)


def _state(batch: Batch) -> dict[str, Any]:
    return {name: value for name, value in vars(batch).items() if name != "_pending_events"}


def check_state_size(process: Process, seen: Inspection) -> None:
    """What a command loads stays small."""
    size = len(process.batches.snapshot_of(seen.batch).state)
    demand(size < _STATE_BYTES, "the state is small", size)


def check_handled(seen: Inspection, handlers: Handlers) -> None:
    """The handler ran to its end at least once, saw the outcomes, and is recorded once."""
    if seen.batch.completion_handler is None:
        return
    recorded = len(seen.named(events.HandlerDispatched))
    demand(recorded == 1, "a handler is recorded once", recorded)
    mine = [each for each in handlers.done if each.batch_id == seen.batch.id]
    second = "success" if seen.batch.status is BatchStatus.ENDED else "failure"
    methods = {each.method for each in mine}
    demand(methods == {"completion", second}, "a handler is called for the end", methods)
    if not seen.named(events.CollectionReopened):
        outcomes = {each.custom_id: each.outcome.value for each in seen.completions}
        for call in mine:
            demand(call.outcomes == outcomes, "a handler sees the outcomes", call.method)


def check_done(seen: Inspection) -> None:
    """There is nothing left to do."""
    demand(seen.batch.next_step is None, "nothing is left to do", seen.batch.next_step)


async def check_batch(
    process: Process,
    provider: FakeBatchProvider,
    handlers: Handlers,
    batch_id: UUID,
    *,
    excused: Excuse | None = None,
) -> Inspection:
    """Check every promise on one batch. Raises `BrokenPromiseError`."""
    seen = await inspect(process, provider, batch_id)
    check_log(seen)
    check_paid_once(seen, excused)
    check_done(seen)
    check_outcomes(seen)
    check_totals(seen)
    check_handled(seen, handlers)
    check_state_size(process, seen)
    return seen


def check_views(time: VirtualTime, database: Database, provider: FakeBatchProvider) -> None:
    """Views that grew with the life are those that a rebuild makes from the log."""
    grown = _views(time, database, provider)
    database.drop_views()
    rebuilt = _views(time, database, provider)
    demand(grown == rebuilt, "views equal a rebuild")


def _views(time: VirtualTime, database: Database, provider: FakeBatchProvider) -> Any:
    process = Process("reader", time, database, provider, DirectWire())
    views = process.batches.views
    summaries = views.summaries(limit=1_000)
    rows = {each.id: all_rows(process.batches, each.id) for each in summaries}
    opened = views.open_batches(provider.name)
    process.batches.close()
    return summaries, rows, opened
