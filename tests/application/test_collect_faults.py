"""Result files that break off, end early, lie or hold rubbish: every paid row is kept, once."""

from __future__ import annotations

import itertools
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from attrs import evolve
from tests.application.test_give_up import Prompt

from batchtrail.application import collection
from batchtrail.application.errors import (
    InputError,
    NotFoundError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)
from batchtrail.application.progress import Delayed
from batchtrail.domain.errors import (
    AlreadyCancelingError,
    BatchFinishedError,
    NothingToCollectError,
    NotTerminalError,
)
from batchtrail.domain.events import ResultApplied, ResultsCollected, ResultSkipped
from batchtrail.domain.status import BatchStatus, Outcome, ResultFile, SkipReason, WorkStep
from batchtrail.domain.values import BatchProblem, RequestCounts, RequestProblem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.adapters.fake import FakeBatchProvider
    from batchtrail.application.ports import BatchProvider, ProviderBatch
    from batchtrail.application.progress import Progress
    from batchtrail.application.service import BatchService


async def submitted(lab: Lab, *custom_ids: str) -> tuple[BatchService, UUID, str]:
    """Submit; give the service, our id and the provider's."""
    service = lab.service()
    batch_id = await service.submit(lab.lines(*custom_ids))
    return service, batch_id, lab.provider.batch_ids[-1]


async def collected(lab: Lab, service: BatchService, batch_id: UUID) -> dict[str, str]:
    """Collect what has ended, and check the promise."""
    await service.refresh(batch_id)
    await service.collect(batch_id)
    await lab.assert_each_once(service, batch_id)
    return await lab.outcomes(service, batch_id)


async def skipped(lab: Lab, service: BatchService, batch_id: UUID) -> list[SkipReason]:
    log = await lab.log(service, batch_id)
    return [event.reason for event in log if isinstance(event, ResultSkipped)]


ALL = {"a": "succeeded", "b": "succeeded", "c": "succeeded"}


async def output_size(lab: Lab) -> int:
    """Complete the one batch and measure its output file."""
    lab.complete_all()
    file_id = lab.provider.look(lab.provider.batch_ids[-1]).report.output_file_id
    assert file_id
    return len(lab.provider.content(file_id))


@pytest.mark.parametrize("fraction", [0, 0.01, 0.3, 0.34, 0.5, 0.99, 1])
@pytest.mark.parametrize("chunk_size", [7, 65_536])
@pytest.mark.parametrize("fault", ["break", "shorten"])
async def test_download_stops_anywhere(
    lab: Lab, fraction: float, chunk_size: int, fault: str
) -> None:
    """A transfer that breaks off or ends early is fetched again, wherever it stopped."""
    lab.provider.chunk_size = chunk_size
    service, batch_id, _ = await submitted(lab)
    after_bytes = int(fraction * await output_size(lab))
    if fault == "break":
        lab.provider.break_download(after_bytes=after_bytes, times=3)
    else:
        lab.provider.shorten_download(after_bytes=after_bytes, times=2)
    assert await collected(lab, service, batch_id) == ALL
    assert await skipped(lab, service, batch_id) == []


async def test_download_stops_within_the_only_line(lab: Lab) -> None:
    """Every fiftieth byte of a file of one line: a short end and a break, and the line is whole."""
    service, batch_id, _ = await submitted(lab, "a")
    size = await output_size(lab)
    for after_bytes in range(0, size, 50):
        lab.provider.shorten_download(after_bytes=after_bytes)
        lab.provider.break_download(after_bytes=after_bytes)
        assert await collected(lab, service, batch_id) == {"a": "succeeded"}
        assert await skipped(lab, service, batch_id) == []
        lab.provider.heal()
        batch_id = await service.submit(lab.lines("a"), new=True)
        lab.complete_all()


async def test_break_after_each_line_is_progress(lab: Lab) -> None:
    """However often a transfer breaks: while each attempt brings something, none is the last."""
    ids = [str(number) for number in range(30)]
    service, batch_id, _ = await submitted(lab, *ids)
    size = await output_size(lab)
    for step in range(30):
        lab.provider.break_download(after_bytes=size * step // 30 + 10)
    assert set((await collected(lab, service, batch_id)).values()) == {"succeeded"}


async def test_cut_last_line(lab: Lab) -> None:
    """A file that truly ends within a line is fetched a few times, then taken as it is."""
    lab.provider.cut_last_line()
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    outcomes = await collected(lab, service, batch_id)
    assert sorted(outcomes.values()) == ["missing", "succeeded", "succeeded"]
    assert await skipped(lab, service, batch_id) == [SkipReason.UNREADABLE]
    assert 1 < lab.provider.count("download") < 10


@pytest.mark.parametrize("fraction", [0.1, 0.34, 0.5, 0.99])
async def test_a_cut_line_that_is_whole_later(lab: Lab, fraction: float) -> None:
    """However often a download ended within it: asked once more, its request has its result."""
    service, batch_id, _ = await submitted(lab)
    size = await output_size(lab)
    lab.provider.shorten_download(after_bytes=int(fraction * size), times=4)
    before = await collected(lab, service, batch_id)
    assert "missing" in before.values()
    assert await skipped(lab, service, batch_id) == [SkipReason.UNREADABLE]
    # Once more than before: because of the piece the file is read from its beginning as well.
    lab.provider.shorten_download(after_bytes=int(fraction * size), times=5)
    await service.collect_again(batch_id)
    assert await lab.outcomes(service, batch_id) == before
    assert await skipped(lab, service, batch_id) == [SkipReason.UNREADABLE]
    await service.collect_again(batch_id)
    assert await lab.outcomes(service, batch_id) == ALL
    await lab.assert_each_once(service, batch_id)
    assert (await service.verify()).differences == ()


class Serving:
    """The provider, but that `content` gives what a download of a file brings.

    `before_look` is called before a batch is looked at; with `is_restless` each look shows the
    output file under another id, and with `names_twice` as the error file as well.
    """

    def __init__(self, provider: FakeBatchProvider, content: Callable[[str, bytes], bytes]) -> None:
        self._provider = provider
        self._content = content
        self._looks = 0
        self.downloads = 0
        self.is_restless = False
        self.names_twice = False
        self.before_look: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        if self.before_look is not None:
            await self.before_look()
        seen = await self._provider.retrieve_batch(batch_id)
        self._looks += 1
        if self.names_twice:
            return evolve(
                seen, report=evolve(seen.report, error_file_id=seen.report.output_file_id)
            )
        if not self.is_restless or seen.report.output_file_id is None:
            return seen
        file_id = f"{seen.report.output_file_id}+{self._looks}"
        return evolve(seen, report=evolve(seen.report, output_file_id=file_id))

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        self.downloads += 1
        yield self._content(file_id, self._provider.content(file_id.partition("+")[0]))


PAGE = b"<html>\n<body>\n" + b"<p>Sign in to go on.</p>\n" * 9 + b"</body></html>\n"


def in_another_order(content: bytes) -> bytes:
    return b"".join(reversed(content.splitlines(keepends=True)))


def at_first(other: Callable[[bytes], bytes], *, times: int = 1) -> Callable[[str, bytes], bytes]:
    """Downloads that bring something else at first, and then the file in another order."""
    looks = itertools.count()

    def content(_: str, whole: bytes) -> bytes:
        return other(whole) if next(looks) < times else in_another_order(whole)

    return content


@pytest.mark.parametrize("as_is", [False, True])
async def test_a_page_in_the_place_of_a_file(lab: Lab, *, as_is: bool) -> None:
    """Its lines make no sense, and those of the file behind its position are not all there are."""
    serving: Any = Serving(lab.provider, at_first(lambda _: PAGE))
    service = lab.service(serving)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.refresh(batch_id)
    await service.collect(batch_id, as_is=as_is)
    assert await lab.outcomes(service, batch_id) == ALL
    await lab.assert_each_once(service, batch_id)


async def test_a_page_that_stays_for_long(lab: Lab) -> None:
    """When it is gone, the batch is asked for once more, and has all that was paid for."""
    serving: Any = Serving(lab.provider, at_first(lambda _: PAGE, times=9))
    service = lab.service(serving)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert set((await collected(lab, service, batch_id)).values()) == {"missing"}
    await service.collect_again(batch_id)
    while serving.downloads <= 9:
        await service.collect_again(batch_id)
    assert await lab.outcomes(service, batch_id) == ALL
    await lab.assert_each_once(service, batch_id)
    assert (await service.verify()).differences == ()


async def test_a_file_in_another_order(lab: Lab) -> None:
    """Behind the first half of it stand lines that were there before, and others are missed."""
    half = at_first(lambda whole: whole[: 2 * len(whole) // 5])
    serving: Any = Serving(lab.provider, half)
    service = lab.service(serving)
    batch_id = await service.submit(lab.lines("a", "b", "c", "d", "e"))
    lab.complete_all()
    assert set((await collected(lab, service, batch_id)).values()) == {"succeeded"}


async def test_a_cut_line_and_a_file_out_of_reach(lab: Lab) -> None:
    """The piece is not taken for a line while the other file is waited for."""
    lab.provider.answer_with("c", status_code=400)
    downloads = 0

    def content(_file_id: str, whole: bytes) -> bytes:
        nonlocal downloads
        downloads += 1
        is_error_file = b"invalid" in whole
        last_of_the_short = 2 * (1 + collection.SHORT_FETCHES)
        if is_error_file and downloads == last_of_the_short:
            raise UnavailableError("away")
        return whole if is_error_file or downloads > last_of_the_short else whole[:-20]

    service = lab.service(cast("BatchProvider", Serving(lab.provider, content)))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL | {"c": "failed"}
    assert await skipped(lab, service, batch_id) == []


async def test_ids_that_change_at_each_look(lab: Lab) -> None:
    """Some servers invent them anew; the file is the same, and the waiting has an end."""
    serving = Serving(lab.provider, lambda _file_id, whole: whole[: len(whole) * 2 // 3])
    service = lab.service(cast("BatchProvider", serving))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    serving.is_restless = True
    outcomes = await collected(lab, service, batch_id)
    assert sorted(outcomes.values()) == ["missing", "succeeded", "succeeded"]
    assert await skipped(lab, service, batch_id) == []


@pytest.mark.parametrize("blank", [b"  ", b"\r", b"\t\r"])
async def test_a_blank_end_is_no_piece(lab: Lab, blank: bytes) -> None:
    """Nothing is waited for, and nothing is recorded."""
    serving = Serving(lab.provider, lambda _file_id, whole: whole + blank)
    service = lab.service(cast("BatchProvider", serving))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert await skipped(lab, service, batch_id) == []
    assert serving.downloads == 1


async def test_a_whole_line_of_rubbish_is_no_piece(lab: Lab) -> None:
    """At the end of a file as anywhere else: nothing is waited for."""
    serving = Serving(lab.provider, lambda _file_id, whole: whole + b"the end\n")
    service = lab.service(cast("BatchProvider", serving))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert await skipped(lab, service, batch_id) == [SkipReason.UNREADABLE]
    assert serving.downloads == 1


async def test_a_piece_behind_a_blank_line(lab: Lab) -> None:
    """Blank lines are not counted, and the piece is recorded all the same."""
    serving = Serving(lab.provider, lambda _file_id, whole: b"\n" + whole[:30])
    service = lab.service(cast("BatchProvider", serving))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert set((await collected(lab, service, batch_id)).values()) == {"missing"}
    (piece,) = [
        each for each in await lab.log(service, batch_id) if isinstance(each, ResultSkipped)
    ]
    assert (piece.offset, piece.line.size, piece.cut_off) == (1, 30, True)


async def test_a_batch_that_the_provider_never_had(lab: Lab) -> None:
    """There is nothing that it could be asked for."""
    lab.provider.fail_next("upload", RefusedError("No."))
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    await service.collect(batch_id, as_is=True)
    with pytest.raises(NothingToCollectError, match="the provider never had it"):
        await service.collect_again(batch_id)
    assert lab.provider.count("retrieve") == 0


async def test_a_piece_that_turns_out_to_be_a_line(lab: Lab) -> None:
    """It is read once as such, and not again with each collection."""
    contents: dict[str, Callable[[list[bytes]], bytes]] = {
        "now": lambda lines: lines[0] + lines[1][:30]
    }

    def content(_file_id: str, whole: bytes) -> bytes:
        return contents["now"](whole.splitlines(keepends=True))

    service = lab.service(cast("BatchProvider", Serving(lab.provider, content)))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await collected(lab, service, batch_id)
    contents["now"] = lambda lines: lines[0] + lines[1][:30] + b"\n"
    await service.collect_again(batch_id)
    contents["now"] = lambda lines: lines[0] + lines[1][:30] + b"\n" + lines[1]
    await service.collect_again(batch_id)
    log = await lab.log(service, batch_id)
    cut = [each.cut_off for each in log if isinstance(each, ResultSkipped)]
    assert cut == [True, False]
    assert (await lab.outcomes(service, batch_id))["b"] == "succeeded"


@pytest.mark.parametrize("shown", [3, 1], ids=["a line", "a piece"])
async def test_a_file_that_grows_in_the_last_attempt(lab: Lab, shown: int) -> None:
    """What brings something new is not the last one, whether that is a line or a part of it."""
    ninths = iter([0, 0, 0, shown, 9])
    serving = Serving(lab.provider, lambda _id, whole: whole[: next(ninths, 9) * len(whole) // 9])
    service = lab.service(cast("BatchProvider", serving))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert serving.downloads == 1 + 1 + collection.SHORT_FETCHES


async def test_collected_again_by_two_at_once(lab: Lab) -> None:
    """What one of them found at the end of the file is known to the other."""
    shown = {"bytes": 1}

    def content(_file_id: str, whole: bytes) -> bytes:
        return whole[: shown["bytes"] * len(whole) // 9]

    first = Serving(lab.provider, content)
    service, other = (
        lab.service(cast("BatchProvider", each)) for each in (first, Serving(lab.provider, content))
    )
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    shown["bytes"] = 3
    await collected(lab, service, batch_id)

    async def meanwhile() -> None:
        first.before_look = None
        shown["bytes"] = 5
        await other.collect_again(batch_id)
        shown["bytes"] = 9

    first.before_look = meanwhile
    await service.collect_again(batch_id)
    assert await lab.outcomes(service, batch_id) == ALL
    await lab.assert_each_once(service, batch_id)


async def test_settled_by_another_meanwhile(lab: Lab) -> None:
    """A piece that only one of them had is no part of what the other has ended."""

    async def settle(boundary: str) -> None:
        last = lab.provider.count("download") == collection.SHORT_FETCHES
        if boundary == "before download" and last:
            lab.provider.fail_next("download", UnavailableError("down"))
            await lab.service().collect(batch_id, as_is=True)

    service = lab.watched(settle)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    lab.provider.shorten_download(after_bytes=30, times=1 + collection.SHORT_FETCHES)
    assert set((await collected(lab, service, batch_id)).values()) == {"missing"}
    assert await skipped(lab, service, batch_id) == []


async def test_lines_that_come_when_another_has_settled(lab: Lab) -> None:
    """They are applied when they are asked for once more, and not behind the end."""

    async def settle(boundary: str) -> None:
        if boundary == "before download" and lab.provider.count("download") == 0:
            lab.provider.shorten_download(after_bytes=0)
            await lab.service().collect(batch_id, as_is=True)

    service = lab.watched(settle)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert set((await collected(lab, service, batch_id)).values()) == {"missing"}
    await service.collect_again(batch_id)
    assert await lab.outcomes(service, batch_id) == ALL


async def test_read_farther_by_another_meanwhile(lab: Lab) -> None:
    """What was a piece to one of them is a line to the other, and recorded as such."""

    async def die(boundary: str) -> None:
        if boundary == "before download" and lab.provider.count("download") == 2:
            raise lab.Crash

    async def read(boundary: str) -> None:
        if boundary == "after download" and lab.provider.count("download") == 1:
            with pytest.raises(lab.Crash):
                await lab.watched(die).collect(batch_id)

    lab.provider.answer_with("c", status_code=400)
    service = lab.watched(read)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.refresh(batch_id)
    lab.provider.shorten_download(after_bytes=30)
    await service.collect(batch_id, as_is=True)
    assert await lab.outcomes(service, batch_id) == ALL | {"c": "failed"}
    assert await skipped(lab, service, batch_id) == []


async def test_last_line_without_newline(lab: Lab) -> None:
    """A last line that is whole but for its newline counts at once."""
    service, batch_id, _ = await submitted(lab)
    lab.provider.shorten_download(after_bytes=await output_size(lab) - 1)
    assert await collected(lab, service, batch_id) == ALL
    assert lab.provider.count("download") == 1


async def test_garbled_line(lab: Lab) -> None:
    """An unreadable line is kept in the log, its request is missing, the others have theirs."""
    lab.provider.garble_line("b")
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL | {"b": "missing"}
    assert await skipped(lab, service, batch_id) == [SkipReason.UNREADABLE]
    assert (await service.status(batch_id)).totals.skipped_lines == 1
    error = (await lab.completions(service, batch_id))[1].error
    assert error
    assert error.code == "missing"


async def test_repeated_line(lab: Lab) -> None:
    """The first line of a custom_id counts, a second one is skipped."""
    lab.provider.repeat_line("b")
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert await skipped(lab, service, batch_id) == [SkipReason.REPEATED_CUSTOM_ID]
    assert lab.provider.count("download") == 1  # there is nothing that could have been missed


async def test_same_request_in_both_files(lab: Lab) -> None:
    """A request that both files mention has the outcome of the output file."""
    again = {"custom_id": "a", "response": None, "error": {"code": "x", "message": "y"}}
    lab.provider.add_line(msgspec.json.encode(again), ResultFile.ERROR)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert await skipped(lab, service, batch_id) == [SkipReason.REPEATED_CUSTOM_ID]


@pytest.mark.parametrize(
    ("to", "reason"),
    [("zzz", SkipReason.UNKNOWN_CUSTOM_ID), (None, SkipReason.UNREADABLE)],
)
async def test_unknown_and_missing_custom_id(lab: Lab, to: str | None, reason: SkipReason) -> None:
    """A line that belongs to no request of ours is skipped, with the reason."""
    lab.provider.rename_line("c", to)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL | {"c": "missing"}
    assert await skipped(lab, service, batch_id) == [reason]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"   ",
        b"null",
        b"[]",
        b'"a"',
        b"{}",
        b"\xff\xfe",
        b"\x00",
        b"[" * 100_000,
        b'{"custom_id": 1}',
        b'{"custom_id": null, "response": {"status_code": 200, "body": {}}}',
        b'{"custom_id": "\\ud83d"}',
        "{}\u2028{}".encode(),
        b"<html>502</html>\r",
    ],
)
async def test_rubbish_between_the_lines(lab: Lab, raw: bytes) -> None:
    """Whatever stands in a file beside our lines, ours are applied."""
    lab.provider.add_line(raw)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    kept = [e.text for e in await lab.log(service, batch_id) if isinstance(e, ResultSkipped)]
    assert kept == ([raw] if raw.strip() else [])


UNUSUAL = [
    (b'{"custom_id":"x","response":{"status_code":"200","body":"text"}}', "succeeded"),
    (b'{"custom_id":"x","response":{"body":{}}}', "succeeded"),
    (b'{"custom_id":"x","response":{"status_code":204,"body":null}}', "succeeded"),
    (b'{"custom_id":"x","response":{"status_code":199,"body":{}}}', "failed"),
    (b'{"custom_id":"x","response":{"status_code":300,"body":{}}}', "failed"),
    (b'{"custom_id":"x","response":{"status_code":[],"body":{}}}', "failed"),
    (b'{"custom_id":"x","response":[]}', "failed"),
    (b'{"custom_id":"x"}', "failed"),
    (b'{"custom_id":"x","response":null,"error":"went wrong"}', "failed"),
    (b'{"custom_id":"x","response":null,"error":{"code":7,"message":null}}', "failed"),
    (b'{"custom_id":"x","response":null,"error":{"code":"batch_expired"}}', "expired"),
    (b'{"custom_id":"x","response":null,"error":{"code":"batch_cancelled"}}', "canceled"),
    (b'{"custom_id":"x","response":{"status_code":200,"body":{"usage":"none"}}}', "succeeded"),
    (b'{"custom_id":"x","response":{"status_code":200,"body":{"usage":[1]}}}', "succeeded"),
    (b'{"custom_id":"x","response":{"status_code":200,"body":{"error":{"code":1}}}}', "succeeded"),
]


@pytest.mark.parametrize(("raw", "outcome"), UNUSUAL)
async def test_unusual_line(lab: Lab, raw: bytes, outcome: str) -> None:
    """The content of a line decides, however a compatible server writes it; its bytes stay."""
    lab.provider.drop_line("x")
    lab.provider.add_line(raw)
    service, batch_id, _ = await submitted(lab, "x", "y")
    lab.complete_all()
    assert await collected(lab, service, batch_id) == {"x": outcome, "y": "succeeded"}
    assert (await lab.out(service, batch_id)).startswith(raw + b"\n")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"custom_id":"x","response":{"status_code":1000000000000000000000,"body":{}}}',
        (
            b'{"custom_id":"x","response":{"status_code":200,"body":{"usage":'
            b'{"input_tokens":1000000000000000000000}}}}'
        ),
    ],
)
async def test_number_that_fits_nowhere(lab: Lab, raw: bytes) -> None:
    """One absurd number in one line does not keep the other results from being recorded."""
    lab.provider.drop_line("x")
    lab.provider.add_line(raw)
    service, batch_id, _ = await submitted(lab, "x", "y")
    lab.complete_all()
    assert (await collected(lab, service, batch_id))["y"] == "succeeded"


@pytest.mark.parametrize(
    "body",
    [
        b'{"output":"half an emoji: \\ud83d"}',
        b'{"output":[{"logprob":-Infinity}]}',
        b'{"output":NaN}',
    ],
)
async def test_answer_that_only_lax_parsers_read(lab: Lab, body: bytes) -> None:
    """A paid answer with what Python's own json writes and reads is not called missing."""
    lab.provider.drop_line("x")
    lab.provider.add_line(b'{"custom_id":"x","response":{"status_code":200,"body":' + body + b"}}")
    service, batch_id, _ = await submitted(lab, "x", "y")
    lab.complete_all()
    assert (await collected(lab, service, batch_id))["x"] == "succeeded"


@pytest.mark.parametrize(
    "counts",
    [
        RequestCounts(),
        RequestCounts(3, 0, 0),
        RequestCounts(3, 99, 99),
        RequestCounts(999, 3, 0),
        RequestCounts(3, 0, 3),
    ],
)
async def test_wrong_counts(lab: Lab, counts: RequestCounts) -> None:
    """What the lines say outranks what the provider counted, and lies cost no endless loop."""
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    lab.provider.show_counts(provider_id, counts)
    assert await collected(lab, service, batch_id) == ALL
    assert lab.provider.count("download") < 10


async def test_line_that_the_counts_include_and_no_file_has(lab: Lab) -> None:
    """A row that the provider lost is looked for a few times, and then called missing."""
    lab.provider.drop_line("b")
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL | {"b": "missing"}
    assert 1 < lab.provider.count("download") < 10
    assert 120 < lab.clock.elapsed <= 200


async def test_all_failed(lab: Lab) -> None:
    """A batch with only an error file has its rows, with the provider's words."""
    for custom_id in "abc":
        body = {"error": {"code": "bad", "message": f"no {custom_id}"}}
        lab.provider.answer_with(custom_id, status_code=400, body=body)
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    assert lab.provider.look(provider_id).report.output_file_id is None
    assert set((await collected(lab, service, batch_id)).values()) == {"failed"}
    assert lab.provider.count("retrieve") == 1  # one file is enough of an end
    found = await lab.completions(service, batch_id)
    assert [each.error for each in found] == [RequestProblem("bad", f"no {i}") for i in "abc"]
    assert [each.status_code for each in found] == [400] * 3


async def test_failures_in_the_output_file(lab: Lab) -> None:
    """The line's content decides, not the file that it stands in."""
    lab.provider.drop_line("b")
    failure = {"custom_id": "b", "response": {"status_code": 500, "body": {}}, "error": None}
    lab.provider.add_line(msgspec.json.encode(failure), ResultFile.OUTPUT)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL | {"b": "failed"}


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("No such File object"),
        UnavailableError("down"),
        RateLimitedError("slow down", retry_after=40),
    ],
)
async def test_file_out_of_reach_for_a_while(lab: Lab, error: Exception) -> None:
    """A file that cannot be had is asked for again, with patience."""
    lab.provider.fail_next("download", error, times=4)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    if isinstance(error, RateLimitedError):
        assert min(lab.clock.sleeps) >= 40


async def test_failures_before_and_behind_a_short_file(lab: Lab) -> None:
    """A file that came, however short, shows that those before it are over."""
    downloads = itertools.count()

    def content(_file_id: str, whole: bytes) -> bytes:
        number = next(downloads)
        if number not in (4, 9):
            raise UnavailableError("down")
        return whole[: number // 9 * len(whole)]

    service = lab.service(cast("BatchProvider", Serving(lab.provider, content)))
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL


async def test_file_that_stays_out_of_reach(lab: Lab) -> None:
    """The error comes out, nothing is called missing, and a later collect has the rows."""
    lab.provider.fail_next("download", NotFoundError("No such File object"), times=7)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    await service.refresh(batch_id)
    with pytest.raises(NotFoundError):
        await service.collect(batch_id)
    assert not (await service.status(batch_id)).results_collected
    assert await collected(lab, service, batch_id) == ALL


async def test_error_file_is_read_although_the_output_file_is_gone(lab: Lab) -> None:
    """One file that is gone for good does not keep the rows of the other from being recorded."""
    lab.provider.answer_with("b", status_code=400)
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    await service.refresh(batch_id)
    file_id = lab.provider.look(provider_id).report.output_file_id
    assert file_id
    await lab.provider.delete_file(file_id)
    with pytest.raises(NotFoundError):
        await service.collect(batch_id)
    assert (await lab.outcomes(service, batch_id))["b"] == "failed"


@pytest.mark.parametrize("finished", [0, 1, 3])
async def test_expired(lab: Lab, finished: int) -> None:
    """Finished rows of an expired batch are kept; the rest has expired, and says so."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.expire(provider_id, finished=finished)
    expected = ["succeeded"] * finished + ["expired"] * (3 - finished)
    assert list((await collected(lab, service, batch_id)).values()) == expected
    found = await lab.completions(service, batch_id)
    assert [e.error and e.error.code for e in found[finished:]] == ["batch_expired"] * (
        3 - finished
    )
    assert (await service.status(batch_id)).status is BatchStatus.EXPIRED


@pytest.mark.parametrize("finished", [0, 2])
async def test_canceled(lab: Lab, finished: int) -> None:
    """Finished rows of a canceled batch are kept; the rest is canceled, and says so."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.work(provider_id, finished=0)
    await service.cancel(batch_id)
    lab.provider.finish_cancel(provider_id, finished=finished)
    expected = ["succeeded"] * finished + ["canceled"] * (3 - finished)
    assert list((await collected(lab, service, batch_id)).values()) == expected
    found = await lab.completions(service, batch_id)
    codes = [each.error and each.error.code for each in found[finished:]]
    assert codes == ["batch_cancelled"] * (3 - finished)


def _by_offset(lines: list[bytes]) -> dict[int, bytes]:
    ends = accumulate(map(len, lines), initial=0)
    return dict(zip(ends, lines, strict=False))


@pytest.mark.parametrize("whole_lines", [0, 1, 2])
async def test_short_file_of_requests_that_did_not_run(lab: Lab, whole_lines: int) -> None:
    """The provider does not count those, yet each of their lines comes into the log."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.expire(provider_id, finished=0)
    file_id = lab.provider.look(provider_id).report.error_file_id
    assert file_id
    lines = lab.provider.content(file_id).splitlines(keepends=True)
    lab.provider.shorten_download(after_bytes=len(b"".join(lines[:whole_lines])), times=2)
    assert set((await collected(lab, service, batch_id)).values()) == {"expired"}
    log = await lab.log(service, batch_id)
    applied = [each for each in log if isinstance(each, ResultApplied)]
    assert {each.offset: each.text + b"\n" for each in applied} == _by_offset(lines)
    assert len(applied) == len(lines)


@pytest.mark.parametrize("status_code", [200, 400])
async def test_short_file_of_requests_that_ran(lab: Lab, status_code: int) -> None:
    """Where nothing is said of the rest, there is a line of each that the provider counts."""
    answer = {"status_code": status_code, "body": {}}
    lab.provider.answer_with("a", status_code=status_code)
    for custom_id in "ac":
        lab.provider.drop_line(custom_id)
    lab.provider.add_line(msgspec.json.encode({"custom_id": "a", "response": answer}))
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.expire(provider_id, finished=2)
    report = lab.provider.look(provider_id).report
    assert report.output_file_id
    assert report.error_file_id is None
    first, _ = lab.provider.content(report.output_file_id).splitlines(keepends=True)
    lab.provider.shorten_download(after_bytes=len(first), times=2)
    assert list((await collected(lab, service, batch_id)).values())[1:] == ["succeeded", "expired"]


async def test_short_file_that_nobody_counts(lab: Lab) -> None:
    """The piece of a line at its end says that more is coming."""
    lab.provider.drop_line("c")
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.expire(provider_id, finished=2)
    lab.provider.show_counts(provider_id, RequestCounts())
    file_id = lab.provider.look(provider_id).report.output_file_id
    assert file_id
    size = len(lab.provider.content(file_id))
    lab.provider.shorten_download(after_bytes=3 * size // 4, times=2)
    assert await collected(lab, service, batch_id) == ALL | {"c": "expired"}
    assert await skipped(lab, service, batch_id) == []


async def test_short_output_file_that_tells_of_the_rest(lab: Lab) -> None:
    """Who writes a line of one request that did not run writes one of each."""
    for custom_id in "bc":
        lab.provider.drop_line(custom_id)
        error = b'"error":{"code":"batch_expired","message":"of %s"}' % custom_id.encode()
        lab.provider.add_line(
            b'{"custom_id":"%s","response":null,%s}' % (custom_id.encode(), error)
        )
    serving: Any = Serving(lab.provider, at_first(lambda whole: whole[whole.index(b"\n") + 1 :]))
    service = lab.service(serving)
    batch_id = await service.submit(lab.lines())
    lab.provider.expire(lab.provider.batch_ids[-1], finished=1)
    assert await collected(lab, service, batch_id) == ALL | {"b": "expired", "c": "expired"}
    errors = [each.error for each in (await lab.completions(service, batch_id))[1:]]
    assert [error and error.message for error in errors] == ["of b", "of c"]


@pytest.mark.parametrize("end", ["expire", "finish_cancel"])
async def test_short_file_behind_those_that_failed(lab: Lab, end: str) -> None:
    """All that the provider counts is there, but what it says of the rest comes later."""
    lab.provider.answer_with("a", status_code=400)
    for custom_id in "bc":
        lab.provider.drop_line(custom_id)
        error = b'"error":{"code":"not_run","message":"It did not run."}'
        line = b'{"custom_id":"%s","response":null,%s}' % (custom_id.encode(), error)
        lab.provider.add_line(line, ResultFile.ERROR)
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.work(provider_id, finished=1)
    if end == "finish_cancel":
        await service.cancel(batch_id)
    getattr(lab.provider, end)(provider_id)
    file_id = lab.provider.look(provider_id).report.error_file_id
    assert file_id
    first, *_ = lab.provider.content(file_id).splitlines(keepends=True)
    lab.provider.shorten_download(after_bytes=len(first), times=2)
    outcomes = await collected(lab, service, batch_id)
    assert outcomes["a"] == "failed"
    found = await lab.completions(service, batch_id)
    assert [each.error and each.error.code for each in found[1:]] == ["not_run", "not_run"]


@pytest.mark.parametrize("end", ["expire", "finish_cancel"])
async def test_rest_without_lines(lab: Lab, end: str) -> None:
    """Where the error file says nothing of the rest, the batch's end decides."""
    lab.provider.drop_line("c")
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.work(provider_id, finished=2)
    if end == "finish_cancel":
        await service.cancel(batch_id)
    getattr(lab.provider, end)(provider_id)
    outcomes = await collected(lab, service, batch_id)
    rest, code = {
        "expire": ("expired", "batch_expired"),
        "finish_cancel": ("canceled", "batch_cancelled"),
    }[end]
    assert outcomes == ALL | {"c": rest}
    error = (await lab.completions(service, batch_id))[2].error
    assert error
    assert error.code == code
    last = msgspec.json.decode((await lab.out(service, batch_id)).splitlines()[2])
    assert last["response"] is None
    assert last["error"]["code"] == code


class Bare:
    """The provider, but that its first report of an end says nothing of the results."""

    def __init__(self, provider: FakeBatchProvider, times: int) -> None:
        self._provider = provider
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        seen = await self._provider.retrieve_batch(batch_id)
        if not seen.report.status.is_terminal or self._times == 0:
            return seen
        self._times -= 1
        bare = evolve(
            seen.report, output_file_id=None, error_file_id=None, request_counts=RequestCounts()
        )
        return evolve(seen, report=bare)


@pytest.mark.parametrize(
    ("end", "times"), [("complete", 1), ("complete", 3), ("expire", 1), ("finish_cancel", 1)]
)
async def test_an_end_that_says_nothing_of_the_results(lab: Lab, end: str, times: int) -> None:
    """It is looked at once more at least before paid rows count as missing."""
    bare: Any = Bare(lab.provider, times)
    service = lab.service(bare)
    batch_id = await service.submit(lab.lines())
    provider_id = lab.provider.batch_ids[-1]
    lab.provider.work(provider_id, finished=2)
    if end == "finish_cancel":
        await service.cancel(batch_id)
    getattr(lab.provider, end)(provider_id)
    rest = {"complete": "succeeded", "expire": "expired", "finish_cancel": "canceled"}[end]
    assert await collected(lab, service, batch_id) == ALL | {"c": rest}


async def ended_barely(lab: Lab) -> tuple[BatchService, UUID]:
    """Give a batch that has ended, and whose report named no file."""
    bare: Any = Bare(lab.provider, 1)
    service = lab.service(bare)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    await service.refresh(batch_id)
    return service, batch_id


async def test_looks_that_fail_say_nothing_of_files(lab: Lab) -> None:
    """While none is named, an outage does not use the attempts up."""
    service, batch_id = await ended_barely(lab)
    lab.provider.fail_next("retrieve", UnavailableError("down"), times=5)
    lab.clock.sleeps.clear()
    await service.collect(batch_id)
    assert await lab.outcomes(service, batch_id) == ALL
    assert lab.clock.sleeps == [1, 2, 5, 15, 30]


async def test_files_that_are_named_late_and_collected_as_they_are(lab: Lab) -> None:
    """What there is now counts, not what the end said."""
    service, batch_id = await ended_barely(lab)
    await service.collect(batch_id, as_is=True)
    assert await lab.outcomes(service, batch_id) == ALL
    await service.collect(batch_id, as_is=True)
    assert lab.provider.count("download") == 1


async def test_a_wrong_key_does_not_settle_a_batch_without_files(lab: Lab) -> None:
    """The error is told, and the collection goes on when it is called again."""
    service, batch_id = await ended_barely(lab)
    lab.provider.fail_next("retrieve", UnauthorizedError("wrong key", http_status=401))
    with pytest.raises(UnauthorizedError):
        await service.collect(batch_id)
    assert await collected(lab, service, batch_id) == ALL


async def test_one_file_that_is_named_twice(lab: Lab) -> None:
    """It is read once: as the second one each of its lines would be a repetition."""
    serving: Any = Serving(lab.provider, lambda _, whole: whole)
    serving.names_twice = True
    service = lab.service(serving)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    assert await collected(lab, service, batch_id) == ALL
    assert serving.downloads == 1
    assert await skipped(lab, service, batch_id) == []


async def test_failed_batch_settles_all(lab: Lab) -> None:
    """A batch that failed as a whole has a failed outcome for each request, without a download."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.fail(provider_id)
    assert set((await collected(lab, service, batch_id)).values()) == {"failed"}
    assert (lab.provider.count("download"), lab.provider.count("retrieve")) == (0, 1)


async def test_bodies_stay_intact(lab: Lab) -> None:
    """Every byte of a line is kept: odd spacing, escapes, key order, line separators, length."""
    odd = (
        b' { "response" : {"body":{"output":"\\u00e4 \xc3\xa4 \xe2\x80\xa8 \\u2028 \\n '
        + b"x" * 300_000
        + b'" , "n":1.10e+02}, "status_code":200}, "z":1, "custom_id":"x" } \r'
    )
    lab.provider.chunk_size = 1_000
    lab.provider.drop_line("x")
    lab.provider.add_line(odd)
    service, batch_id, _ = await submitted(lab, "x", "y")
    lab.complete_all()
    assert (await collected(lab, service, batch_id))["x"] == "succeeded"
    found = await lab.completions(service, batch_id)
    assert found[0].line == odd
    assert found[0].body["output"].startswith("\u00e4 \u00e4 \u2028 \u2028 \n")


async def test_custom_ids_of_every_kind(lab: Lab) -> None:
    """Custom_ids are compared as text, whatever their escapes, length and alphabet."""
    ids = ("\u00e4", "a\u0308", "\U0001f600", " a", "a ", "A", "a", "x" * 500, "0", "\n.", "null")
    service, batch_id, _ = await submitted(lab, *ids)
    lab.complete_all()
    assert await collected(lab, service, batch_id) == dict.fromkeys(ids, "succeeded")


async def test_results_of_a_chunk_stand_in_the_order_of_the_requests(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads results in input order finds those of one page of the database together."""
    monkeypatch.setattr(collection, "CHUNK_LINES", 4)
    service, batch_id, _ = await submitted(lab, *map(str, range(9)))
    lab.complete_all()
    await collected(lab, service, batch_id)
    log = [e for e in await lab.log(service, batch_id) if isinstance(e, ResultApplied)]
    chunks = {by: [e.number for e in log if e.by == by] for by in (e.by for e in log)}
    assert [len(numbers) for numbers in chunks.values()] == [4, 4, 1]
    assert all(numbers == sorted(numbers) for numbers in chunks.values())
    assert [e.number for e in log] != list(range(1, 10))


async def test_crash_while_applying_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next process begins behind the last line committed, and applies no line twice."""
    monkeypatch.setattr(collection, "CHUNK_LINES", 2)
    service, batch_id, _ = await submitted(lab, *map(str, range(9)))
    size = await output_size(lab)
    await service.refresh(batch_id)
    lab.provider.chunk_size = size // 9
    pieces = 0

    async def die(boundary: str) -> None:
        nonlocal pieces
        pieces += boundary == "after piece"
        if pieces == 6:
            raise lab.Crash

    with pytest.raises(lab.Crash):
        await lab.watched(die).collect(batch_id)
    before = [e for e in await lab.log(service, batch_id) if isinstance(e, ResultApplied)]
    assert 2 <= len(before) < 9
    lab.close()
    service = lab.service()
    assert set((await collected(lab, service, batch_id)).values()) == {"succeeded"}
    after = [e for e in await lab.log(service, batch_id) if isinstance(e, ResultApplied)]
    assert after[: len(before)] == before
    assert len({each.offset for each in after}) == len(after) == 9
    assert await skipped(lab, service, batch_id) == []


async def test_collect_before_the_end_is_refused(lab: Lab) -> None:
    """Results are settled only after the end, for which nobody waits here."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.work(provider_id, finished=2)
    await service.refresh(batch_id)
    with pytest.raises(NotTerminalError):
        await service.collect(batch_id)
    assert lab.clock.sleeps == []


async def test_totals_are_recorded(lab: Lab) -> None:
    """The last event says what the batch came to, in agreement with the views."""
    lab.provider.answer_with("b", status_code=500)
    service, batch_id, _ = await submitted(lab)
    lab.complete_all()
    outcomes = await collected(lab, service, batch_id)
    last = (await lab.log(service, batch_id))[-1]
    assert isinstance(last, ResultsCollected)
    assert last.totals == (await service.status(batch_id)).totals
    assert last.totals.outcomes.succeeded == list(outcomes.values()).count("succeeded") == 2


async def test_file_that_shows_up_after_the_end(lab: Lab) -> None:
    """A server that names the output file only after it said "completed" loses no result."""
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    batch = lab.provider._account.batch(provider_id)
    hidden, batch.output_file_id = batch.output_file_id, None
    await service.refresh(batch_id)
    batch.output_file_id = hidden
    assert await collected(lab, service, batch_id) == ALL
    names = [type(event).__name__ async for event in service.history(batch_id)]
    assert names.count("ReportAmended") == 1


@pytest.mark.parametrize("schedule", [(60.0,), (60.0, 120.0), (60.0, 120.0, 300.0, 600.0)])
async def test_short_files_whatever_the_schedule(lab: Lab, schedule: tuple[float, ...]) -> None:
    """They are fetched as often again, with its last time repeated where it is short."""
    lab.provider.drop_line("b")
    service = lab.service(poll_schedule=schedule)
    batch_id = await service.submit(lab.lines())
    lab.complete_all()
    lab.clock.pass_time(600)
    lab.clock.sleeps.clear()
    assert (await service.wait(batch_id)).totals.outcomes.missing == 1
    last = min(60.0, schedule[-1])
    assert lab.clock.sleeps == [60.0, last, last]


async def test_what_was_said_of_lines_outlasts_what_follows(lab: Lab) -> None:
    """A handler that fails again and again does not take the reasons of the provider away."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    problem = BatchProblem("invalid_json", "bad temperature", "body.temperature", line=2)
    lab.provider.fail(lab.provider.batch_ids[0], [problem])
    await service.wait(batch_id)
    before = await lab.completions(service, batch_id)
    assert before[1].error == RequestProblem("invalid_json", "bad temperature")
    batch = lab.batches.get(batch_id)
    for number in range(500):
        stamp = lab.runtimes[-1].stamp()
        step, problem_text = WorkStep.COMPLETION_HANDLER, f"failure {number}"
        batch.record_work_failed(step, problem_text, retry_at=None, stamp=stamp)
    lab.batches.save_batch(batch)
    assert await lab.completions(service, batch_id) == before


async def ended_too_early(lab: Lab) -> tuple[BatchService, UUID]:
    """Record an end that the provider takes back at the next look."""
    service = lab.service()
    batch_id = await service.submit(lab.lines())
    provider_id = lab.provider.batch_ids[0]
    lab.provider.show_status(provider_id, "completed")
    assert (await service.refresh(batch_id)).status is BatchStatus.ENDED
    lab.provider.show_status(provider_id, None)
    return service, batch_id


async def test_an_end_that_is_taken_back(lab: Lab) -> None:
    """Its results come when the batch is over, and nobody is told to pay for them again."""
    service, batch_id = await ended_too_early(lab)
    lab.clock.after(5 * 3_600, lab.complete_all)
    told: list[Progress] = []
    assert (await service.wait(batch_id, told.append)).totals.outcomes.succeeded == 3
    reason = "the provider reported the end of batch_00000001, and says validating now"
    assert {each.reason[: len(reason)] for each in told if isinstance(each, Delayed)} == {reason}
    await lab.assert_each_once(service, batch_id)


async def test_an_end_with_a_file_that_is_taken_back(lab: Lab) -> None:
    """What the file holds is applied; for the others the batch is waited for."""
    service, batch_id, provider_id = await submitted(lab)
    lab.provider.work(provider_id, finished=1)
    seen, files = lab.provider.look(provider_id), lab.provider._account.files
    early = evolve(seen.report, status=BatchStatus.ENDED, raw_status="completed")
    files["file-early"] = b""
    await service._lifecycle.watch.record_seen(
        batch_id, evolve(seen, report=evolve(early, output_file_id="file-early"))
    )
    lab.clock.after(3_600, lab.complete_all)
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3
    await lab.assert_each_once(service, batch_id)


async def test_an_end_that_is_taken_back_and_collected_as_it_is(lab: Lab) -> None:
    """Who says so waits for nothing; the rows can be asked for when they are there."""
    service, batch_id = await ended_too_early(lab)
    assert (await service.collect(batch_id, as_is=True)).totals.outcomes.missing == 3
    assert lab.clock.elapsed < 60
    lab.complete_all()
    assert (await service.collect_again(batch_id)).totals.outcomes.succeeded == 3


async def test_files_of_an_end_that_is_taken_back(lab: Lab) -> None:
    """They were named once, and are there for who waits for nothing more."""
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    await service.refresh(batch_id)
    seen = lab.provider.look(provider_id)
    bare = evolve(
        seen.report,
        status=BatchStatus.IN_PROGRESS,
        raw_status="in_progress",
        output_file_id=None,
        error_file_id=None,
    )
    await service._lifecycle.watch._amend_seen(batch_id, evolve(seen, report=bare))
    summary = await service.status(batch_id)
    assert summary.raw_status == "in_progress"
    lab.provider.show_status(provider_id, "in_progress")
    outcomes = (await service.collect(batch_id, as_is=True)).totals.outcomes
    assert outcomes.succeeded == 3


async def test_what_is_at_work_again_is_not_asked_once_more(lab: Lab) -> None:
    """It may still answer, for money; what was canceled and collected is asked."""
    service, batch_id = await ended_too_early(lab)
    await service.collect(batch_id, as_is=True)
    with pytest.raises(InputError, match=f"may still answer: `cancel {batch_id}`"):
        await service.retry(batch_id)
    assert lab.provider.count("create") == 1
    await service.cancel(batch_id)
    lab.provider.finish_cancel(lab.provider.batch_ids[0])
    await service.collect_again(batch_id)
    await service.retry(batch_id)
    assert lab.provider.count("create") == 2


async def test_what_is_at_work_again_and_has_all_results_is_asked_once_more(lab: Lab) -> None:
    """Nothing of it can still come; a stale answer of the provider keeps nobody from a retry."""
    service, batch_id, provider_id = await submitted(lab)
    lab.complete_all()
    await service.refresh(batch_id)
    lab.provider.show_status(provider_id, "in_progress")
    summary = await service.collect(batch_id, as_is=True)
    assert (summary.raw_status, summary.totals.outcomes.succeeded) == ("in_progress", 3)
    await service.retry(batch_id, only=[Outcome.SUCCEEDED])
    assert lab.provider.count("create") == 2


async def test_an_end_that_is_taken_back_is_canceled(lab: Lab) -> None:
    """What runs costs money: the wish is recorded and told, and what has come of it is kept."""
    service, batch_id = await ended_too_early(lab)
    provider_id = lab.provider.batch_ids[0]
    lab.provider.work(provider_id, finished=2)
    summary = await service.cancel(batch_id)
    assert (summary.status, summary.raw_status) == (BatchStatus.ENDED, "cancelling")
    assert summary.cancel_requested
    lab.clock.after(600, partial(lab.provider.finish_cancel, provider_id))
    outcomes = (await service.wait(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled) == (2, 1)
    assert (lab.provider.count("cancel"), lab.clock.elapsed < 7_200) == (1, True)
    await lab.assert_each_once(service, batch_id)
    facts = await lab.facts(service, batch_id)
    after_wish = facts[facts.index("CancelRequested") + 1 :]
    assert after_wish[:2] == ["ReportAmended", "ReportAmended"]


async def test_a_cancellation_of_an_end_taken_back_that_fails(lab: Lab) -> None:
    """The error is told, and whoever looks at the batch next cancels it, once."""
    service, batch_id = await ended_too_early(lab)
    provider_id = lab.provider.batch_ids[0]
    lab.provider.fail_next("cancel", UnavailableError("down"), times=2)
    with pytest.raises(UnavailableError, match="down"):
        await service.cancel(batch_id)
    with pytest.raises(UnavailableError, match="down"):
        await service.cancel(batch_id)
    assert (await lab.facts(service, batch_id)).count("CancelRequested") == 1
    worker = service.worker()
    lab.clock.after(60, partial(lab.provider.finish_cancel, provider_id))
    assert await worker.run(until_idle=True) == 0
    assert lab.provider.count("cancel") == 3
    assert (await service.status(batch_id)).raw_status == "cancelled"


async def test_a_cancellation_of_an_end_taken_back_that_is_answered_at_once(lab: Lab) -> None:
    """There is nothing more to wait for."""
    service, batch_id = await ended_too_early(lab)
    lab.provider.fail_next("cancel", UnavailableError("down"))
    with pytest.raises(UnavailableError):
        await service.cancel(batch_id)
    prompt: Any = Prompt(lab.provider)
    told: list[Progress] = []
    summary = await lab.service(prompt).collect(batch_id, told.append)
    assert (summary.raw_status, summary.results_collected) == ("cancelled", True)
    reasons = [each.reason for each in told if isinstance(each, Delayed)]
    assert not [reason for reason in reasons if "reported the end" in reason]


async def test_a_cancel_that_finds_an_end_not_taken_back(lab: Lab) -> None:
    """It is too late then, as after any end."""
    service, batch_id = await ended_too_early(lab)
    lab.complete_all()
    with pytest.raises(BatchFinishedError, match="too late"):
        await service.cancel(batch_id)
    assert lab.provider.count("cancel") == 0


async def test_a_second_cancel_of_an_end_that_is_taken_back(lab: Lab) -> None:
    """The first one is under way."""
    service, batch_id = await ended_too_early(lab)
    await service.cancel(batch_id)
    with pytest.raises(AlreadyCancelingError):
        await service.cancel(batch_id)
    assert lab.provider.count("cancel") == 1


async def test_an_end_that_is_taken_back_and_canceled_after_it_was_collected_as_it_is(
    lab: Lab,
) -> None:
    """Who waits for nothing more has a running batch even so; its rows can be asked for."""
    service, batch_id = await ended_too_early(lab)
    provider_id = lab.provider.batch_ids[0]
    lab.provider.work(provider_id, finished=1)
    await service.collect(batch_id, as_is=True)
    assert (await service.cancel(batch_id)).raw_status == "cancelling"
    lab.provider.finish_cancel(provider_id)
    outcomes = (await service.collect_again(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled) == (1, 2)


async def test_an_end_that_is_taken_back_while_the_provider_is_out_of_reach(lab: Lab) -> None:
    """Nobody knows what has come of it: its rows are not settled meanwhile."""
    service, batch_id = await ended_too_early(lab)
    lab.clock.after(5, lambda: lab.provider.fail_always(UnavailableError("down")))
    lab.clock.after(20 * 3_600, lab.provider.heal)
    lab.clock.after(20 * 3_600, lab.complete_all)
    assert (await service.wait(batch_id)).totals.outcomes.succeeded == 3


@pytest.mark.parametrize("fails", [False, True])
async def test_an_end_that_is_taken_back_for_ever(lab: Lab, *, fails: bool) -> None:
    """At the maximum age it is canceled, or nobody would; what has come of it is taken."""
    service, batch_id = await ended_too_early(lab)
    provider_id = lab.provider.batch_ids[0]
    lab.provider.work(provider_id, finished=2)
    if fails:
        lab.provider.fail_next("cancel", RefusedError("not now"), times=1_000)
    summary = await service.wait(batch_id)
    assert summary.totals.outcomes.missing == 3
    assert lab.clock.elapsed >= 93_600
    if fails:
        return
    assert lab.provider.count("cancel") == 1
    lab.provider.finish_cancel(provider_id)
    outcomes = (await service.collect_again(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled) == (2, 1)


async def test_the_late_end_of_an_end_that_is_taken_back(lab: Lab) -> None:
    """A cancellation takes minutes, and what it leaves is paid for."""
    service, batch_id = await ended_too_early(lab)
    provider_id = lab.provider.batch_ids[0]
    lab.provider.work(provider_id, finished=2)
    cancel = lab.provider.cancel_batch

    async def canceled_in_ten_minutes(batch_id: str) -> ProviderBatch:
        lab.clock.after(600, partial(lab.provider.finish_cancel, batch_id))
        return await cancel(batch_id)

    lab.provider.cancel_batch = canceled_in_ten_minutes  # type: ignore[method-assign]
    outcomes = (await service.wait(batch_id)).totals.outcomes
    assert (outcomes.succeeded, outcomes.canceled) == (2, 1)
    assert lab.clock.elapsed >= 93_600
