"""Keeping the log: verify it, seal it, and write its views anew."""

from functools import partial
from typing import TYPE_CHECKING

from .log_reader import LogReader
from .progress import OnProgress, Rebuilding, silent

if TYPE_CHECKING:
    from .rebuilding import Rebuilt
    from .sealing import Seal
    from .verification import Verification


class LogKeeper(LogReader):
    """Sees to it that the database is what was recorded; asks no provider and changes no batch."""

    async def verify(self, *, against: "Seal | None" = None, limit: int = 100) -> "Verification":
        """Compare everything in the database with what was recorded; nothing is written.

        The digests of events and bodies, the streams and positions for gaps, inputs, totals,
        snapshots and every row of the views, as all of it stood at one moment. With `against` the
        log must still bear a seal that was taken of it. At most `limit` differences are kept.
        Constant memory; whoever works on the database goes on. Raises `StoreError` when the
        database cannot be read at all.
        """
        from .verification import verify_store  # noqa: PLC0415 (start-up time)

        return await self._runtime.in_store(
            partial(verify_store, self._runtime.batches, against=against, limit=limit)
        )

    async def seal(self, *, full: bool = False) -> "Seal":
        """One digest of the whole log up to now, computed from what is stored and then kept.

        Continued from the last seal; with `full` from the first event. Raises `StoreError` for a
        log that is damaged or is not what was sealed before. The same log has the same seal.
        """
        from .sealing import seal_store  # noqa: PLC0415 (start-up time)

        stamp = self._runtime.stamp()
        return await self._runtime.in_store(
            partial(seal_store, self._runtime.batches, stamp, full=full)
        )

    async def rebuild_views(self, on_progress: OnProgress = silent) -> "Rebuilt":
        """Replace every row of the views by what the log gives, beside whoever is at work.

        Damaged batches keep the rows that they have. Safe to repeat.
        """
        from .rebuilding import rebuild  # noqa: PLC0415 (start-up time)

        def tell(batches: int, of: int) -> None:
            on_progress(Rebuilding(batches, of))

        return await self._runtime.in_store(rebuild, self._runtime.batches, tell)
