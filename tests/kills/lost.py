"""A provider that loses the answer to every create, and shows new batches late in its list."""

import random
import time
from collections.abc import Sequence

from attrs import define, field, frozen
from tests.laboratory.promises import demand

from .evidence import Evidence, check, gather
from .inputs import Input
from .lives import World, content_of
from .terminals import Home, Terminal


@frozen(kw_only=True)
class Loss:
    """How the provider behaves, and how long is searched for what it does not show; seconds."""

    requests: int
    hidden: float
    """For so long new batches are not in the list."""
    wait: float
    """The time after which a create that was not found is made again."""


@define
class Told:
    """What became of the batches."""

    seconds: float = 0.0
    kills: int = 0
    evidence: list[Evidence] = field(factory=list)


def lose(world: World, terminals: Sequence[Terminal], loss: Loss, seed: int) -> Told:
    """Run one batch in each terminal, all on one database; every second one is killed on the way.

    Raises `BrokenPromiseError`.
    """
    chance = random.Random(seed)  # noqa: S311 (no secret)
    sources = [Input(loss.requests) for _ in terminals]
    told = Told()
    with world.home(BATCHTRAIL_RECONCILE_WAIT=str(loss.wait)) as (home, _):
        world.emulator.arm(
            {"op": "create", "kind": "reset_after", "times": None},
            {"op": "list", "kind": "batches_hidden", "seconds": loss.hidden, "times": None},
        )
        begin = time.monotonic()
        for terminal, source in zip(terminals, sources, strict=True):
            source.write(home.path)
            _type(terminal, home, source)
        for terminal, source in list(zip(terminals, sources, strict=True))[::2]:
            if terminal.wait(chance.uniform(0, loss.hidden / len(terminals))) is None:
                terminal.kill()
                told.kills += 1
                _type(terminal, home, source)
        for terminal in terminals:
            result = terminal.finish(10 * loss.wait + 60)
            demand(result.status in {0, 3}, "a run comes to its end", result)
        told.seconds = time.monotonic() - begin
        world.emulator.control("DELETE", "faults")
        told.evidence = [_checked(world, home, source) for source in sources]
    return told


def _type(terminal: Terminal, home: Home, source: Input) -> None:
    token = source.token
    terminal.start(home, "run", f"{token}.jsonl", "-o", f"{token}-out.jsonl", "--why", token)


def _checked(world: World, home: Home, source: Input) -> Evidence:
    """Check the batch of one input: found in the list, and never made again."""
    listed = world.looker(home).read("status", "--json").jsonl
    (summary,) = [each for each in listed if each["description"] == source.token]
    results = content_of(home.path / f"{source.token}-out.jsonl")
    seen = gather(world.looker(home), source, summary, results)
    check(seen, None)
    (submitted,) = seen.named("Submitted")
    demand(submitted["adopted"], "a batch whose answer was lost is found", submitted)
    return seen
