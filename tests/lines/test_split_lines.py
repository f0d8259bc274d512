"""A stream of bytes becomes lines: at the newline byte and nowhere else."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given, strategies as st

from batchtrail.application.raw_lines import RawLine, split_lines


async def stream(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def lines_of(*chunks: bytes, offset: int = 0) -> list[RawLine]:
    return [line async for some in split_lines(stream(chunks), offset) for line in some]


_bytes = st.lists(st.sampled_from([b"\n", b"\r", b"a", b"\xe2\x80\xa8", b"\x00"])).map(b"".join)


@given(
    content=_bytes | st.binary(), cuts=st.lists(st.integers(0, 60)), offset=st.integers(0, 10**12)
)
@example(content=b"a\n\nb", cuts=[0, 1, 2, 3, 4], offset=0)
@example(content=b"", cuts=[], offset=5)
async def test_any_chunking_gives_the_same_lines(
    content: bytes, cuts: list[int], offset: int
) -> None:
    """The lines and their positions are those of the whole, however the network cuts it."""
    edges = [0, *sorted(cuts), len(content)]
    chunks = [content[a:b] for a, b in pairwise(edges)]
    expected, at = [], offset
    *whole, last = content.split(b"\n")
    for raw in whole:
        expected.append(RawLine(at, raw, complete=True))
        at += len(raw) + 1
    if last:
        expected.append(RawLine(at, last, complete=False))
    assert await lines_of(*chunks, offset=offset) == expected


@pytest.mark.parametrize("end", ["\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"])
async def test_nothing_else_ends_a_line(end: str) -> None:
    """Models write all sorts of line ends into their answers."""
    raw = f"a{end}b".encode()
    assert await lines_of(raw + b"\n") == [RawLine(0, raw)]


async def test_cut_off_line_is_marked() -> None:
    """A last line without newline may be whole or not: its reader is told."""
    assert await lines_of(b"one\ntw") == [RawLine(0, b"one"), RawLine(4, b"tw", complete=False)]


async def test_empty_lines_count() -> None:
    """Their bytes move the positions of the lines behind them."""
    assert await lines_of(b"\n\na\n") == [RawLine(0, b""), RawLine(1, b""), RawLine(2, b"a")]


@pytest.mark.parametrize("chunks", [(), (b"",), (b"", b"", b"")])
async def test_empty_file_has_no_lines(chunks: tuple[bytes, ...]) -> None:
    """Error files of no bytes occur."""
    assert await lines_of(*chunks) == []


async def test_lines_come_as_soon_as_they_are_whole() -> None:
    """A line is not held back until the next one ends."""
    seen: list[str] = []

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"one\ntwo", b"\n", b"three"):
            seen.append(f"sent {chunk!r}")
            yield chunk

    async for some in split_lines(chunks()):
        seen += [f"got {line.raw!r}" for line in some]
    assert seen == [
        r"sent b'one\ntwo'",
        "got b'one'",
        r"sent b'\n'",
        "got b'two'",
        "sent b'three'",
        "got b'three'",
    ]


@pytest.mark.timeout(10)
async def test_long_line_in_tiny_pieces_is_linear() -> None:
    """An image of many megabytes is one line; joining it piece by piece would take minutes."""
    piece, count = b"0123456789", 400_000
    (line,) = await lines_of(*[piece] * count, b"\n")
    assert len(line.raw) == len(piece) * count
