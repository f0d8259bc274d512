"""What is not as it should be in a database, one sentence each."""

from uuid import UUID

from attrs import frozen


@frozen
class Difference:
    """One thing that differs: in which batch, at which event, where in the log.

    `version` is the event's number in its batch; each is None where it does not apply.
    """

    what: str
    batch_id: UUID | None = None
    version: int | None = None
    position: int | None = None

    def __str__(self) -> str:
        where = [f"batch {self.batch_id}"] if self.batch_id is not None else []
        where += [f"event {self.version}"] if self.version is not None else []
        where += [f"position {self.position}"] if self.position is not None else []
        return f"{', '.join(where)}: {self.what}" if where else self.what


class Differences:
    """The first differences up to a limit, and how many there are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.count = 0
        self.shown: list[Difference] = []
        self.first_event: Difference | None = None

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it when there is room."""
        self.count += 1
        if len(self.shown) < self._limit:
            self.shown.append(difference)

    def add_event(self, difference: Difference) -> None:
        """Add what is wrong with one event in the log; the first one is remembered."""
        self.first_event = self.first_event or difference
        self.add(difference)
