"""How far users' own projections have come: a named position in the log for each."""

from collections.abc import Callable
from typing import Any, Protocol


class Checkpoints(Protocol):
    """The checkpoints of all projections, in the database of the log."""

    def position(self, name: str) -> int | None:
        """The position of the last event that a projection has taken in.

        0 when it has begun with none, None before its beginning. A repeat is safe.
        """
        ...

    def advance(self, name: str, before: int | None, to: int, write: Callable[[Any], None]) -> None:
        """Write rows and move a checkpoint from `before` to `to`, in one transaction.

        `write` is given a DB-API cursor of that transaction. Nothing is done when the checkpoint
        stands elsewhere: another process was first. Whatever `write` raises comes out unchanged,
        and then nothing was done. When the answer to the commit is lost, the checkpoint says what
        holds; so a repeat is safe.
        """
        ...
