"""What the emulator remembers about files and batches; stored as JSON."""

from attrs import frozen

from .faults import Fault


@frozen(kw_only=True)
class FileRecord:
    """An uploaded or generated file; times are Unix seconds."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: float
    expires_at: float | None


@frozen(kw_only=True)
class Timetable:
    """How long each part of a batch's life takes, in seconds; fixed when it is created."""

    validating: float
    in_progress: float
    finalizing: float
    cancelling: float
    window: float


@frozen
class BatchProblem:
    """One entry of a batch's `errors` list; `line` counts from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@frozen(kw_only=True)
class Verdict:
    """What validation found in the input file; any error fails the batch."""

    total: int = 0
    failing: int = 0
    """Requests that will be answered with an HTTP error."""
    model: str | None = None
    errors: tuple[BatchProblem, ...] = ()


@frozen(kw_only=True)
class Usage:
    """Tokens, in the words of the batch object; `cached` is part of `input`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


@frozen(kw_only=True)
class Results:
    """What the end of a batch left behind."""

    completed: int
    failed: int
    usage: Usage
    output_file_id: str | None
    error_file_id: str | None


@frozen(kw_only=True)
class BatchRecord:
    """A batch: what was asked, and the findings that cost work to make again.

    Its status is not stored, it follows from the record and the time; see `lifecycle`.
    """

    id: str
    endpoint: str
    input_file_id: str
    metadata: dict[str, str] | None
    output_expires_after: int | None
    created_at: float
    timetable: Timetable
    fail_every: int | None
    shaping: tuple[Fault, ...] = ()
    """Faults that will deform the result files."""
    cancelled_at: float | None = None
    """When the cancel call came."""
    verdict: Verdict | None = None
    results: Results | None = None
