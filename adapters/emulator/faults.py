"""Faults that a test or a demo can arm, and the box they are drawn from."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from math import inf

import msgspec
from attrs import evolve, field, fields, frozen
from attrs.validators import ge, lt, optional


class Operation(StrEnum):
    """The calls of the API, as faults and counters name them."""

    UPLOAD = "upload"
    LIST_FILES = "list_files"
    RETRIEVE_FILE = "retrieve_file"
    DOWNLOAD = "download"
    DELETE = "delete"
    CREATE = "create"
    RETRIEVE = "retrieve"
    LIST = "list"
    CANCEL = "cancel"
    COMPLETE = "complete"
    """One request at a synchronous endpoint such as `/v1/responses`."""


class FaultKind(StrEnum):
    """What goes wrong; in brackets the fields of `Fault` that shape it."""

    # Of a call, at any operation.
    DELAY = "delay"
    """The answer comes `seconds` of real time late; `applied` says whether the call takes effect
    before that wait or after it, and it does so even when its sender has gone by then."""
    RATE_LIMIT = "rate_limit"
    """429, with a `Retry-After` header when `retry_after` is set."""
    BAD_GATEWAY = "bad_gateway"
    """502 with an HTML body; `applied` says whether the call took effect."""
    UNAVAILABLE = "unavailable"
    """503 with an error envelope; `applied` says whether the call took effect."""
    RESET_BEFORE = "reset_before"
    """The connection is reset before anything is done."""
    RESET_AFTER = "reset_after"
    """The call takes effect, then the connection is reset: the answer is lost."""
    CUT_BODY = "cut_body"
    """The call takes effect; its answer breaks off after `bytes`, or in the middle."""
    NO_GZIP = "no_gzip"
    """JSON is not compressed although the client offers it."""

    # Of a download.
    CHUNKED = "chunked"
    """The content comes chunked, without `Content-Length`."""
    BREAK_AFTER = "break_after"
    """The connection is closed after `bytes` of the content."""
    SHORT_AFTER = "short_after"
    """The content ends cleanly (chunked) after `bytes`."""

    # Of a batch for its whole life, decided by the create call.
    FILE_HIDDEN_REFUSED = "file_hidden_refused"
    """The input file cannot be found, or is pending at Azure, while it is younger than `seconds`:
    the create is a 400."""
    FILE_HIDDEN_FAILED = "file_hidden_failed"
    """The same, but the batch is created and fails validation."""
    QUEUE_FULL = "queue_full"
    """The batch fails validation for want of enqueued tokens."""
    SLOW_FINALIZING = "slow_finalizing"
    """Finalizing takes `seconds`."""
    EXPIRE = "expire"
    """The window ends when `fraction` of the requests are done."""
    ALL_FAILED = "all_failed"
    """Every request is answered with an HTTP 500 line; the batch still completes."""
    DROP_LINES = "drop_lines"
    """`count` result lines are missing."""
    DUPLICATE_LINE = "duplicate_line"
    """`count` result lines come twice."""
    GARBAGE_LINE = "garbage_line"
    """`count` lines that are not JSON stand before the results."""
    MISSING_CUSTOM_ID = "missing_custom_id"
    """`count` result lines lack their `custom_id`."""
    UNKNOWN_CUSTOM_ID = "unknown_custom_id"
    """`count` lines with a `custom_id` that nobody sent stand before the results."""
    TRUNCATED_LINE = "truncated_line"
    """The last result line stops in its middle, without a newline."""
    EMPTY_ERROR_FILE = "empty_error_file"
    """An error file of 0 bytes has an id."""

    # Of a batch for its whole life, decided by the cancel call.
    STUCK_CANCELLING = "stuck_cancelling"
    """Cancelling takes `seconds`; 605 were recorded at OpenAI."""

    # Of an answer that shows batches.
    BATCHES_HIDDEN = "batches_hidden"
    """The list lags: batches younger than `seconds` are not in it."""
    EMPTY_FILE_IDS = "empty_file_ids"
    """File ids that should be null are empty strings."""
    CAPITALISED_STATUS = "capitalised_status"
    """The status is written `Validating`, `In_progress`, and so on."""
    UNKNOWN_STATUS = "unknown_status"
    """The status is `word`."""
    WRONG_COUNTS = "wrong_counts"
    """`request_counts.total` and `.completed` are too high by `count`."""


BATCH_FAULTS = (
    FaultKind.SLOW_FINALIZING,
    FaultKind.EXPIRE,
    FaultKind.ALL_FAILED,
)
"""Drawn by a create call, they change the batch's timetable or its answers."""

RESULT_FAULTS = (
    FaultKind.DROP_LINES,
    FaultKind.MISSING_CUSTOM_ID,
    FaultKind.DUPLICATE_LINE,
    FaultKind.UNKNOWN_CUSTOM_ID,
    FaultKind.GARBAGE_LINE,
    FaultKind.TRUNCATED_LINE,
    FaultKind.EMPTY_ERROR_FILE,
)
"""Drawn by a create call, they deform its result files, in this order."""

OBJECT_FAULTS = (
    FaultKind.EMPTY_FILE_IDS,
    FaultKind.CAPITALISED_STATUS,
    FaultKind.UNKNOWN_STATUS,
    FaultKind.WRONG_COUNTS,
)
"""Drawn by every call that shows batches, they deform the batch object."""

_ANY = frozenset(Operation)
_CREATE = frozenset({Operation.CREATE})
_DOWNLOAD = frozenset({Operation.DOWNLOAD})
_SHOWN = frozenset({Operation.CREATE, Operation.RETRIEVE, Operation.LIST, Operation.CANCEL})

_OPERATIONS: dict[FaultKind, frozenset[Operation]] = {
    FaultKind.DELAY: _ANY,
    FaultKind.RATE_LIMIT: _ANY,
    FaultKind.BAD_GATEWAY: _ANY,
    FaultKind.UNAVAILABLE: _ANY,
    FaultKind.RESET_BEFORE: _ANY,
    FaultKind.RESET_AFTER: _ANY - _DOWNLOAD,
    FaultKind.CUT_BODY: _ANY - _DOWNLOAD,
    FaultKind.NO_GZIP: _ANY - _DOWNLOAD,
    FaultKind.CHUNKED: _DOWNLOAD,
    FaultKind.BREAK_AFTER: _DOWNLOAD,
    FaultKind.SHORT_AFTER: _DOWNLOAD,
    FaultKind.FILE_HIDDEN_REFUSED: _CREATE,
    FaultKind.FILE_HIDDEN_FAILED: _CREATE,
    FaultKind.QUEUE_FULL: _CREATE,
    FaultKind.STUCK_CANCELLING: frozenset({Operation.CANCEL}),
    FaultKind.BATCHES_HIDDEN: frozenset({Operation.LIST}),
    **dict.fromkeys((*BATCH_FAULTS, *RESULT_FAULTS), _CREATE),
    **dict.fromkeys(OBJECT_FAULTS, _SHOWN),
}


@frozen(kw_only=True)
class Fault:
    """One armed fault: at which operation, what, and how often."""

    op: Operation = field(converter=Operation)
    kind: FaultKind = field(converter=FaultKind)
    times: int | None = 1
    """Calls that still suffer from it; None is for ever, 0 disarms."""
    skip: int = field(default=0, validator=ge(0))
    """Calls that are let through first."""
    seconds: float | None = field(default=None, validator=optional(ge(0)))
    """None is the kind's own: 605 for cancelling, for ever for what is hidden, else 1."""
    retry_after: float | None = field(default=None, validator=optional(ge(0)))
    """Value of the `Retry-After` header, seconds."""
    applied: bool = False
    """Whether the call takes effect although its answer is an error or late."""
    bytes: int | None = field(default=None, validator=optional(ge(0)))
    """Where a body ends; None is its middle."""
    count: int = field(default=1, validator=ge(1))
    """Lines, or requests, that are wrong."""
    fraction: float = field(default=0.5, validator=[ge(0), lt(1)])
    """Share of the requests that are done."""
    word: str = "queued"
    """An unheard-of status."""

    def __attrs_post_init__(self) -> None:
        """Refuse what could never strike."""
        if self.times is not None and self.times < 0:
            raise ValueError(f"'times' must be >= 0: {self.times}")
        if self.op not in _OPERATIONS[self.kind]:
            raise ValueError(f"fault {self.kind.value!r} does not occur at {self.op.value!r}")
        if self.applied and self.op is Operation.DOWNLOAD:
            raise ValueError("a download has no effect that could outlive its answer")

    @property
    def duration(self) -> float:
        """Return `seconds`, or what the kind takes without it."""
        if self.seconds is not None:
            return self.seconds
        match self.kind:
            case FaultKind.STUCK_CANCELLING:
                return 605.0
            case (
                FaultKind.FILE_HIDDEN_FAILED
                | FaultKind.FILE_HIDDEN_REFUSED
                | FaultKind.BATCHES_HIDDEN
            ):
                return inf
            case _:
                return 1.0

    def end_of(self, size: int) -> int:
        """Return how many bytes of a body of that size are sent."""
        return size // 2 if self.bytes is None else min(self.bytes, size)


def read_fault(value: object) -> Fault:
    """Return the fault that a JSON value describes.

    Raises `msgspec.ValidationError`, whose text says what is wrong, also for a misspelt field.
    """
    names = [each.name for each in fields(Fault)]
    unknown = [name for name in value if name not in names] if isinstance(value, dict) else []
    if unknown:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        raise msgspec.ValidationError(f"it has no {unknown[0]!r}, but {listed}")
    return msgspec.convert(value, Fault)


class Faults:
    """The armed faults, at most one per operation and kind."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._armed: dict[tuple[Operation, FaultKind], Fault] = {}
        self.arm(*faults)

    def __iter__(self) -> Iterator[Fault]:
        return iter(tuple(self._armed.values()))

    def arm(self, *faults: Fault) -> None:
        """Add faults; one of the same operation and kind is replaced, `times=0` removes it."""
        for fault in faults:
            self._armed.pop((fault.op, fault.kind), None)
            if fault.times != 0:
                self._armed[fault.op, fault.kind] = fault

    def clear(self) -> None:
        """Disarm everything."""
        self._armed.clear()

    def draw(
        self,
        op: Operation,
        *kinds: FaultKind,
        applies: Callable[[Fault], bool] = lambda _: True,
    ) -> Fault | None:
        """Return the first of these kinds that strikes this call, and count it down."""
        for kind in kinds:
            fault = self._armed.get((op, kind))
            if fault is None or not applies(fault):
                continue
            if fault.skip:
                self._armed[op, kind] = evolve(fault, skip=fault.skip - 1)
                continue
            if fault.times is not None:
                self.arm(evolve(fault, times=fault.times - 1))
            return fault
        return None

    def draw_all(self, op: Operation, kinds: Iterable[FaultKind]) -> tuple[Fault, ...]:
        """Return every fault of these kinds that strikes this call."""
        drawn = (self.draw(op, kind) for kind in kinds)
        return tuple(fault for fault in drawn if fault is not None)
