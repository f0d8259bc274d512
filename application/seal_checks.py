"""Whether a log still bears the seals that were taken of it."""

from collections import deque
from collections.abc import Callable

from .differences import Difference, Differences
from .sealing import KeptSeal, Seal
from .stored_log import StoredLog

_Judge = Callable[[Seal, Seal, Seal], None]


class SealChecks:
    """The seals that the log must bear: those kept in the database, and one from outside.

    The first kept seal that it does not bear is told, not each that follows from it.
    """

    def __init__(self, reader: StoredLog, found: Differences, against: Seal | None) -> None:
        self._found = found
        awaited: list[tuple[Seal, _Judge]] = [
            (each.seal, self._judging(each)) for each in reader.seals()
        ]
        if against is not None:
            awaited.append((against, self._judge_given))
        self._awaited = deque(sorted(awaited, key=lambda pair: pair[0].position))
        self._borne = 0
        self._is_broken = False
        self._at_end = False

    def judge(self, upcoming: int | None, seal: Seal, by_column: Seal) -> None:
        """Judge the seals before the upcoming position; None at the end of the log."""
        self._at_end = upcoming is None
        while self._awaited and (upcoming is None or self._awaited[0][0].position < upcoming):
            wanted, judge = self._awaited.popleft()
            judge(wanted, seal, by_column)

    def _judging(self, kept: KeptSeal) -> _Judge:
        def judge(wanted: Seal, seal: Seal, by_column: Seal) -> None:
            del by_column
            if wanted == seal:
                self._borne = wanted.position
            elif not self._is_broken:
                self._is_broken = True
                what = f"the log up to here is not what was sealed at {kept.sealed_at}"
                where = self._where(wanted)
                self._found.add(Difference(f"{what}: {where}", position=wanted.position))

        return judge

    def _judge_given(self, wanted: Seal, seal: Seal, by_column: Seal) -> None:
        if wanted == seal:
            return
        if self._at_end and wanted.position > seal.position:
            where = f"the log ends at position {seal.position}"
        elif wanted == by_column:
            where = "the digests beside the events bear it, so what differs from them was changed"
        elif self._borne >= wanted.position:
            where = "the seals kept in this database do not bear it either"
        else:
            where = self._where(wanted)
        what = f"the log up to here is not what was sealed as {wanted}: {where}{self._first()}"
        self._found.add(Difference(what, position=wanted.position))

    def _where(self, wanted: Seal) -> str:
        return (
            f"something at positions {self._borne + 1} to {wanted.position} was changed, removed "
            "or reordered"
        )

    def _first(self) -> str:
        first = self._found.first_event
        return "" if first is None else f"; the first event that differs: {first}"
