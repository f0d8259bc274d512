"""The frozen values that commands take and events carry."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from attrs import evolve, field, frozen
from attrs.validators import optional

from .checks import is_a, is_moment, is_number, is_text, is_texts, own_copy
from .status import BatchStatus, Outcome, ResultFile, WorkStep

ERRORS_IN_BRIEF = 20


class Provenance(NamedTuple):
    """Who recorded an event, with which software, and in which chain of commands.

    `correlation_id` is that of a command typed in a terminal, of a call of the library, or of a
    worker's step on a batch: everything that it led to bears the same, in whatever batches.
    `causation_id` is that of the one decision that the event comes from: events that share it
    were decided at once, on the same state.

    A tuple, because it stands in every event of the log and is stored without its field names.
    """

    actor: str
    software: str
    correlation_id: str
    causation_id: str


@frozen
class Stamp:
    """When and by whom a command is given; the domain has no clock of its own.

    Raises `InputError` for a time without a zone.
    """

    at: datetime = field(validator=is_moment)
    by: Provenance


@frozen
class Limits:
    """What a provider takes in one batch; of metadata so many pairs, keys and values so long.

    Sizes are in bytes, lengths in characters.
    """

    max_requests: int
    max_bytes: int
    endpoints: frozenset[str]
    endpoints_without_model: frozenset[str] = frozenset()
    max_metadata: int = 16
    max_metadata_key: int = 64
    max_metadata_value: int = 512

    def metadata_problem(self, metadata: Mapping[str, str]) -> str | None:
        """What is too much about metadata that a create call sends; None when nothing is."""
        if len(metadata) > self.max_metadata:
            return f"has {len(metadata)} pairs, and at most {self.max_metadata} can be sent"
        for key, value in metadata.items():
            if len(key) > self.max_metadata_key:
                return (
                    f"has the key {key!r}, and keys have at most {self.max_metadata_key} characters"
                )
            if len(value) > self.max_metadata_value:
                return (
                    f"has {len(value)} characters for {key!r}, and values have at most "
                    f"{self.max_metadata_value}"
                )
        return None


class RequestLine(NamedTuple):
    """One request of a batch: a JSONL line without its newline, and the fields the rules need.

    `number` is the 1-based position in the batch's input, which providers call the line.
    """

    number: int
    custom_id: str
    method: str
    url: str
    model: str | None
    stream: bool
    raw: bytes


@frozen
class RequestChunk:
    """Consecutive checked request lines, each ended by a newline, exactly as they will be sent."""

    first_number: int
    custom_ids: tuple[str, ...]
    lines: bytes
    endpoint: str
    model: str | None

    @property
    def count(self) -> int:
        """The number of requests in the chunk."""
        return len(self.custom_ids)


@frozen
class RequestProblem:
    """Why one request has no success; the provider's own words where it gave any.

    In a result line either part may be missing; a judged outcome always has a message.
    """

    code: str | None
    message: str


@frozen
class TokenUsage:
    """Tokens of one answer or a sum of answers.

    `cached` tokens (read from a cache) and `cache_write` tokens (written to one) are part of
    `input`, `reasoning` tokens are part of `output`, as OpenAI counts them.
    """

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    cache_write: int = 0

    @property
    def total(self) -> int:
        """Input and output tokens together."""
        return self.input + self.output

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        return TokenUsage(
            self.input + other.input,
            self.cached + other.cached,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.cache_write + other.cache_write,
        )


@frozen
class RequestCounts:
    """The provider's own count of a batch's requests; our log's lines outrank it."""

    total: int = 0
    completed: int = 0
    failed: int = 0


@frozen
class BatchProblem:
    """One entry of the error list of a batch that failed as a whole, as the provider sent it.

    `line` is the 1-based line of the input file, where the error is about one line.
    """

    code: str | None
    message: str
    param: str | None = None
    line: int | None = None


@frozen
class StatusReport:
    """What a provider says of a batch at one moment, in our status and in its own word.

    `is_canceling` is true between the provider's taking note of a cancellation and the end.
    """

    status: BatchStatus
    raw_status: str
    request_counts: RequestCounts = RequestCounts()
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: tuple[BatchProblem, ...] = ()
    usage: TokenUsage | None = None
    model: str | None = None
    is_canceling: bool = False

    def file_id(self, file: ResultFile) -> str | None:
        """The provider's id of a result file, once there is one."""
        return self.output_file_id if file is ResultFile.OUTPUT else self.error_file_id

    def in_brief(self) -> "StatusReport":
        """This report with its first errors only: a provider may list one for every request."""
        return evolve(self, errors=self.errors[:ERRORS_IN_BRIEF])

    def with_files_of(self, earlier: "StatusReport") -> "StatusReport":
        """This report with the files of an earlier one where it names none itself."""
        return evolve(
            self,
            output_file_id=self.output_file_id or earlier.output_file_id,
            error_file_id=self.error_file_id or earlier.error_file_id,
        )

    @property
    def is_out_of_tokens(self) -> bool:
        """Whether the batch failed only because too many tokens of its model are enqueued."""
        codes = {error.code for error in self.errors}
        return self.never_ran and codes == {"token_limit_exceeded"}

    @property
    def names_no_file(self) -> bool:
        """Whether it names neither result file."""
        return self.output_file_id is None and self.error_file_id is None

    @property
    def input_not_found(self) -> bool:
        """Whether the batch failed because its input file was not visible (yet)."""
        return self.never_ran and any(
            error.param == "file_id" and error.line is None for error in self.errors
        )

    @property
    def never_ran(self) -> bool:
        """Whether it failed and no request was completed, which would be paid for.

        By its count: Azure names files also where nothing ran.
        """
        return self.status is BatchStatus.FAILED and not self.request_counts.completed


class ResultLine(NamedTuple):
    """One line of a result file: where it stood, and what it says once it was readable.

    `offset` is the position in bytes of the line's first byte in its file; `raw` is the line
    without its newline. `answered` is true when the line has a response; `error` stood beside
    the response, `body_error` inside its body. An unreadable line has no `custom_id` and says
    in `problem` why. `cost` is in USD, None when it is not known or nothing was used.
    """

    offset: int
    raw: bytes
    custom_id: str | None = None
    answered: bool = False
    status_code: int | None = None
    error: RequestProblem | None = None
    body_error: RequestProblem | None = None
    usage: TokenUsage | None = None
    cost: Decimal | None = None
    problem: str | None = None


@frozen
class OutcomeCounts:
    """How many requests of a batch came to each end."""

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    canceled: int = 0
    missing: int = 0

    @property
    def settled(self) -> int:
        """The requests that have an outcome."""
        return self.succeeded + self.failed + self.expired + self.canceled + self.missing

    def plus(self, outcome: Outcome, count: int) -> "OutcomeCounts":
        """These counts with `count` more of `outcome`."""
        return evolve(self, **{outcome.value: getattr(self, outcome.value) + count})


@frozen
class Deferral:
    """Why a create call is not made `until` a moment, and how often that has been so by now."""

    problem: BatchProblem
    until: datetime
    times: int


@frozen
class Submission:
    """How far the one submission of a batch has come.

    Each field is filled by an event written before or after one provider call, so that after
    a crash the log says which calls may have happened. `left_batch_ids` are provider batches
    that failed before they ran, because the input file was not visible or for want of tokens;
    they are never ours again. `upload_started_at` is the moment of the first attempt.
    `lost_creates` counts the calls whose outcome nobody knows and that were given up: what they
    made, if anything, may still show up in the provider's list.
    """

    attempt: int
    file_name: str
    input_sha256: str
    upload_attempt: int = 0
    upload_started_at: datetime | None = None
    input_file_id: str | None = None
    input_file_created_at: datetime | None = None
    create_attempt: int = 0
    create_started_at: datetime | None = None
    left_batch_ids: tuple[str, ...] = ()
    lost_creates: int = 0
    deferral: Deferral | None = None


@frozen
class Totals:
    """What a batch came to: its requests by outcome, its tokens, and lines that fitted nowhere.

    `priced_cost` is the sum, in USD, of the costs that are known; `unpriced` requests used
    something whose price is not. What missing ones used, nobody knows: they may be paid.
    """

    outcomes: OutcomeCounts = OutcomeCounts()
    usage: TokenUsage = TokenUsage()
    skipped_lines: int = 0
    priced_cost: Decimal = Decimal(0)
    unpriced: int = 0

    @property
    def cost(self) -> Decimal | None:
        """What all requests cost together, in USD; None when that of one is not known."""
        return None if self.unpriced or self.outcomes.missing else self.priced_cost


@frozen
class Trouble:
    """What has kept a worker from going on with a batch, `since` when, and how often in a row.

    `problem` is the error's own sentence. The next attempt comes at `retry_at`; without one, and
    at the latest, with the next start of a worker.
    """

    step: WorkStep
    problem: str
    failures: int
    since: datetime
    retry_at: datetime | None


@frozen
class NewBatch:
    """What is fixed about a batch before its first request is added.

    `identity` names what the batch was made from, so that the same command finds it again;
    `metadata` is ours and is sent to the provider only when `send_metadata` asks for it.
    `completion_handler` is a class as `package.module:Name`. `retry_of` is the batch whose
    requests are asked once more. Raises `InputError` for a value of another type.
    """

    provider: str = field(validator=is_text)
    endpoint: str = field(validator=is_text)
    completion_window: str = field(default="24h", validator=is_text)
    metadata: dict[str, str] = field(factory=dict, converter=own_copy, validator=is_texts)
    send_metadata: bool = field(default=False, validator=is_a(bool, "True or False"))
    completion_handler: str | None = field(default=None, validator=optional(is_text))
    description: str | None = field(default=None, validator=optional(is_text))
    identity: str | None = field(default=None, validator=optional(is_text))
    generation: int = field(default=1, validator=is_number)
    retry_of: UUID | None = field(
        default=None, validator=optional(is_a(UUID, "a batch id, a UUID"))
    )
