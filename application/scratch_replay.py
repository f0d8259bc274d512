"""One batch and its view rows, by its events alone: no snapshot and no live row is trusted."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from ..domain.batch import Batch
from ..domain.events import BatchEvent, ResultApplied
from ..domain.status import Outcome
from .projections import CompletionsProjection
from .stored_log import ViewRow
from .views import BatchSummary


class ScratchRows:
    """The completions view of one batch in memory, written as the live one is."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._outcomes: list[Outcome] = []
        self._positions: list[int | None] = []

    def __len__(self) -> int:
        return len(self._ids)

    def rows(self) -> Iterable[ViewRow]:
        """The rows in the order of their numbers."""
        columns = zip(self._ids, self._outcomes, self._positions, strict=True)
        for number, (custom_id, outcome, position) in enumerate(columns, 1):
            yield ViewRow(number, custom_id, outcome.value, position)

    def put_batch(self, summary: BatchSummary, first_position: int | None) -> None:
        """Not kept: the summary is that of the replayed batch."""

    def add_requests(self, batch_id: UUID, first_number: int, custom_ids: Sequence[str]) -> None:
        """Add a pending row for each request."""
        del batch_id
        if first_number != len(self._ids) + 1:
            raise ValueError(f"its requests begin with {first_number}, not {len(self._ids) + 1}")
        self._ids += custom_ids
        self._outcomes += [Outcome.PENDING] * len(custom_ids)
        self._positions += [None] * len(custom_ids)

    def settle(
        self, batch_id: UUID, results: Iterable[tuple[int, Outcome, int]], *, behind: int
    ) -> None:
        """Give requests their outcome and the position of the event that brought it."""
        del batch_id
        for number, outcome, position in results:
            if not 0 < number <= len(self._ids):
                raise ValueError(f"the batch has no request {number}")
            self._outcomes[number - 1] = outcome
            self._positions[number - 1] = behind + position

    def settle_rest(self, batch_id: UUID, outcome: Outcome) -> None:
        """Give every request that is still pending this outcome."""
        del batch_id
        self._outcomes = [outcome if o is Outcome.PENDING else o for o in self._outcomes]

    def reopen(self, batch_id: UUID) -> None:
        """Make every request pending again that has no result line."""
        del batch_id
        self._outcomes = [
            Outcome.PENDING if position is None else outcome
            for outcome, position in zip(self._outcomes, self._positions, strict=True)
        ]


class ScratchReplay:
    """A batch that is replayed event by event, with the rows that the views must have.

    `result_versions` tells by request which event brought its result.
    """

    def __init__(self) -> None:
        self.batch: Batch | None = None
        self.first_position = 0
        self.rows = ScratchRows()
        self.result_versions: dict[int, int] = {}
        self._completions = CompletionsProjection()

    def take(self, event: BatchEvent, position: int) -> None:
        """Apply the next event. What cannot follow raises errors of any kind."""
        if self.batch is None:
            self.first_position = position
        self.batch = event.mutate(self.batch)
        self._completions.process(event, position)
        if isinstance(event, ResultApplied):
            self.result_versions[event.number] = event.originator_version

    def settle_rows(self) -> None:
        """Write the rows that the events so far brought."""
        self._completions.write(self.rows)
