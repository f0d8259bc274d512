"""Keeping the log: verify it, seal it, rebuild its views, move it, and remove bodies."""

from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import IO, TYPE_CHECKING
from uuid import UUID

from ..domain.checks import check_moment, check_number, check_type
from .errors import InputError
from .log_reader import LogReader
from .progress import OnProgress, Rebuilding, silent

if TYPE_CHECKING:
    from .exporting import Exported
    from .importing import Imported
    from .pruning import Prunable
    from .rebuilding import Rebuilt
    from .sealing import Seal
    from .verification import Verification


class LogKeeper(LogReader):
    """Sees to it that the database is what was recorded; asks no provider anything."""

    async def verify(self, *, against: "Seal | None" = None, limit: int = 100) -> "Verification":
        """Compare everything in the database with what was recorded; nothing is written.

        The digests of events and bodies, the streams and positions for gaps, inputs, totals,
        snapshots and every row of the views, as all of it stood at one moment. With `against` the
        log must still bear a seal that was taken of it. At most `limit` differences are kept.
        Constant memory; whoever works on the database goes on. Raises `StoreError` when the
        database cannot be read at all.
        """
        from .sealing import Seal  # noqa: PLC0415 (start-up time)
        from .verification import verify_store  # noqa: PLC0415 (start-up time)

        check_number("limit", limit, least=0)
        if against is not None:
            check_type("against", against, Seal, "a Seal; `Seal.parse` makes one of a text")
        return await self._runtime.in_store_while_wanted(
            partial(verify_store, self._runtime.batches, against=against, limit=limit)
        )

    async def seal(self, *, full: bool = False) -> "Seal":
        """One digest of the whole log up to now, computed from what is stored and then kept.

        Continued from the last seal; with `full` from the first event. Raises `StoreError` for a
        log that is damaged or is not what was sealed before. The same log has the same seal.
        """
        from .sealing import seal_store  # noqa: PLC0415 (start-up time)

        stamp = self._runtime.stamp()
        return await self._runtime.in_store_while_wanted(
            partial(seal_store, self._runtime.batches, stamp, full=full)
        )

    async def rebuild_views(self, on_progress: OnProgress = silent) -> "Rebuilt":
        """Replace every row of the views by what the log gives, beside whoever is at work.

        Damaged batches keep the rows that they have. Safe to repeat.
        """
        from .rebuilding import rebuild  # noqa: PLC0415 (start-up time)

        def rebuild_while(check: Callable[[], None]) -> "Rebuilt":
            def tell(batches: int, of: int) -> None:
                check()
                on_progress(Rebuilding(batches, of))

            return rebuild(self._runtime.batches, tell)

        return await self._runtime.in_store_while_wanted(rebuild_while)

    async def prunable(self, before: datetime) -> "list[Prunable]":
        """The batches that were done before a moment, and whose bodies were not pruned since.

        Raises `InputError` for a moment that is still to come, which would take every batch.
        """
        check_moment("before", before)
        if before > self._runtime.stamp().at:
            raise InputError(f"before is {before}, which is still to come; give a moment until now")
        from .pruning import prunable  # noqa: PLC0415 (start-up time)

        return await self._runtime.in_store(prunable, self._runtime.batches, before)

    async def prune_bodies(self, what: "Prunable", *, export_sha256: str | None) -> None:
        """Remove the bodies of a batch for good; events, counts, costs and digests stay.

        `export_sha256` is that of the export file which has them (64 hex digits), and is told in
        the log. Raises `UnfinishedError` for a batch that got something to do since. Safe to
        repeat.
        """
        from .pruning import prune  # noqa: PLC0415 (start-up time)

        runtime = self._runtime
        await runtime.in_store(prune, runtime.batches, what, export_sha256, runtime.stamp)

    async def redact_request(
        self, batch_id: UUID, custom_id: str, *, reason: str | None = None
    ) -> int:
        """Remove what one request asked and got for good; gives how many bodies were changed.

        A failed one keeps the provider's error, which may quote what was asked. The event of the
        removal is recorded with it, and `verify` goes on to check all else. Raises
        `BatchNotFoundError`, `InputError` for a request that the batch does not have, and
        `UnfinishedError` for a batch that is not done. A repeat changes nothing and gives 0.
        """
        from .redacting import redact  # noqa: PLC0415 (start-up time)

        runtime = self._runtime
        return await runtime.in_store(
            redact, runtime.batches, batch_id, custom_id, reason, runtime.stamp
        )

    async def export_log(self, file: IO[bytes], batches: Collection[UUID | str] = ()) -> "Exported":
        """Write the log as it is now, or some batches of it, as the lines of an export file.

        `batches` are ids or the beginnings of them; without any the whole log is written, with
        the seals that were kept. The same log gives the same bytes, whatever database it is in.
        Every event is checked while it is written. Nothing in the database is changed. Constant
        memory.

        Raises `InputError` for a batch that is not there, and `StoreError` for a damaged log. The
        file then lacks its last line, and cannot be imported.
        """
        from .exporting import export_store  # noqa: PLC0415 (start-up time)

        software = self._runtime.stamp().by.software
        return await self._runtime.in_store_while_wanted(
            partial(export_store, self._runtime.batches, file, batches, software)
        )

    async def import_log(self, file: IO[bytes], *, name: str = "the export") -> "Imported":
        """Make the log of this empty database from an export file, with its views.

        All of it or nothing: every byte of the file is vouched for by its last line, and every
        event is checked as `verify` does. Positions, digests, seals and batch ids stay what they
        were; of some batches the positions are counted anew. `name` names the file in errors.
        Constant memory but for the rows of one batch. A repeat after success is refused.

        Raises `InputError` for a file that is not as it was written or is of a newer version, and
        for a database that has events.
        """
        from .importing import import_into_store  # noqa: PLC0415 (start-up time)

        return await self._runtime.in_store_while_wanted(
            partial(import_into_store, self._runtime.batches, file, name)
        )
