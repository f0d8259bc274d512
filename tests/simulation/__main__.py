"""`make simulate`: as many lives as asked for, on all cores, and the first that broke a promise."""

import argparse
import os
import sys
import textwrap
import traceback
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

from attrs import frozen
from tests.simulation.life import BrokenLifeError, live
from tests.simulation.mutations import MUTATIONS
from tests.simulation.progress import Progress

_CHUNK = 20
_SHOWN = 12
_WIDTH = 100


@frozen
class Told:
    """What one life was: its batches by end, what was done to it, and which promise it broke."""

    seed: int
    ends: Counter[str]
    faults: Counter[str]
    broken: str | None


def lived(seed: int) -> Told:
    """Live the life of a seed."""
    try:
        life = live(seed)
    except BrokenLifeError as error:
        return Told(seed, error.life.ends, error.life.faults, str(error))
    return Told(seed, life.ends, life.faults, None)


def _chunk(seeds: range) -> list[Told]:
    return [lived(seed) for seed in seeds]


def _mutate(name: str | None) -> None:
    if name is not None:
        MUTATIONS[name].apply()


def many(seeds: range, jobs: int, mutation: str | None) -> Generator[Told, None, None]:
    """Live many lives on many cores; they come in the order of their seeds."""
    chunks = [seeds[start : start + _CHUNK] for start in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(jobs, initializer=_mutate, initargs=(mutation,)) as pool:
        try:
            yield from chain.from_iterable(pool.map(_chunk, chunks))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def simulate(seeds: range, jobs: int, mutation: str | None) -> int:
    """Live many lives and tell of them; with a mutation every broken one is counted.

    Returns the exit status: 0 when no promise was broken, or when a mutation was noticed.
    """
    faults, ends, broken = Counter[str](), Counter[str](), list[Told]()
    progress = Progress(len(seeds), "lives")
    lot = many(seeds, jobs, mutation)
    for told in lot:
        ends += told.ends
        faults += told.faults
        if told.broken is not None:
            broken.append(told)
            if mutation is None:
                progress.done += 1
                break
        progress.advance(
            f", {faults.total():,} faults" + (f", {len(broken)} broken" * bool(broken))
        )
    lot.close()
    progress.end()
    print(f"seeds {seeds.start} to {seeds.start + progress.done - 1}: {progress.done:,} lives")
    print(f"{progress.rate:,.0f} lives a minute on {jobs} cores")
    _print_counts("batches", ends)
    _print_counts("faults", faults)
    return _verdict(broken, progress.done, mutation)


def _print_counts(name: str, counts: Counter[str]) -> None:
    shown = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
    print(textwrap.fill(f"{counts.total():,} {name}: {shown}", _WIDTH, subsequent_indent="  "))


def _verdict(broken: list[Told], lives: int, mutation: str | None) -> int:
    if mutation is not None:
        print(f"{mutation}: noticed by {len(broken)} of {lives:,} lives")
        kinds = Counter(": ".join(str(told.broken).split(": ")[1:3]) for told in broken)
        for kind, count in kinds.most_common(_SHOWN):
            print(f"{count:6}  {kind}")
        return 0 if broken else 1
    if not broken:
        print("no promise was broken")
        return 0
    print(broken[0].broken)
    print(f"again, with its journal: make simulate SEED={broken[0].seed}")
    return 1


def replay(seed: int, mutation: str | None) -> int:
    """Live one life and print its journal."""
    _mutate(mutation)
    try:
        life = live(seed)
    except BrokenLifeError as error:
        print("\n".join(error.life.journal))
        traceback.print_exception(error.__cause__, file=sys.stdout)
        print(error)
        return 1
    print("\n".join(life.journal))
    print(f"seed {seed}: {life.time.elapsed / 3_600:.1f} hours")
    _print_counts("batches", life.ends)
    _print_counts("faults", life.faults)
    print("no promise was broken")
    return 0


def main() -> int:
    """Read the options and simulate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, help="live this one and print its journal")
    parser.add_argument("--seeds", type=int, default=1_000, help="how many lives")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--mutate", choices=sorted(MUTATIONS), help="take this rule out before")
    options = parser.parse_args()
    if options.seed is not None:
        return replay(options.seed, options.mutate)
    return simulate(
        range(options.first, options.first + options.seeds), options.jobs, options.mutate
    )


if __name__ == "__main__":
    sys.exit(main())
