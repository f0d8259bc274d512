"""Each provider call of a life fails in each way that the port knows, once or for half an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest
from attrs import Factory, define
from tests.laboratory.databases import MemoryDatabase
from tests.laboratory.short_life import ENDS, ShortLife
from tests.laboratory.wire import DirectWire

from batchtrail.application.errors import (
    NotFoundError,
    OutcomeUnknownError,
    QuotaError,
    RateLimitedError,
    UnauthorizedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from tests.laboratory.wire import Act

T = TypeVar("T")

pytestmark = pytest.mark.usefixtures("small_chunks")

NOT_REPEATABLE = ("upload", "create")
FAULTS = (
    "not sent",
    "lost on the way",
    "answer lost",
    "too many calls",
    "key refused",
    "no credit",
    "outage",
)
"""What a time-out, a 5xx, a cut-off body or HTML in place of JSON come to at the port."""

OUTAGE_CALLS = 12
"""So many calls fail in a row: more than any step repeats by itself."""


class FaultyWire(DirectWire):
    """A wire on which the call of one number fails; it remembers what was called."""

    def __init__(self, fault: str = "", at: int = 0) -> None:
        super().__init__()
        self.called: list[str] = []
        self._fault = fault
        self._at = at

    async def carry(self, operation: str, act: Act[T]) -> T:
        self.called.append(operation)
        number = len(self.called)
        if self._fault == "outage" and self._at <= number < self._at + OUTAGE_CALLS:
            raise UnavailableError("The provider is down.", http_status=503)
        if self._fault == "outage" or number != self._at:
            return await act()
        if self._fault == "answer lost":
            await act()
        raise self._error(operation)

    def _error(self, operation: str) -> Exception:
        lost = OutcomeUnknownError if operation in NOT_REPEATABLE else UnavailableError
        errors = {
            "not sent": UnavailableError("Connection refused."),
            "lost on the way": lost("No answer."),
            "answer lost": lost("<html>Bad gateway</html>"),
            "too many calls": RateLimitedError("Slow down.", retry_after=45.0),
            "key refused": UnauthorizedError("Incorrect API key."),
            "no credit": QuotaError("Out of credit."),
            "not found": NotFoundError("No such thing."),
        }
        return errors[self._fault]


@define
class BreakingWire(DirectWire):
    """A wire on which one download breaks off, or ends too early, after some bytes."""

    download: int
    kept: float
    breaks: bool
    downloads: list[str] = Factory(list)

    def transfer(self, file_id: str, content: bytes) -> list[bytes | Exception]:
        self.downloads.append(file_id)
        if len(self.downloads) != self.download:
            return [content]
        head = content[: int(len(content) * self.kept)]
        return [head, UnavailableError("Broken off.")] if self.breaks else [head]


def lived(end: str, wire: DirectWire, *, worker: bool) -> bytes:
    """Live with this wire, check every promise, and give the OUT lines."""
    database = MemoryDatabase()
    try:
        life = ShortLife(end, database, worker=worker, wire=wire)
        out = life.live()[1]
    finally:
        database.close()
    assert len(life.provider.batch_ids) == 1
    return out


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("end", ENDS)
def test_every_call_fails(end: str, fault: str) -> None:
    """Whichever call fails, the life ends well; unless it was given up, with the same lines."""
    worker = FAULTS.index(fault) % 2 == 0
    quiet = FaultyWire()
    expected = lived(end, quiet, worker=worker)
    assert {"upload", "create", "retrieve"} <= set(quiet.called)
    for at in range(1, len(quiet.called) + 1):
        out = lived(end, FaultyWire(fault, at), worker=worker)
        if end != "given up":  # a call that fails at the maximum age decides what comes of it
            assert out == expected, (at, quiet.called[at - 1])


@pytest.mark.parametrize("breaks", [True, False], ids=["broken", "short"])
@pytest.mark.parametrize("end", ["ended", "expired", "canceled"])
def test_every_download_is_cut(end: str, breaks: bool) -> None:
    """A file that comes in part is fetched again; what had come is not applied twice."""
    expected = lived(end, DirectWire(), worker=False)
    for download in (1, 2):
        for kept in (0.0, 0.3, 0.5, 0.99):
            wire = BreakingWire(download, kept, breaks)
            assert lived(end, wire, worker=False) == expected, (download, kept)
            assert len(wire.downloads) > 2
