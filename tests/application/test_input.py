"""What may be submitted, in which forms, and what is refused before anything is recorded."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from attrs import evolve
from tests.application.conftest import WatchedProvider

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application import service as application_service
from batchtrail.application.drafting import (
    add_requests,
    checked_input,
    identity_of,
    input_digest,
    record_input,
)
from batchtrail.application.errors import BatchtrailError, ConflictError, InputError
from batchtrail.application.input import check_file
from batchtrail.application.ports import OPENAI_LIMITS
from batchtrail.domain.batch import Batch
from batchtrail.domain.errors import (
    BatchSubmittedError,
    DomainError,
    EmptyBatchError,
    RequestRefusedError,
)
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import NewBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.input import Requests
    from batchtrail.application.store import Batches

DRAFT = NewBatch(provider="fake", endpoint="/v1/responses", description="piece by piece")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


async def sent(lab: Lab, requests: Requests | Path) -> bytes:
    """Submit; give the content of the input file at the provider."""
    await lab.service().submit(requests)
    batch = lab.provider.look(lab.provider.batch_ids[-1])
    assert batch.input_file_id
    return lab.provider.content(batch.input_file_id)


def test_a_file_is_read_again_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    """Whoever changes the working directory meanwhile; its name stays as it was given."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "in.jsonl", lab.line("a"))
    checked = check_file(Path("in.jsonl"), OPENAI_LIMITS)
    monkeypatch.chdir("/")
    assert b"".join(chunk.lines for chunk in checked.chunks()) == lab.line("a")
    assert checked.name == "in.jsonl"


async def one_by_one(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


FORMS: dict[str, Callable[[list[bytes]], Requests]] = {
    "list of bytes": lambda lines: lines,
    "generator": lambda lines: (line for line in lines),
    "no newlines": lambda lines: [line.rstrip(b"\n") for line in lines],
    "CRLF": lambda lines: [line.replace(b"\n", b"\r\n") for line in lines],
    "strings": lambda lines: [line.decode() for line in lines],
    "mappings": lambda lines: [msgspec.json.decode(line) for line in lines],
    "async": one_by_one,
    "mixture": lambda lines: [lines[0], lines[1].decode(), msgspec.json.decode(lines[2])],
    "BOM": lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]],
    "blank end": lambda lines: [*lines, b"\n", b"  \n"],
}


@pytest.mark.parametrize("form", FORMS)
async def test_forms(lab: Lab, form: str) -> None:
    """The same requests in whatever form are the same bytes, and the same batch."""
    assert await sent(lab, FORMS[form](lab.lines())) == b"".join(lab.lines())
    await lab.service().submit(lab.lines())
    assert lab.provider.count("create") == 1


@pytest.mark.parametrize(
    "content",
    [
        lambda whole: whole,
        lambda whole: whole.rstrip(b"\n"),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole.replace(b"\n", b"\r\n"),
        lambda whole: whole + b"\n\n",
    ],
)
async def test_path(lab: Lab, tmp_path: Path, content: Callable[[bytes], bytes]) -> None:
    """A file is the same batch as its lines."""
    whole = b"".join(lab.lines())
    assert await sent(lab, written(tmp_path / "in.jsonl", content(whole))) == whole
    await lab.service().submit(lab.lines())
    assert lab.provider.count("create") == 1


async def test_lines_stay_as_they_are(lab: Lab) -> None:
    """Spacing, escapes, key order and unknown fields go up untouched."""
    odd = (
        b' { "url":"/v1/responses", "body":{"model":"m","x":1.0e+2,'
        b'"y":"\\u00e4\xc3\xa4\xe2\x80\xa8"}, "method":"POST",'
        b'"custom_id":"\\u0061", "more":[null] } \n'
    )
    assert await sent(lab, [odd]) == odd


async def test_large_input(lab: Lab) -> None:
    """Input of several chunks arrives in one piece and order."""
    lines = [lab.line(str(n), body={"model": "m", "input": str(n) * 30_000}) for n in range(60)]
    assert await sent(lab, iter(lines)) == b"".join(lines)


BAD: dict[str, tuple[Any, str]] = {
    "empty": ([], "is empty"),
    "only blanks": ([b"\n", b" \n"], "is empty"),
    "blank between": ([b"A", b"\n", b"B"], "line 2: is blank"),
    "no JSON": ([b"A", b"{"], "line 2: is not valid JSON"),
    "no object": ([b"[]"], "line 1: is not a JSON object"),
    "no UTF-8": ([b'{"custom_id": "\xff"}'], "line 1: is not UTF-8"),
    "half": (
        [b"A", rb'{"custom_id": "x", "body": {"input": "\ud800"}}'],
        r"line 2, field body.input: holds .ud800, half of a surrogate pair",
    ),
    "custom_id missing": ([b'{"method":"POST"}'], "line 1, field custom_id: is missing"),
    "custom_id number": ([{"custom_id": 1}], "line 1, field custom_id: must be a string"),
    "custom_id blank": ([{"custom_id": " "}], "line 1, field custom_id: is blank"),
    "custom_id twice": ([b"A", b"B", b"A"], "line 3, field custom_id: .* line 1 already"),
    "method": ([{"custom_id": "x", "method": "GET"}], "line 1, field method"),
    "url": ([{"custom_id": "x", "url": "/v1/files"}], "line 1, field url"),
    "two urls": ([b"A", {"custom_id": "x", "url": "/v1/embeddings"}], "line 2, field url"),
    "body": ([{"custom_id": "x", "body": "text"}], "line 1, field body: must be a JSON object"),
    "no model": ([{"custom_id": "x", "body": {}}], "line 1, field body.model: is missing"),
    "two models": ([b"A", {"custom_id": "x", "body": {"model": "n"}}], "line 2, field body.model"),
    "stream": ([{"custom_id": "x", "body": {"model": "m", "stream": True}}], "body.stream"),
}


UNCERTAIN: dict[str, tuple[Any, str]] = {
    "set": ({"file_search_call.results"}, "a set has no order that lasts; give a list"),
    "frozenset": (frozenset({"a"}), "a set has no order that lasts; give a list"),
    "NaN": (float("nan"), "JSON has no number nan; give a finite one"),
    "infinite": ([float("inf")], "JSON has no number inf; give a finite one"),
}


@pytest.mark.parametrize("name", UNCERTAIN)
async def test_what_is_another_input_the_next_time(lab: Lab, name: str) -> None:
    """A set has another order in the next process: the same input would be paid for twice."""
    value, told = UNCERTAIN[name]
    body = {"model": "gpt-5-nano", "input": "Say hello.", "include": value}
    request = {"custom_id": "b", "method": "POST", "url": "/v1/responses", "body": body}
    service = lab.service()
    with pytest.raises(InputError, match=f"the requests: line 2: cannot be JSON .{told}"):
        await service.submit([lab.line("a"), request])
    assert await service.batches() == []


def bad_requests(lab: Lab, name: str) -> list[Any]:
    """Write the requests of a bad example: a mapping changes a valid line."""
    plain = {b"A": lab.line("a"), b"B": lab.line("b")}
    return [
        lab.line("y")
        if each is None
        else lab.line(**{"custom_id": "x", **each})
        if isinstance(each, dict)
        else plain.get(each, each)
        for each in BAD[name][0]
    ]


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("as_file", [True, False])
async def test_bad_input_leaves_nothing(
    lab: Lab,
    tmp_path: Path,
    name: str,
    as_file: bool,
) -> None:
    """Bad input is refused naming line and field; nothing is recorded and nothing sent."""
    requests = bad_requests(lab, name)
    service = lab.service()
    given: Any = requests
    if as_file:
        lines = [each if each.endswith(b"\n") else each + b"\n" for each in requests]
        given = written(tmp_path / "in.jsonl", b"".join(lines))
    with pytest.raises(InputError, match=BAD[name][1]) as refused:
        await service.submit(given)
    assert "\n" not in str(refused.value)
    assert await service.batches() == []
    assert lab.provider.calls == []


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"body": {"input": [("text", "\ud800")]}}, r"2, field body.input\[0\]\[1\]: holds .ud800"),
        ({"body": {"\ud800": 1}}, r"2, field body..ud800: holds .ud800, half of"),
        ('{"custom_id": "\ud800"}', "2: holds .ud800, half of a surrogate pair"),
    ],
)
async def test_half_of_a_character_in_python(lab: Lab, request_: Any, told: str) -> None:
    """A mapping or a text that no bytes can be made of is told as a line of a file would be."""
    service = lab.service()
    with pytest.raises(InputError, match=f"the requests: line {told}"):
        await service.submit([lab.line("a"), request_])
    assert await service.batches() == []


async def test_limits(lab: Lab) -> None:
    """A request or a byte too many is refused at home."""
    lines = lab.lines()
    lab.provider.limits = evolve(OPENAI_LIMITS, max_requests=2)
    with pytest.raises(InputError, match="line 3: is past the limit of 2 requests"):
        await lab.service().submit(lines)
    size = len(b"".join(lines))
    lab.provider.limits = evolve(OPENAI_LIMITS, max_bytes=size - 1)
    with pytest.raises(InputError, match="line 3: is past the limit"):
        await lab.service().submit(lines)
    lab.provider.limits = evolve(OPENAI_LIMITS, max_bytes=size, max_requests=3)
    await lab.service().submit(lines)


async def test_endpoint_that_differs(lab: Lab) -> None:
    """An endpoint that the caller names must be the one of the lines."""
    with pytest.raises(InputError, match="the batch is for '/v1/embeddings'"):
        await lab.service().submit(lab.lines(), endpoint="/v1/embeddings")
    await lab.service().submit(lab.lines(), endpoint="/v1/responses")


async def test_bad_paths(lab: Lab, tmp_path: Path) -> None:
    """A path that cannot be read is an input error, in words."""
    service = lab.service()
    with pytest.raises(InputError, match="does not exist"):
        await service.submit(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="is a directory"):
        await service.submit(tmp_path)


async def test_path_too_long(lab: Lab, tmp_path: Path) -> None:
    """A path that the system does not take is an input error as any other."""
    with pytest.raises(InputError, match="cannot be read"):
        await lab.service().submit(tmp_path / ("x" * 300))


async def test_source_that_raises(lab: Lab) -> None:
    """An iterable that breaks off half-way leaves nothing behind."""

    def broken() -> Iterator[bytes]:
        yield lab.line("a")
        raise OSError("the disk is gone")

    service = lab.service()
    with pytest.raises(OSError, match="the disk is gone"):
        await service.submit(broken())
    assert await service.batches() == []


@pytest.mark.parametrize(
    "request_",
    [
        {"custom_id": "a", "body": {"x": object()}},
        {"custom_id": "a", "body": {"x": "\ud83d"}},
        "\ud83d",
        17,
        None,
    ],
)
async def test_what_cannot_be_written_as_json(lab: Lab, request_: Any) -> None:
    """A request of a type that has no JSON is an input error as any other."""
    with pytest.raises(InputError):
        await lab.service().submit([request_])


def changing(path: Path, first: bytes, second: bytes) -> Path:
    """Make a file whose content changes when it is opened a second time."""
    path.write_bytes(first)

    class Changing(type(path)):  # type: ignore[misc]
        opened = 0

        def open(self, *args: Any, **kwargs: Any) -> Any:
            Changing.opened += 1
            if Changing.opened == 2:
                path.write_bytes(second)
            return super().open(*args, **kwargs)

    changed: Path = Changing(path)
    return changed


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "a request more": lambda lines: [*lines, lines[0].replace(b'"0"', b'"more"')],
    "a request less": lambda lines: lines[:-1],
    "emptied": lambda lines: lines[:0],
    "another text": lambda lines: [line.replace(b"xx", b"xy", 1) for line in lines],
    "another last text": lambda lines: [*lines[:-1], lines[-1].replace(b"xx", b"xy", 1)],
    "no JSON any more": lambda lines: [b"rubbish" + line for line in lines],
    "a blank line": lambda lines: [b"\n", *lines],
}


def requests_of(lab: Lab, size: int) -> list[bytes]:
    body = {"model": "m", "input": "x" * size}
    return [lab.line(str(number), body=body) for number in range(12)]


@pytest.mark.parametrize("change", CHANGES)
async def test_small_file_that_changes(lab: Lab, tmp_path: Path, change: str) -> None:
    """A file that changed after it was checked is refused, and nothing is recorded."""
    lines = requests_of(lab, 10)
    first, second = b"".join(lines), b"".join(CHANGES[change](lines))
    service = lab.service()
    with pytest.raises(InputError):
        await service.submit(changing(tmp_path / "in.jsonl", first, second))
    assert lab.provider.calls == []
    assert await service.batches() == []


@pytest.mark.parametrize("change", CHANGES)
async def test_large_file_that_changes_is_never_sent(lab: Lab, tmp_path: Path, change: str) -> None:
    """Of a large file some may be recorded already, but the user hears it and nothing is sent."""
    lines = requests_of(lab, 300_000)
    first, second = b"".join(lines), b"".join(CHANGES[change](lines))
    with pytest.raises((BatchtrailError, DomainError)):
        await lab.service().submit(changing(tmp_path / "in.jsonl", first, second))
    assert lab.provider.calls == []


@pytest.mark.parametrize("change", CHANGES)
async def test_file_that_changed_back_may_be_tried_again(
    lab: Lab, tmp_path: Path, change: str
) -> None:
    """When the checked content is back, it can be submitted, whatever was recorded before."""
    lines = requests_of(lab, 300_000)
    first, second = b"".join(lines), b"".join(CHANGES[change](lines))
    service = lab.service()
    with suppress(Exception):
        await service.submit(changing(tmp_path / "in.jsonl", first, second))
    await service.submit(written(tmp_path / "in.jsonl", first))
    assert lab.provider.count("create") == 1


async def test_draft_piece_by_piece(lab: Lab) -> None:
    """A draft grows by calls, is submitted once, and has the results of all."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    assert await service.add_requests(batch_id, lab.lines("a", "b")) == 2
    assert await lab.service().add_requests(batch_id, one_by_one(lab.lines("c"))) == 3
    assert await service.add_requests(batch_id, []) == 3
    assert lab.provider.calls == []
    await service.submit_draft(batch_id)
    lab.complete_all()
    await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)
    assert list(await lab.outcomes(service, batch_id)) == ["a", "b", "c"]


async def test_draft_is_submitted_once(lab: Lab) -> None:
    """A second submission is refused before anything is uploaded."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    await service.add_requests(batch_id, lab.lines())
    await service.submit_draft(batch_id)
    for _ in range(2):
        with pytest.raises(BatchSubmittedError):
            await service.submit_draft(batch_id)
        with pytest.raises(BatchSubmittedError):
            await service.add_requests(batch_id, lab.lines("d"))
        lab.complete_all()
        await service.wait(batch_id)
    assert (lab.provider.count("upload"), lab.provider.count("create")) == (1, 1)


async def test_empty_draft_is_refused(lab: Lab) -> None:
    """No empty batch."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    with pytest.raises(EmptyBatchError):
        await service.submit_draft(batch_id)
    assert lab.provider.calls == []


async def test_bad_requests_for_a_draft_add_none(lab: Lab) -> None:
    """One bad request among many: none is added, and the rules reach over the calls."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    await service.add_requests(batch_id, lab.lines("a", "b"))
    bad = [
        lab.lines("c", "b"),
        lab.lines("c", "c"),
        [lab.line("c"), lab.line("d", body={"model": "another"})],
        [lab.line("c"), lab.line("d", url="/v1/embeddings")],
        [lab.line("c"), b"{"],
    ]
    for requests in bad:
        with pytest.raises(InputError, match=r"line [34]"):
            await service.add_requests(batch_id, requests)
    assert (await service.status(batch_id)).request_count == 2


async def test_draft_for_an_unknown_endpoint_is_refused(lab: Lab) -> None:
    """The provider's endpoint list holds for drafts as well."""
    service = lab.service()

    async def bogus_draft() -> None:
        batch_id = await service.draft(NewBatch(provider="fake", endpoint="/v1/bogus"))
        await service.add_requests(batch_id, [lab.line("a", url="/v1/bogus")])

    with pytest.raises((InputError, DomainError)):
        await bogus_draft()


async def test_draft_for_another_provider_is_not_submitted(lab: Lab) -> None:
    """A draft that names another provider is not sent to this one."""
    service, draft = lab.service(), NewBatch(provider="other", endpoint="/v1/responses")
    with pytest.raises(InputError, match="the draft is for 'other', and this is fake"):
        await service.draft(draft)

    async def nothing(_call: str) -> None:
        """Watch nothing."""

    other = lab.service(WatchedProvider(lab.provider, nothing, name="other"))
    batch_id = await other.draft(draft)
    await service.add_requests(batch_id, lab.lines())
    with pytest.raises(InputError, match="is at other, and this is fake"):
        await service.submit_draft(batch_id)
    assert lab.provider.calls == []


async def test_a_file_for_a_draft(lab: Lab, tmp_path: Path) -> None:
    """As `submit` takes it, one after the other; one that is not there is told."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    for name in "ab":
        path = written(tmp_path / name, lab.line(name).rstrip(b"\n"))
        await service.add_requests(batch_id, path)
    assert (await service.status(batch_id)).request_count == 2
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError, match=f"{path} cannot be read: "):
            await service.add_requests(batch_id, path)


@pytest.mark.parametrize("call", ["submit", "estimate", "add_requests"])
async def test_a_pipe_that_nobody_writes_to(lab: Lab, tmp_path: Path, call: str) -> None:
    """Neither the store waits for it, nor whoever gives it up, nor the end."""
    service, pipe = lab.service(), tmp_path / "pipe"
    os.mkfifo(pipe)
    batch_id = await service.draft(DRAFT)
    to_draft = [batch_id] if call == "add_requests" else []
    reading = asyncio.ensure_future(getattr(service, call)(*to_draft, pipe))
    try:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            assert (await service.status(batch_id)).request_count == 0
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled()
    finally:
        os.close(os.open(pipe, os.O_RDWR))  # its end, for the thread that still waits
    lab.close()


async def test_a_pipe_has_one_reader(lab: Lab, tmp_path: Path) -> None:
    """Also when its caller gave up: with two, each gets some lines, which may be an input, too."""
    service, pipe, others = lab.service(), tmp_path / "pipe", set(threading.enumerate())
    os.mkfifo(pipe)
    given_up = asyncio.ensure_future(service.submit(pipe))
    async with asyncio.timeout(10):
        with await asyncio.to_thread(pipe.open, "wb"):  # when the other end is open
            given_up.cancel()
            with pytest.raises(InputError, match=f"{pipe} is read already"):
                await service.submit(pipe)
        for thread in set(threading.enumerate()) - others:
            if thread.name == "batchtrail-input":
                await asyncio.to_thread(thread.join)
        again = asyncio.ensure_future(service.submit(pipe))
        with await asyncio.to_thread(pipe.open, "wb") as writer:
            writer.writelines(lab.lines())
        assert (await service.status(await again)).request_count == len(lab.lines())


async def test_drafts_are_never_the_same(lab: Lab) -> None:
    """Two drafts with the same requests are two batches."""
    service = lab.service()
    ids = [await service.draft(DRAFT) for _ in range(2)]
    for batch_id in ids:
        await service.add_requests(batch_id, lab.lines())
        await service.submit_draft(batch_id)
    assert len(set(ids)) == lab.provider.count("create") == 2


async def test_interrupted_draft_submission_goes_on_with_wait(lab: Lab) -> None:
    """A submission that broke off after its intent is taken up by whoever waits."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    await service.add_requests(batch_id, lab.lines())
    lab.provider.fail_next("upload", lab.Crash())
    with pytest.raises(lab.Crash):
        await service.submit_draft(batch_id)
    lab.clock.after(100, lab.complete_all)
    assert (await service.wait(batch_id)).status is BatchStatus.ENDED


async def test_sent_metadata(lab: Lab) -> None:
    """Metadata goes to the provider only when the draft asks for it, beside our mark."""
    service = lab.service()
    new = evolve(DRAFT, metadata={"team": "blue"}, send_metadata=True)
    batch_id = await service.draft(new)
    await service.add_requests(batch_id, lab.lines())
    await service.submit_draft(batch_id)
    sent_metadata = lab.provider.look(lab.provider.batch_ids[0]).metadata
    assert sent_metadata == {"team": "blue", "batchtrail_batch_id": str(batch_id)}


async def test_moderations_need_no_model(lab: Lab) -> None:
    """Where the endpoint takes no model, none is asked for."""
    provider = FakeBatchProvider(auto=True, now=lab.clock.now)
    service = lab.service(provider)
    lines = [lab.line(i, url="/v1/moderations", body={"input": "x"}) for i in "ab"]
    batch_id = await service.submit(lines)
    await service.wait(batch_id)
    assert set((await lab.outcomes(service, batch_id)).values()) == {"succeeded"}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs file permissions")
async def test_unreadable_file(lab: Lab, tmp_path: Path) -> None:
    """A file without permission is an input error."""
    path = written(tmp_path / "in.jsonl", b"".join(lab.lines()))
    path.chmod(0)
    with pytest.raises(InputError, match="cannot be read"):
        await lab.service().submit(path)


async def test_requests_that_come_while_a_draft_is_submitted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded digest is that of all that is sent, or the log would count as damaged."""
    service, other = lab.service(), lab.service()
    batch_id = await service.draft(DRAFT)
    await service.add_requests(batch_id, lab.lines("a", "b"))
    late = [BytesIO(lab.line("c"))]

    def digest(batches: Batches, draft: UUID) -> str:
        found = input_digest(batches, draft)
        while late:
            add_requests(lab.runtimes[-1], draft, late.pop(), lab.provider.limits)
        return found

    monkeypatch.setattr(application_service, "input_digest", digest)
    await service.submit_draft(batch_id)
    lab.complete_all()
    assert (await other.wait(batch_id)).totals.outcomes.succeeded == 3
    assert (await other.verify()).differences == ()


async def test_requests_are_added_as_a_whole(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or not at all, however many there are: a repeat would find its own custom_ids taken."""
    service = lab.service()
    batch_id = await service.draft(DRAFT)
    many = [lab.line(f"{number}-{'x' * 4_000}") for number in range(1_000)]  # some chunks
    added, calls = Batch.add_requests, itertools.count(1)

    def dying(batch: Batch, *args: Any, **more: Any) -> None:
        if next(calls) == 4:
            raise lab.Crash
        added(batch, *args, **more)

    monkeypatch.setattr(Batch, "add_requests", dying)
    with pytest.raises(lab.Crash):
        await service.add_requests(batch_id, many)
    later = lab.service()
    assert (await later.status(batch_id)).request_count == 0
    assert await later.add_requests(batch_id, many) == 1_000
    assert (await later.verify()).differences == ()


async def test_requests_of_two_processes_at_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is slower is told so, and may repeat it."""
    slow, _ = lab.service(), lab.service()
    batch_id = await slow.draft(DRAFT)
    recorder = lab.runtimes[0].batches.recorder
    inserted = recorder.insert_events
    late = [BytesIO(lab.line("late"))]

    def insert_events(*stored: Any, **more: Any) -> Any:
        while late:
            add_requests(lab.runtimes[1], batch_id, late.pop(), lab.provider.limits)
        return inserted(*stored, **more)

    monkeypatch.setattr(recorder, "insert_events", insert_events)
    with pytest.raises(ConflictError):
        await slow.add_requests(batch_id, lab.lines())
    assert await slow.add_requests(batch_id, lab.lines()) == 4


async def test_another_handler_at_the_same_moment(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is slower is told that his would never be called."""
    for _ in range(2):
        lab.service()
    quick, slow = lab.runtimes
    begun = Batch.draft
    drafted: list[Batch] = []

    def draft(new: NewBatch, **more: Any) -> Batch:
        drafted.append(batch := begun(new, **more))
        if len(drafted) == 1:
            record_input(quick, evolve(new, completion_handler="h:Other"), checked, limits)
        return batch

    monkeypatch.setattr(Batch, "draft", draft)
    limits = lab.provider.limits
    async with checked_input(lab.lines(), limits, slow) as checked:
        new = NewBatch(
            "fake",
            "/v1/responses",
            identity=identity_of("fake", checked),
            completion_handler="h:Mine",
        )
        with pytest.raises(InputError, match="begun with the completion handler h:Other"):
            record_input(slow, new, checked, limits)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({f"key{number}": "" for number in range(16)}, "metadata has 17 pairs, and at most 16"),
        ({"k" * 65: ""}, f"metadata has the key '{'k' * 65}', and keys have at most 64"),
        ({"key": "v" * 513}, "metadata has 513 characters for 'key', and values have at most 512"),
    ],
)
async def test_metadata_that_cannot_be_sent(lab: Lab, metadata: dict[str, str], told: str) -> None:
    """Refused before anything is recorded; what stays here may be of any size."""
    service = lab.service()
    with pytest.raises(InputError, match=told):
        await service.draft(evolve(DRAFT, metadata=metadata, send_metadata=True))
    assert await service.batches() == []
    batch_id = await service.draft(evolve(DRAFT, metadata=metadata))
    await service.add_requests(batch_id, lab.lines())
    await service.submit_draft(batch_id)
    assert (await service.status(batch_id)).provider_batch_id is not None


async def test_as_much_metadata_as_can_be_sent(lab: Lab) -> None:
    """One pair is ours."""
    service = lab.service()
    metadata = {f"{number:064}": "v" * 512 for number in range(15)}
    batch_id = await service.draft(evolve(DRAFT, metadata=metadata, send_metadata=True))
    await service.add_requests(batch_id, lab.lines())
    await service.submit_draft(batch_id)
    sent = lab.provider.look(lab.provider.batch_ids[0]).metadata
    assert sent == {**metadata, "batchtrail_batch_id": str(batch_id)}


async def test_a_request_that_refuses_itself(lab: Lab) -> None:
    """One error for requests that break a rule, wherever the rule is."""
    service = lab.service()

    def requests() -> Iterator[bytes]:
        yield lab.line("a")
        raise RequestRefusedError("is not what was agreed", field="body.input")

    with pytest.raises(InputError, match=r"field body.input: is not what was agreed"):
        await service.submit(requests())
    assert await service.batches() == []


@pytest.mark.parametrize("wrong", [None, 5, "a text", b"a line", {"custom_id": "a"}])
async def test_what_are_no_requests(lab: Lab, wrong: Any) -> None:
    """Told in a sentence."""
    with pytest.raises(InputError, match="the requests must be a Path, or an iterable"):
        await lab.service().submit(wrong)
