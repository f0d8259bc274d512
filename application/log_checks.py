"""What must hold for each event of a log that moves from one database to another."""

from uuid import UUID

from attrs import frozen

from .body_coding import NoCoding
from .input_checks import InputChecks
from .inspection import Finding, Inspector
from .records import EventRecord
from .removal_checks import RemovalChecks
from .sealing import Seal
from .transcoding import BatchMapper, MsgpackTranscoder


@frozen
class Fault:
    """What is wrong with an event, and in which field of its line.

    `is_unknown` when the event is what was recorded, and only this software cannot read it.
    """

    field: str
    what: str
    is_unknown: bool = False

    def __str__(self) -> str:
        """What is wrong, in words that follow the name of an event."""
        if self.field in {"position", "version", "topic"}:
            return f"cannot be there: its {self.field} {self.what}"
        return self.what


class LogChecks:
    """Looks at plain events one by one, in the order of positions; keeps a number a batch.

    With `gaps`, which some batches of a log leave between them, positions need only rise; the
    events then stand one behind the other in the log that they make. `seal` is that of this log
    so far, and `removals` knows which of its bodies are missing.
    """

    def __init__(self, *, gaps: bool) -> None:
        self._gaps = gaps
        self._inspector = Inspector(BatchMapper(MsgpackTranscoder(), NoCoding()))
        self._inputs = InputChecks()
        self.removals = RemovalChecks()
        self._versions: dict[UUID, int] = {}
        self._position = 0
        self.seal = Seal()

    @property
    def events(self) -> int:
        """How many events were good so far."""
        return self.seal.position

    @property
    def batch_ids(self) -> set[UUID]:
        """The batches of which there were events."""
        return set(self._versions)

    def fault(self, record: EventRecord) -> Fault | None:
        """Take in the next event, or say what is wrong with it."""
        fault = self._fault_of_position(record.position)
        if fault is not None:
            return fault
        finding = self._inspector.look(record)
        fault = _fault_of_content(record, finding)
        if fault is not None:
            return fault
        return self._fault_of_place(record, finding)

    def _fault_of_position(self, position: int) -> Fault | None:
        following = self._position + 1
        if position == following or (self._gaps and position > following):
            return None
        if position > following:
            return Fault("position", f"is {position}, and there is no event at {following}")
        return Fault("position", f"is {position}, which is not behind {self._position}")

    def _fault_of_place(self, record: EventRecord, finding: Finding) -> Fault | None:
        batch_id, version = record.originator_id, record.originator_version
        assert isinstance(batch_id, UUID)
        following = self._versions.get(batch_id, 0) + 1
        if version != following:
            return Fault("version", f"is {version}, and event {following} of the batch is missing")
        for problem in self._inputs.problems(record, finding):
            return Fault("state", problem)
        self.removals.take(record, finding)
        self._versions[batch_id] = version
        self._position = record.position
        self.seal = self.seal.then(self.seal.position + 1, finding.digest)
        return None


def _fault_of_content(record: EventRecord, finding: Finding) -> Fault | None:
    if not finding.problems:
        return None
    if finding.digest != record.digest:
        return Fault("digest", finding.problems[0])
    if record.topic not in BatchMapper.classes:
        what = f"is {record.topic!r}, which this version of batchtrail does not know"
        return Fault("topic", what, is_unknown=True)
    if finding.event is None:
        return Fault("state", finding.problems[-1], is_unknown=True)
    return Fault("body", finding.problems[-1])
