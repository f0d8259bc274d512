"""Export files: every change of one is refused, in a sentence that says where and what to do."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Coroutine
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, strategies as st
from tests.application.conftest import Lab
from tests.laboratory.author import Author, request_line
from tests.laboratory.exports import (
    Move,
    exported,
    imported,
    in_memory,
    lived,
    redigested,
    rewritten,
    sealed,
)

from batchtrail import Exported, Imported, InputError
from batchtrail.application import export_file
from batchtrail.application.sealing import Seal
from batchtrail.application.unreachable import unreachable
from batchtrail.bootstrap import NO_KEY

REFERENCE = Path(__file__).parents[2] / "docs/reference/export.md"


def small_export() -> bytes:
    """A batch with a text and with bytes, and a seal."""
    store, author = in_memory(), Author()
    batch = author.draft([request_line("ä")])
    author.end(batch)
    store.save_batch(batch)
    author.apply(batch, store.request_index(batch.id), [b"\xff"])
    store.save_batch(batch)
    sealed(store)
    return exported(store)


def tiny_export() -> bytes:
    """Two events and a seal."""
    store = in_memory()
    store.save_batch(Author().draft([request_line("ä")]))
    sealed(store)
    return exported(store)


TINY = tiny_export()
SMALL = small_export()
EVERYTHING = exported(lived())
EMPTY = in_memory()


def refusal(export: bytes) -> str:
    """The sentence with which an export is refused; the database stays empty."""
    with pytest.raises(InputError) as caught:
        imported(EMPTY, export)
    with EMPTY.recorder.reading() as reader:
        assert reader.last_position() == 0
    sentence = str(caught.value)
    assert re.match(
        r"log\.jsonl: line \d+(, field [\w\[\]]+)?: .*; (copy|use|`batchtrail) ", sentence
    )
    assert "\n" not in sentence
    return sentence


# -- any change -----------------------------------------------------------------------------


def test_every_flipped_byte_is_refused() -> None:
    """Wherever a bit is turned: in the header, in an event, in a seal, at the end."""
    for place in range(len(TINY)):
        bit = 1 << (place % 8)
        refusal(TINY[:place] + bytes([TINY[place] ^ bit]) + TINY[place + 1 :])


def test_every_cut_is_refused() -> None:
    """A file that ends early, wherever that is, lacks its last line."""
    for size in range(0, len(TINY), 7):
        refusal(TINY[:size])
    assert "the file ends here" in refusal(TINY[:-1])


def test_lines_that_are_missing_doubled_or_moved() -> None:
    """Any line, whatever its neighbours say."""
    lines = EVERYTHING.splitlines(keepends=True)
    for number, line in enumerate(lines):
        refusal(b"".join(lines[:number] + lines[number + 1 :]))
        refusal(b"".join([*lines[:number], line, *lines[number:]]))
        if number:
            refusal(b"".join([*lines[: number - 1], line, lines[number - 1], *lines[number + 1 :]]))


@given(st.data())
def test_changed_pieces_are_refused(data: st.DataObject) -> None:
    """Any piece in the place of any other."""
    begin = data.draw(st.integers(0, len(EVERYTHING)))
    end = data.draw(st.integers(begin, min(begin + 300, len(EVERYTHING))))
    piece = data.draw(st.binary(max_size=300) | st.just(EVERYTHING[: end - begin]))
    changed = EVERYTHING[:begin] + piece + EVERYTHING[end:]
    if changed != EVERYTHING:
        refusal(changed)


# -- files that say of themselves that they are whole ---------------------------------------


def set_(number: int, **fields: Any) -> Move:
    """Changes fields of a line."""
    return lambda lines: lines[number].update(fields)


def drop(number: int, name: str) -> Move:
    """Takes a field out of a line."""
    return lambda lines: lines[number].pop(name)


def newer_event(lines: list[Any]) -> None:
    """Makes an event one of a newer class."""
    state = msgspec.msgpack.decode(msgspec.convert(lines[1]["state"], bytes))
    newer = msgspec.msgpack.encode({**state, "class_version": 2})
    redigested(lines[1], state=msgspec.to_builtins(newer))


def unknown_event(lines: list[Any]) -> None:
    """Makes an event one of an unknown kind."""
    redigested(lines[1], topic="batchtrail.batch.teleported")


def other_input(lines: list[Any]) -> None:
    """Exchanges the input that was submitted, digests and all."""
    intent = next(line for line in lines if line.get("topic", "").endswith("submission_started"))
    state = msgspec.msgpack.decode(msgspec.convert(intent["state"], bytes))
    state["input_sha256"] = "0" * 64
    redigested(intent, state=msgspec.to_builtins(msgspec.msgpack.encode(state)))


OTHER = str(UUID(int=5))
SEAL = len(SMALL.splitlines()) - 2
CHANGES: list[tuple[Move, str, str]] = [
    (set_(0, batchtrail_export=2), "line 1, field batchtrail_export", "use the version"),
    (set_(0, batchtrail_export="1"), "line 1", "`batchtrail export`"),
    (set_(0, extra=1), "line 1", "unknown field `extra`"),
    (set_(0, batches=["x"]), "line 1, field batches", "UUID"),
    (set_(0, batches=[OTHER]), "line 2, field batch_id", "not among those"),
    (set_(1, extra=1), "line 2", "unknown field `extra`"),
    (set_(1, kind="other"), "line 2, field kind", "'other'"),
    (set_(1, position="1"), "line 2, field position", "expected `int`"),
    (set_(1, position=0), "line 2, field position", "not behind 0"),
    (set_(1, position=2), "line 2, field position", "no event at 1"),
    (set_(3, position=2), "line 4, field position", "not behind 2"),
    (set_(3, position=1 << 70), "line 4, field position", "is "),
    (set_(1, batch_id="x"), "line 2, field batch_id", "UUID"),
    (set_(1, batch_id=OTHER), "line 2, field digest", "is not what its digest says"),
    (set_(1, version=-1), "line 2, field digest", "damaged"),
    (lambda lines: redigested(lines[2], version=3), "line 3, field version", "event 2"),
    (lambda lines: redigested(lines[1], batch_id=OTHER), "line 3, field version", "event 1"),
    (drop(1, "topic"), "line 2", "missing required field `topic`"),
    (set_(1, state="x"), "line 2, field state", "base64"),
    (set_(1, state=""), "line 2, field digest", "is not what its digest says"),
    (lambda lines: redigested(lines[1], state=""), "line 2, field state", "use the version"),
    (set_(1, digest="x" * 64), "line 2, field digest", "matching regex"),
    (set_(1, digest="0" * 64), "line 2, field digest", "is not what its digest says"),
    (set_(1, body="x"), "line 2, field body", "no event of its kind"),
    (set_(2, body="x"), "line 3, field body", "not the one"),
    (set_(2, body_base64=""), "line 3", "both a body and a body_base64"),
    (newer_event, "line 2, field state", "a newer batchtrail wrote its version 2"),
    (unknown_event, "line 2, field topic", "does not know"),
    (other_input, "field state", "names an input that is not the requests before it"),
    (set_(SEAL, seal="1:" + "0" * 64), f"line {SEAL + 1}, field seal", "is not "),
    (set_(SEAL, sealed_at="now"), f"line {SEAL + 1}, field sealed_at", "no moment"),
    (set_(SEAL, sealed_at="2026-01-01T00:00"), f"line {SEAL + 1}, field sealed_at", "no moment"),
    (set_(-1, events=3), "field events", "is 3"),
    (set_(-1, seal=str(Seal())), "field seal", "the lines before it give"),
    (lambda lines: lines.append(lines[-1]), f"line {SEAL + 3}", "stands behind the end"),
]


@pytest.mark.parametrize(("change", "where", "what"), CHANGES, ids=range(len(CHANGES)))
def test_what_is_wrong_is_told(change: Move, where: str, what: str) -> None:
    """By line, field and what to do, also where the checksum was made anew."""
    sentence = refusal(rewritten(SMALL, change))
    assert where in sentence
    assert what in sentence


def test_a_seal_or_a_stranger_in_an_export_of_some_batches() -> None:
    """Neither belongs there; a batch that the header names must be there."""
    batch_id = msgspec.json.decode(SMALL.splitlines()[1])["batch_id"]
    only = set_(0, batches=[batch_id])
    assert "field seal" in refusal(rewritten(SMALL, only))

    def two(lines: list[Any]) -> None:
        set_(0, batches=[batch_id, OTHER])(lines)
        del lines[SEAL]

    assert f"no event of batch {OTHER}" in refusal(rewritten(SMALL, two))


@pytest.mark.parametrize(
    "export",
    [b"", b"\n", b"[]\n", b"{}\n", b"\x00\n", b'{"custom_id": "a"}\n', b"[" * 100_000 + b"\n"],
    ids=["empty", "newline", "list", "no-fields", "nul", "requests", "nested"],
)
def test_what_is_no_export(export: bytes) -> None:
    """Another file is told from a damaged export."""
    assert "line 1: " in refusal(export)
    if export:
        assert "`batchtrail export` writes such files" in refusal(export)


def test_endless_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is read as far as one may go, and not into memory without an end."""
    monkeypatch.setattr(export_file, "_LONGEST_HEADER", 1_000)
    assert "is longer than 1,000 bytes" in refusal(b" " * 5_000)
    monkeypatch.setattr(export_file, "_LONGEST_LINE", 200)
    assert "line 2: is longer than 200 bytes" in refusal(SMALL)


# -- through the service --------------------------------------------------------------------


async def test_through_the_service(lab: Lab, tmp_path: Path) -> None:
    """The same requests find their batch in the new database, and nothing is sent."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    lab.clock.after(30, lab.complete_all)
    await service.wait(batch_id)
    seal = await service.seal()
    file = BytesIO()
    exported = await service.export_log(file)
    digest = sha256(file.getvalue()).hexdigest()
    assert exported == Exported(seal.position, 1, seal, digest, 0, 0)
    with closing(Lab(tmp_path / "moved.db", lab.clock, lab.provider)) as moved:
        new = moved.service(unreachable(lab.provider.name, lab.provider.limits, NO_KEY))
        with pytest.raises(InputError, match=r"the export: line 1: the file ends here"):
            await new.import_log(BytesIO())
        found = await new.import_log(BytesIO(file.getvalue()))
        assert found == Imported(seal.position, 1, seal)
        assert await new.seal(full=True) == seal
        assert await new.submit(lab.lines()) == batch_id
        assert await moved.completions(new, batch_id) == await lab.completions(service, batch_id)
        again = BytesIO()
        await new.export_log(again, [str(batch_id)[:8]])
        assert again.getvalue().count(b"\n") == found.events + 2


class Interrupting(BytesIO):
    """A file whose reader is cancelled in the midst of a call; it goes on when that is over."""

    def __init__(self, content: bytes, method: str) -> None:
        super().__init__(content)
        self.loop = asyncio.get_running_loop()
        self.method = method
        self.task: asyncio.Future[Any] | None = None
        self.is_over = Event()

    def readline(self, size: int | None = -1, /) -> bytes:
        """Interrupted at the end of the second line."""
        line = super().readline(size)
        if self.method == "readline" and line.startswith(b'{"kind":"event","position":2,'):
            self.interrupt()
        return line

    def read(self, size: int | None = -1, /) -> bytes:
        """Interrupted at the end of the file."""
        if self.method == "read":
            self.interrupt()
        return super().read(size)

    def write(self, content: Any, /) -> int:
        """Interrupted at once."""
        if self.method == "write":
            self.interrupt()
        return super().write(content)

    def interrupt(self) -> None:
        """Cancel who waits, in its own thread."""
        assert self.task is not None
        self.loop.call_soon_threadsafe(self.task.cancel)
        assert self.is_over.wait(30)


async def interrupted(lab: Lab, file: Interrupting, move: Coroutine[Any, Any, Any]) -> None:
    """Let a move be cancelled by its own file, and wait for the store's thread."""
    file.task = asyncio.ensure_future(move)
    with pytest.raises(asyncio.CancelledError):
        await file.task
    file.is_over.set()
    await lab.runtimes[0].in_store(lambda: None)


@pytest.mark.parametrize("method", ["readline", "read"])
async def test_an_interrupted_import(lab: Lab, method: str) -> None:
    """It is given up where it is, also behind the last line, and leaves nothing."""
    file = Interrupting(EVERYTHING, method)
    await interrupted(lab, file, lab.service().import_log(file))
    assert (file.tell() < len(EVERYTHING) // 2) is (method == "readline")
    assert await lab.service().batches() == []
    assert await lab.service().import_log(BytesIO(EVERYTHING))


async def test_an_interrupted_export(lab: Lab) -> None:
    """It ends where it is."""
    service = lab.service()
    await service.import_log(BytesIO(EVERYTHING))
    file = Interrupting(b"", "write")
    await interrupted(lab, file, service.export_log(file))
    assert file.getvalue().count(b"\n") == 1


def test_the_check_of_the_reference(tmp_path: Path) -> None:
    """The program in the documentation gives the seal, and sees what was changed."""
    code = re.search(r"```python\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    assert code is not None
    seal = msgspec.json.decode(EVERYTHING.splitlines()[-1])["seal"]
    path = tmp_path / "log.jsonl"
    for export in (EVERYTHING, EVERYTHING.replace(b'"body":"{', b'"body":"[', 1)):
        path.write_bytes(export)
        done = subprocess.run(
            [sys.executable, "-c", code[1], path], capture_output=True, text=True, check=False
        )
        assert (done.stdout.strip() == seal) is (done.returncode == 0) is (export is EVERYTHING)
