"""Mutations: one rule taken out of the code each, to see that the simulation notices."""

import inspect
import textwrap
from importlib import import_module
from types import CodeType, ModuleType
from typing import Any

from attrs import frozen


@frozen
class Mutation:
    """A function of the software, and what stands in it in place of something else."""

    module: str
    function: str
    text: str
    replacement: str

    def apply(self) -> None:
        """Put the mutated function in place, for the rest of this process.

        Raises LookupError when the function does not hold the text once: the code has changed.
        """
        module = import_module(f"batchtrail.{self.module}")
        *path, name = self.function.split(".")
        owner: Any = module
        for part in path:
            owner = getattr(owner, part)
        source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
        if source.count(self.text) != 1:
            raise LookupError(f"{self.function} does not hold {self.text!r} once")
        mutated = source.replace(self.text, self.replacement)
        self._install(module, owner, compile(mutated, f"<mutated {self.function}>", "exec"))

    def _install(self, module: ModuleType, owner: Any, code: CodeType) -> None:
        made: dict[str, Any] = {}
        exec(code, vars(module), made)  # noqa: S102 (our own source)
        for name, function in made.items():
            setattr(owner, name, function)


MUTATIONS = {
    "no-reconcile": Mutation(
        "application.reconciliation",
        "Reconciliation._search",
        "found.insert(0, listed)",
        "pass",
    ),
    "blind-create": Mutation(
        "application.submission",
        "SubmissionFlow._send_create",
        "self._reconciliation.note_lost(batch.id, attempt)",
        "await self._record_not_created(batch.id, attempt, error)",
    ),
    "no-create-fence": Mutation(
        "domain.batch",
        "Batch.start_create",
        "if submission.create_started_at is not None:",
        "if False:",
    ),
    "no-sibling-search": Mutation(
        "application.reconciliation",
        "Reconciliation.look_for_siblings",
        "not batch.submission.lost_creates",
        "True",
    ),
    "no-terminal-guard": Mutation(
        "domain.batch",
        "Batch.record_status",
        "if self.status.is_terminal:",
        "if False:",
    ),
    "no-file-position": Mutation(
        "domain.counters",
        "FilePosition.move",
        "self.offset = max(self.offset, end)",
        "self.offset = 0",
    ),
    "no-settled-check": Mutation(
        "domain.requests", "RequestIndex.settle", "number in self._settled", "False"
    ),
    "no-short-check": Mutation(
        "application.collection",
        "_is_short",
        "if batch.report is None or _has_all(batch):",
        "if True:",
    ),
    "no-broken-end": Mutation(
        "application.collection",
        "_has_broken_end",
        "is_piece = not end.complete and",
        "is_piece = False and",
    ),
    "no-error-file": Mutation(
        "application.collection",
        "CollectionFlow._apply_files",
        "(ResultFile.OUTPUT, ResultFile.ERROR)",
        "(ResultFile.OUTPUT,)",
    ),
    "no-expired-rows": Mutation(
        "application.collection",
        "CollectionFlow._apply_files",
        "if batch.report is None:",
        "if batch.report is None or batch.status.value == 'expired':",
    ),
    "handler-recorded-first": Mutation(
        "application.handlers",
        "HandlerFlow.dispatch",
        "summary = BatchSummary.of(batch)",
        "summary = BatchSummary.of(batch)\n"
        "    batch = await self._runtime.command(\n"
        "        batch.id, lambda batch, stamp: batch.record_handler_dispatched(stamp=stamp)\n"
        "    )",
    ),
    "binary-costs": Mutation(
        "domain.counters",
        "Tally.count",
        "EXACT.add(self.priced_cost, cost)",
        "Decimal(float(self.priced_cost) + float(cost))",
    ),
    "views-forget-the-rest": Mutation(
        "application.saving",
        "Saving._pending",
        "process(event, event.originator_version - self._before)",
        "isinstance(event, events.ResultsCollected) or "
        "process(event, event.originator_version - self._before)",
    ),
}
"""By name, for `make simulate MUTATE=name`."""
