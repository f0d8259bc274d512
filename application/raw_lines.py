"""From a stream of bytes to lines."""

from collections.abc import AsyncIterable, AsyncIterator

import msgspec


class RawLine(msgspec.Struct, frozen=True, gc=False):
    """One line of a file: the position of its first byte, and its bytes without the newline.

    `complete` is false for a last line that no newline ended.
    """

    offset: int
    raw: bytes
    complete: bool = True


async def split_lines(
    chunks: AsyncIterable[bytes], offset: int = 0
) -> AsyncIterator[list[RawLine]]:
    """Cut a stream that begins at a line and at byte `offset` into lines, some at a time.

    Lines end at the newline byte and nowhere else, and may be of any length: one of 40 MB costs
    its own size, once.
    """
    head: list[bytes] = []  # the pieces of a line that goes on; joined once, when it ends
    async for chunk in chunks:
        lines, start = list[RawLine](), 0
        # `split` looks at each byte by itself, `find` at dozens at once.
        while (end := chunk.find(b"\n", start)) >= 0:
            raw = chunk[start:end]
            if head:
                raw = b"".join((*head, raw))
                head.clear()
            lines.append(RawLine(offset, raw))
            offset += len(raw) + 1
            start = end + 1
        if start < len(chunk):
            head.append(chunk[start:])
        if lines:
            yield lines
    last = b"".join(head)
    if last:
        yield [RawLine(offset, last, complete=False)]
