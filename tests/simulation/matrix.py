"""`make crashes`: every cell of the crash matrix, or one of them."""

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import chain, groupby
from pathlib import Path

from attrs import frozen
from tests.postgres_server import GIVEN, new_schema, running_server
from tests.simulation.cells import CRASH, ROWS, SMALL_CHUNK, Lives, Row, new_databases
from tests.simulation.life import silence
from tests.simulation.progress import Progress

from batchtrail.application import collection

_CHUNK = 10
_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 (only a parent)
"""Where files cost no disk: the power never fails here, only processes die."""


@frozen
class Told:
    """One cell: its row, its point, what happens there, and which promise it broke."""

    row: Row
    point: int
    what: str
    broken: str | None = None

    @property
    def name(self) -> str:
        """By which the cell is run alone."""
        return f"{self.row}/{self.point}"


class Bench:
    """Where one process lives its cells: a folder and a schema of its own."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url

    @contextmanager
    def lives(self, row: Row) -> Iterator[Lives]:
        """Begin a row on an empty database."""
        collection.CHUNK_LINES = SMALL_CHUNK
        with ExitStack() as stack:
            stack.enter_context(silence())
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="batchtrail-", dir=_MEMORY)
            )
            url = ""
            if row.store == "postgres":
                url = stack.enter_context(new_schema(self._server_url))
            yield row.begin(new_databases(Path(folder), lambda: url)[row.store])

    def survey(self, row: Row) -> list[Told]:
        """List the cells of a row."""
        with self.lives(row) as lives:
            return [Told(row, point, what) for point, what in enumerate(lives.points, 1)]

    def try_all(self, cells: list[Told]) -> list[Told]:
        """Live some cells of one row."""
        with self.lives(cells[0].row) as lives:
            return [_tried(lives, cell) for cell in cells]


def _tried(lives: Lives, cell: Told) -> Told:
    try:
        lives.check(cell.point)
    except Exception as error:  # noqa: BLE001 (whatever a life breaks with is told)
        return Told(cell.row, cell.point, cell.what, f"{type(error).__name__}: {error}")
    return cell


@contextmanager
def bench(rows: Iterable[Row]) -> Iterator[Bench]:
    """Have a server for the while, if one of these rows needs it."""
    if GIVEN or all(row.store != "postgres" for row in rows):
        yield Bench(GIVEN or "")
        return
    with running_server() as server:
        yield Bench(server.url)


def everything(place: Bench, rows: Sequence[Row], jobs: int) -> int:
    """Live every cell of these rows. Returns the exit status: 0 when all of them held."""
    with ProcessPoolExecutor(jobs) as pool:
        cells = list(chain.from_iterable(pool.map(place.survey, rows)))
        print(f"{len(cells):,} cells in {len(rows)} rows", flush=True)
        _print_size(cells)
        lot = _tried_all(pool, place, cells)
        broken = first_broken(lot, Progress(len(cells), "cells"))
        lot.close()
    return verdict(broken)


def verdict(broken: Told | None) -> int:
    """Say how it ended. Returns the exit status."""
    if broken is None:
        print("every cell held")
        return 0
    print(f"{broken.name} ({broken.what}): {broken.broken}")
    print(f"again, alone: make crashes CELL='{broken.name}'")
    return 1


def _tried_all(
    pool: ProcessPoolExecutor, place: Bench, cells: list[Told]
) -> Generator[Told, None, None]:
    """Every cell, in their order, with what it broke."""
    try:
        yield from chain.from_iterable(pool.map(place.try_all, _chunks(cells)))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(cells: list[Told]) -> Iterator[list[Told]]:
    """Some cells of one row at a time: each lot lives the quiet life once more."""
    for _, lot in groupby(cells, key=lambda cell: cell.row):
        mine = list(lot)
        yield from (mine[start : start + _CHUNK] for start in range(0, len(mine), _CHUNK))


def first_broken(lot: Iterable[Told], progress: Progress) -> Told | None:
    """The first cell that did not hold; nothing is lived behind it."""
    try:
        for cell in lot:
            if cell.broken is not None:
                return cell
            progress.advance(f", at {cell.row}")
    finally:
        progress.end()
    return None


def _print_size(cells: list[Told]) -> None:
    crashes = [cell for cell in cells if cell.row.fault == CRASH]
    calls = [cell for cell in cells if cell.row.fault != CRASH]
    for title, lot, names in (
        ("crash at a boundary", crashes, ("store", "end", "driver")),
        ("failed call, in memory", calls, ("fault", "end", "driver")),
    ):
        print(f"{len(lot):6,}  {title}")
        for name in names:
            print(f"        {_counted(getattr(cell.row, name) for cell in lot)}")
        print(f"        {_counted(cell.what for cell in lot)}")


def _counted(names: Iterable[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in Counter(names).items())


def one(place: Bench, name: str) -> int:
    """Live one cell. Returns the exit status."""
    row, _, point = name.rpartition("/")
    with place.lives(Row.read(row)) as lives:
        what = lives.points[int(point) - 1]
        cell = _tried(lives, Told(lives.row, int(point), what))
    print(f"{cell.name} ({what}): {cell.broken or 'held'}")
    return 0 if cell.broken is None else 1


def main() -> int:
    """Read the options and live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell", help="live this one alone: FAULT/STORE/END/DRIVER/POINT")
    parser.add_argument("--rows", default="", help="live those that begin so: crash/postgres")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    options = parser.parse_args()
    rows = [row for row in ROWS if _is_asked_for(row, options.cell, options.rows)]
    if not rows:
        parser.error("no row is called so; a name is FAULT/STORE/END/DRIVER")
    with bench(rows) as place:
        if options.cell is None:
            return everything(place, rows, options.jobs)
        return one(place, options.cell)


def _is_asked_for(row: Row, cell: str | None, rows: str) -> bool:
    return str(row).startswith(rows) if cell is None else cell.startswith(f"{row}/")


if __name__ == "__main__":
    sys.exit(main())
