"""Deformations of a finished result file, for readers that must survive them."""

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

from .faults import Fault, FaultKind

Lines = Iterator[bytes]


def deform(path: Path, faults: Iterable[Fault]) -> None:
    """Rewrite a result file with these faults, one after the other; others are ignored."""
    chosen = [fault for fault in faults if fault.kind in _DEFORMATIONS]
    if not chosen:
        return
    deformed = path.with_suffix(".deformed.part")
    with path.open("rb") as source, deformed.open("wb") as target:
        lines: Lines = iter(source)
        for fault in chosen:
            lines = _DEFORMATIONS[fault.kind](lines, fault.count)
        target.writelines(lines)
    deformed.replace(path)


def _drop(lines: Lines, count: int) -> Lines:
    return islice(lines, count, None)


def _without_custom_id(lines: Lines, count: int) -> Lines:
    for line in islice(lines, count):
        request = json.loads(line)
        del request["custom_id"]
        yield json.dumps(request).encode() + b"\n"
    yield from lines


def _duplicated(lines: Lines, count: int) -> Lines:
    for line in islice(lines, count):
        yield line
        yield line
    yield from lines


def _with_strangers(lines: Lines, count: int) -> Lines:
    for number, line in zip(range(count), lines, strict=False):
        stranger = json.loads(line)
        stranger["custom_id"] = f"emulator-unknown-{number}"
        yield json.dumps(stranger).encode() + b"\n"
        yield line
    yield from lines


def _with_garbage(lines: Lines, count: int) -> Lines:
    return chain([b'{"id": "batch_req_garbage", "custom_id": \n'] * count, lines)


def _truncated(lines: Lines, _count: int) -> Lines:
    held = next(lines, b"")
    for line in lines:
        yield held
        held = line
    yield held[: len(held) // 2]


_DEFORMATIONS: Final[dict[FaultKind, Callable[[Lines, int], Lines]]] = {
    FaultKind.DROP_LINES: _drop,
    FaultKind.MISSING_CUSTOM_ID: _without_custom_id,
    FaultKind.DUPLICATE_LINE: _duplicated,
    FaultKind.UNKNOWN_CUSTOM_ID: _with_strangers,
    FaultKind.GARBAGE_LINE: _with_garbage,
    FaultKind.TRUNCATED_LINE: _truncated,
}
