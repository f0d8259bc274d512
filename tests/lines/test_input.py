"""A whole input: what is stripped, what one line means for the others, and the chunks."""

import json
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from batchtrail.application.errors import InputError
from batchtrail.application.input import check_input
from batchtrail.application.request_lines import blocks, checked_chunks, parse_request_line
from batchtrail.domain.errors import RequestRefusedError
from batchtrail.domain.requests import RequestCheck
from batchtrail.domain.values import Limits, RequestChunk


def line(custom_id: object = "a", **other: Any) -> bytes:
    fields = {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/responses",
        "body": {"model": "gpt-5-nano"},
    }
    return json.dumps({**fields, **other}).encode() + b"\n"


def chunks(limits: Limits, lines: Iterable[bytes], size: int = 1 << 20) -> list[RequestChunk]:
    read = blocks(BytesIO(b"".join(lines)), limits, block_bytes=size)
    return list(checked_chunks(read, RequestCheck(limits)))


def refusal(limits: Limits, *lines: bytes) -> tuple[int | None, str | None, str]:
    """What is refused of these lines, wherever the blocks end in which they are looked at."""
    told = []
    two = len(b"".join(lines[:2]))
    for size in (1 << 20, two, two + 1):
        with pytest.raises(RequestRefusedError) as refused:
            chunks(limits, lines, size)
        told.append((refused.value.line, refused.value.field, refused.value.problem))
    assert told[0] == told[1]
    return told[0]


# What is stripped


@pytest.mark.parametrize(
    "given_lines",
    [
        [b"one\n", b"two\n"],
        [b"one\n", b"two"],
        [b"\xef\xbb\xbfone\n", b"two\n"],
        [b"one\r\n", b"two\r\n"],
        [b"\xef\xbb\xbfone\r\n", b"two\r\n", b"\r\n", b"\n", b" \t\n", b""],
    ],
)
@pytest.mark.parametrize("size", [1, 4, 8, 100])
def test_decoration_is_left_out(limits: Limits, given_lines: list[bytes], size: int) -> None:
    """BOM, line ends and blank lines at the end do not reach the provider."""
    file = BytesIO(b"".join(given_lines))
    assert b"".join(blocks(file, limits, block_bytes=size)) == b"one\ntwo\n"


@pytest.mark.parametrize("size", [1, 8, 100])
def test_only_decoration_is_left_out(limits: Limits, size: int) -> None:
    """Spaces, other control bytes and a BOM anywhere else are the user's."""
    odd = b" one \n\xef\xbb\xbftwo\na\rb\x0bc\x85\r\n" + "\u2028x \t\n".encode()
    assert b"".join(blocks(BytesIO(odd), limits, block_bytes=size)) == odd.replace(b"\r\n", b"\n")
    twice = BytesIO(b"\xef\xbb\xbf\xef\xbb\xbfx")
    assert list(blocks(twice, limits)) == [b"\xef\xbb\xbfx\n"]


def test_blank_lines_begin_the_next_block(limits: Limits) -> None:
    """Whether they stand at the end shows only there; one stands for all of them."""
    file = BytesIO(b"a\n\nbb\ncc\n\n\n\n\ndd\n")
    found = list(blocks(file, limits, block_bytes=3))
    assert found == [b"a\n", b"\nbb\n", b"cc\n", b"\n\ndd\n"]


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b"  \t \n"])
@pytest.mark.parametrize("count", [1, 3])
def test_blank_line_in_the_middle_is_refused(limits: Limits, blank: bytes, count: int) -> None:
    """Every line of the input is one line of the results: the first blank one is named."""
    assert refusal(limits, line("a"), line("b"), *[blank] * count, line("c")) == (
        3,
        None,
        "is blank; remove it",
    )


def test_blank_line_at_the_beginning_is_refused(limits: Limits) -> None:
    """Also when a BOM stands on it."""
    assert refusal(limits, b"\xef\xbb\xbf\n", line("a"))[0] == 1


@pytest.mark.parametrize("lines", [[], [b""], [b"\n"], [b"\xef\xbb\xbf"], [b"\r\n", b"\n"]])
def test_empty_input_has_no_chunks(limits: Limits, lines: list[bytes]) -> None:
    """Nothing to send is for the caller to refuse."""
    assert chunks(limits, lines) == []


# What one line means for the others


@pytest.mark.parametrize(
    ("bad", "field", "problem"),
    [
        (line("a"), "custom_id", "'a' was used on line 1 already"),
        (line(""), "custom_id", "is blank"),
        (line(" "), "custom_id", "is blank"),
        (line(method="GET", custom_id="c"), "method", "'POST'"),
        (line("c", url="/v1/embeddings"), "url", "differs from the batch's endpoint"),
        (line("c", url="/v1/files"), "url", "differs from the batch's endpoint"),
        (line("c", body={"model": "gpt-5"}), "body.model", "differs from the batch's model"),
        (line("c", body={}), "body.model", "is missing"),
        (line("c", body={"model": "gpt-5-nano", "stream": True}), "body.stream", "cannot stream"),
        (line(5), "custom_id", "must be a string"),
        (b"{\n", None, "is not valid JSON"),
        (b"\xff\n", None, "is not UTF-8"),
        (line("c", body={"model": "gpt-5-nano", "x": "x" * 1_000}), None, "1,000 bytes"),
    ],
)
def test_bad_line_is_named(limits: Limits, bad: bytes, field: str | None, problem: str) -> None:
    """The third line, the field, and the sentence."""
    where, what, sentence = refusal(limits, line("a"), line("b"), bad, line("d"))
    assert (where, what) == (3, field)
    assert problem in sentence


def test_request_limit(limits: Limits) -> None:
    """Four are taken and the fifth is named."""
    four = [line(name) for name in "abcd"]
    assert [chunk.count for chunk in chunks(limits, four)] == [4]
    where, what, sentence = refusal(limits, *four, line("e"))
    assert (where, what) == (5, None)
    assert "limit of 4 requests" in sentence


def test_byte_limit_is_of_what_is_sent(limits: Limits) -> None:
    """A missing last newline is sent too; a carriage return is not."""
    exact = attrs.evolve(limits, max_bytes=2 * len(line("a")))
    sent = line("a") + line("b")
    assert chunks(exact, [line("a"), line("b").rstrip()])[0].lines == sent
    assert chunks(exact, [line("a").replace(b"\n", b"\r\n"), line("b")])[0].lines == sent
    assert refusal(attrs.evolve(exact, max_bytes=len(sent) - 1), line("a"), line("b"))[0] == 2


@pytest.mark.parametrize("size", [1, 100, 400])
def test_line_longer_than_a_batch_is_not_read_on(limits: Limits, size: int) -> None:
    """It is named behind the lines before it, and the rest of the file stays where it is."""
    file = BytesIO(line("a") + line("b") + b"x" * 3_000_000)
    with pytest.raises(RequestRefusedError) as refused:
        list(checked_chunks(blocks(file, limits, block_bytes=size), RequestCheck(limits)))
    assert str(refused.value) == (
        "line 3: is longer than the 1,000 bytes that one batch may have; write one request a line"
    )
    assert file.tell() < 2_000_000


def test_wrong_line_is_named_before_a_long_one(limits: Limits) -> None:
    """The first line that is wrong, also when another could not even be read."""
    for wrong, problem in ((b"{}\n", "is missing"), (b"\n", "is blank"), (b"\n\n", "is blank")):
        where, _, sentence = refusal(limits, line("a"), wrong, b"x" * 2_000_000)
        assert where == 2
        assert problem in sentence


LIMITS = Limits(12, 1_500, frozenset({"/v1/responses", "/v1/embeddings"}))
PARTS = [
    *(line(name) for name in "aaabcdefghijklmno"),
    line("é", body={"model": "gpt-5-nano", "input": "\u2028"}),
    json.dumps({**json.loads(line("ü")), "x": "äöü"}, ensure_ascii=False).encode() + b"\n",
    line("p").replace(b"\n", b"\r\n"),
    line("q", body={"model": "gpt-5-nano", "stream": False}),
    line("r", body={"model": "gpt-5-nano", "stream": True}),
    line("s", body={"model": "gpt-5"}),
    line("t", url="/v1/embeddings"),
    line("u", method="GET"),
    line(" "),
    line("v")[:-1] + b" x" * 200 + b"\n",
    line("w", body={"model": "gpt-5-nano", "x": "w"}).replace(b'"w"}', b'"\xff"}'),
    b"\xef\xbb\xbf" + line("x"),
    b"{}\n",
    b"\n",
    b" \t\r\n",
]


def admit(lines: list[bytes], check: RequestCheck) -> None:
    """Look at each line alone."""
    for number, each in enumerate(lines, 1):
        raw = each.rstrip(b"\r\n")
        if not raw.strip():
            raise RequestRefusedError("is blank; remove it", line=number)
        check.admit(parse_request_line(number, raw))


def told(lines: list[bytes]) -> object:
    """What is said of an input, and what is sent of it, line by line."""
    check = RequestCheck(LIMITS)
    while lines and not lines[-1].strip():
        lines.pop()
    try:
        admit(lines, check)
    except RequestRefusedError as error:
        return str(error)
    return b"".join(each.rstrip(b"\r\n") + b"\n" for each in lines), check.size


@given(st.lists(st.sampled_from(PARTS), max_size=14), st.integers(1, 1_600))
def test_block_by_block_is_as_line_by_line(lines: list[bytes], size: int) -> None:
    """Wherever blocks end, the same line is refused for the same reason, or the same is sent."""
    check = RequestCheck(LIMITS)
    read = blocks(BytesIO(b"".join([b"\xef\xbb\xbf", *lines])), LIMITS, block_bytes=size)
    found: object
    try:
        found = b"".join([chunk.lines for chunk in checked_chunks(read, check)]), check.size
    except RequestRefusedError as error:
        found = str(error)
    assert found == told(lines)


# The chunks


def test_chunks_hold_the_lines_as_they_will_be_sent(limits: Limits) -> None:
    """Numbers go on from chunk to chunk, and each line ends with a newline."""
    names = ["a", "b", "c"]
    lines = [line(name) for name in names]
    first, last = chunks(limits, [lines[0], lines[1], lines[2].rstrip()], 2 * len(lines[0]))
    assert (first.first_number, first.custom_ids) == (1, ("a", "b"))
    assert (last.first_number, last.custom_ids) == (3, ("c",))
    assert first.lines + last.lines == b"".join(lines)
    assert (last.endpoint, last.model) == ("/v1/responses", "gpt-5-nano")


def test_line_larger_than_a_chunk_stands_alone(limits: Limits) -> None:
    """No line is cut."""
    sizes = [chunk.count for chunk in chunks(limits, [line("a"), line("b"), line("c")], 1)]
    assert sizes == [1, 1, 1]


def test_addition_goes_on_with_the_numbers(limits: Limits) -> None:
    """Lines added later are numbered behind the earlier ones, in the batch's own count."""
    check = RequestCheck(limits)
    list(checked_chunks([line("a"), line("b")], check))
    (chunk,) = checked_chunks([line("c")], check)
    assert chunk.first_number == 3
    with pytest.raises(
        RequestRefusedError, match="line 4, field custom_id: 'a' was used on line 1"
    ):
        list(checked_chunks([line("a")], check))


def test_addition_numbers_blank_lines_alike(limits: Limits) -> None:
    """One way of counting in all sentences about one batch."""
    check = RequestCheck(limits)
    list(checked_chunks([line("a"), line("b")], check))
    with pytest.raises(RequestRefusedError) as refused:
        list(checked_chunks([b"\n", line("c")], check))
    assert refused.value.line == 3


def test_first_line_of_an_addition_loses_its_bom(limits: Limits) -> None:
    """Each addition is a file of its own, whatever number its first line has."""
    check = RequestCheck(limits)
    list(checked_chunks([line("a")], check))
    file = BytesIO(b"\xef\xbb\xbf" + line("b") + line("c"))
    (chunk,) = checked_chunks(blocks(file, limits), check)
    assert (chunk.first_number, chunk.lines) == (2, line("b") + line("c"))


@pytest.mark.parametrize("after", range(5))
@pytest.mark.parametrize("size", [1, 100, 200])
def test_checked_input_goes_on_behind_what_is_recorded(
    limits: Limits, after: int, size: int
) -> None:
    """Also in the middle of a chunk: the log may hold chunks of another size."""
    lines = [line(name) for name in "abcd"]

    def read() -> Iterator[bytes]:
        return blocks(BytesIO(b"".join(lines)), limits, block_bytes=size)

    found = list(check_input("it", read, limits).chunks(after=after))
    assert b"".join(chunk.lines for chunk in found) == b"".join(lines[after:])
    assert "".join(name for chunk in found for name in chunk.custom_ids) == "abcd"[after:]
    numbers = [chunk.first_number for chunk in found]
    assert numbers == [after + 1 + sum(c.count for c in found[:i]) for i in range(len(found))]


def test_only_what_was_checked_is_recorded(limits: Limits) -> None:
    """The first chunk that differs is not given on, nor any behind it."""
    readings = iter([b"".join(map(line, "abcd")), b"".join(map(line, "abxd"))])

    def read() -> Iterator[bytes]:
        return blocks(BytesIO(next(readings)), limits, block_bytes=1)

    chunks = check_input("it", read, limits).chunks()
    assert [next(chunks).lines, next(chunks).lines] == [line("a"), line("b")]
    with pytest.raises(InputError, match="it changed while it was being read"):
        next(chunks)


@given(
    names=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, max_size=30),
    size=st.integers(1, 2_000),
)
def test_any_chunking_sends_the_same_bytes(names: list[str], size: int) -> None:
    """Where chunks are cut changes neither bytes nor numbers nor custom_ids."""
    names = [name for name in names if name.strip()]
    wide = Limits(100, 1 << 20, frozenset({"/v1/responses"}))
    lines = [line(name) for name in names]
    found = chunks(wide, lines, size)
    assert b"".join(chunk.lines for chunk in found) == b"".join(lines)
    assert [name for chunk in found for name in chunk.custom_ids] == names
    numbers = [chunk.first_number for chunk in found]
    assert numbers == [1 + sum(c.count for c in found[:i]) for i in range(len(found))]
