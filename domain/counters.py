"""The running counters of a batch's state: they grow in value, never in size."""

from collections.abc import Sequence
from decimal import Decimal

from attrs import define

from .alike import Tokens
from .costs import EXACT, total_of
from .status import Outcome
from .values import OutcomeCounts, TokenUsage, Totals

_SUCCEEDED = Outcome.SUCCEEDED
"""Python takes long to find a member of an enum, and each result asks for this one."""


@define
class FilePosition:
    """How far a result file has been applied: the next byte to read, and the lines before it."""

    offset: int = 0
    lines: int = 0

    def move(self, end: int, lines: int = 1) -> None:
        """Count lines in, the last of which ends, with its newline, before byte `end`.

        The lines of one decision may come in any order; the next decision begins behind the one
        that stands last in the file.
        """
        self.offset = max(self.offset, end)
        self.lines += lines


@define
class Tally:
    """What has been counted of a batch so far.

    Mutable, unlike the values, because replaying a log counts here once for every request.
    """

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    canceled: int = 0
    missing: int = 0
    skipped_lines: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    priced_cost: Decimal = Decimal(0)
    unpriced: int = 0

    def count(
        self,
        outcome: Outcome,
        usage: TokenUsage | None,
        requests: int = 1,
        *,
        cost: Decimal | None = None,
    ) -> None:
        """Add `requests` that came to `outcome`, what they used together and what that cost."""
        if outcome is _SUCCEEDED:  # nearly all
            self.succeeded += requests
        else:
            setattr(self, outcome, getattr(self, outcome) + requests)
        if cost is not None:
            self.priced_cost = EXACT.add(self.priced_cost, cost)
        elif usage is not None or outcome is _SUCCEEDED:
            self.unpriced += requests
        if usage is not None:
            self.input_tokens += usage.input
            self.cached_tokens += usage.cached
            self.output_tokens += usage.output
            self.reasoning_tokens += usage.reasoning
            self.cache_write_tokens += usage.cache_write

    def count_successes(self, usages: Sequence[Tokens], costs: Sequence[Decimal | None]) -> None:
        """Add requests that succeeded, by what each used and what that cost."""
        priced = [cost for cost in costs if cost is not None]
        self.succeeded += len(usages)
        self.priced_cost = EXACT.add(self.priced_cost, total_of(priced))
        self.unpriced += len(costs) - len(priced)
        given, cached, made, reasoning, written = map(sum, zip(*usages, strict=True))
        self.input_tokens += given
        self.cached_tokens += cached
        self.output_tokens += made
        self.reasoning_tokens += reasoning
        self.cache_write_tokens += written

    def totals(self) -> Totals:
        """The counters as a value."""
        return Totals(
            outcomes=OutcomeCounts(
                self.succeeded, self.failed, self.expired, self.canceled, self.missing
            ),
            usage=TokenUsage(
                self.input_tokens,
                self.cached_tokens,
                self.output_tokens,
                self.reasoning_tokens,
                self.cache_write_tokens,
            ),
            skipped_lines=self.skipped_lines,
            priced_cost=self.priced_cost,
            unpriced=self.unpriced,
        )
