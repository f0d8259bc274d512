"""Each provider call of a life fails in each way that the port knows, once or for half an hour."""

from __future__ import annotations

import pytest
from attrs import Factory, define
from tests.laboratory.databases import MemoryDatabase
from tests.laboratory.wire import DirectWire
from tests.simulation.cells import CALL_FAULTS, DRIVERS, CallLives, Row

from batchtrail.application.errors import UnavailableError

pytestmark = pytest.mark.usefixtures("small_chunks")


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


@pytest.mark.parametrize("fault", CALL_FAULTS)
@pytest.mark.parametrize("end", ["ended", "canceled", "given up"])
def test_every_call_fails(end: str, fault: str) -> None:
    """Whichever call fails, the life ends well; `make crashes` has every end and both drivers."""
    driver = DRIVERS[CALL_FAULTS.index(fault) % 2]
    lives = CallLives(Row(fault, "memory", end, driver), MemoryDatabase)
    assert {"upload", "create", "retrieve"} <= set(lives.points)
    for call in range(1, len(lives.points) + 1):
        lives.check(call)


@pytest.mark.parametrize("breaks", [True, False], ids=["broken", "short"])
@pytest.mark.parametrize("end", ["ended", "expired", "canceled"])
def test_every_download_is_cut(end: str, breaks: bool) -> None:
    """A file that comes in part is fetched again; what had come is not applied twice."""
    lives = CallLives(Row("cut", "memory", end, "waiting"), MemoryDatabase)
    expected = lives.lived()[1]
    for download in (1, 2):
        for kept in (0.0, 0.3, 0.5, 0.99):
            wire = BreakingWire(download, kept, breaks)
            assert lives.lived(wire=wire)[1] == expected, (download, kept)
            assert len(wire.downloads) > 2
