"""Results that are alike: most of a batch's, applied, counted and recorded many at a time.

Each has its own event in the log. But to make an object of each line, of each event and of the
parts of both takes longer than all that is done with them; so these travel as columns.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from .status import ResultFile
from .values import Stamp

Tokens = tuple[int, int, int, int, int]
"""What a `TokenUsage` says, in the order of its parts."""


class AlikeResults(NamedTuple):
    """Answered result lines of one file and one status that tell what they used, in any order.

    `offsets` are in bytes, of each line's first one; `lines` are without newlines; `numbers` are
    those of the requests in the input; `costs` are in USD, None where no price is known.
    """

    status_code: int
    offsets: Sequence[int]
    lines: Sequence[bytes]
    custom_ids: Sequence[str]
    numbers: Sequence[int]
    usages: Sequence[Tokens]
    costs: Sequence[Decimal | None]


class AppliedResults(NamedTuple):
    """What a batch made of results that are alike: an event `ResultApplied` of each.

    The first has `first_version`, and each of the others the next.
    """

    batch_id: UUID
    first_version: int
    stamp: Stamp
    file: ResultFile
    results: AlikeResults
