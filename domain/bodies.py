"""Bodies: the large texts that some events carry, and the digests that stand for them.

An event's state holds only the SHA-256 and the size of its body, so that the body can be taken
out of the database without changing one byte of any state: the log stays verifiable, and replays
give the same.
"""

import json
import re
from collections.abc import Iterable
from hashlib import sha256
from io import BytesIO
from typing import Self

from attrs import field, frozen

_MARKER = re.compile(
    rb'\{"custom_id":"(?:[^"\\\x00-\x1f]|\\.)*","redacted":"sha256:([0-9a-f]{64})"\}\n'
)
_MARKER_TAIL = b'","redacted":"sha256:'
_TAIL = slice(-67 - len(_MARKER_TAIL), -67)
"""Where that part of a marker stands: 64 hex digits, a quote, a brace and a newline follow."""


def digests_of(contents: Iterable[bytes]) -> list[bytes]:
    """The SHA-256 of each content, in turn."""
    return [content.digest() for content in map(sha256, contents)]


@frozen
class Body:
    """Bytes that an event carries: their SHA-256 (32 raw bytes), their size, and themselves.

    Without `content` the body was not asked for, or is in this database no longer.
    """

    sha256: bytes
    size: int
    content: bytes | None = field(default=None, repr=False)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """The body that has this content."""
        return cls(cls.digest_of(content), len(content), content)

    @staticmethod
    def digest_of(content: bytes) -> bytes:
        """The SHA-256 of a content."""
        return sha256(content).digest()

    @property
    def redacted(self) -> int:
        """How many parts of the content were replaced by markers."""
        return 0

    @property
    def is_intact(self) -> bool:
        """Whether the content is what was recorded; true when there is none to compare."""
        if self.content is None:
            return True
        return len(self.content) == self.size and self.digest_of(self.content) == self.sha256


@frozen
class Lines(Body):
    """Lines, each ended by a newline, of which any one can be redacted.

    The digest is the SHA-256 over the concatenated SHA-256s of the lines, each with its newline.
    So a line can be replaced by a marker, `{"custom_id":"…","redacted":"sha256:<hex>"}` and a
    newline, that names the digest of what stood there, and the whole can still be checked. No
    request is taken for a marker, because it needs a method and a body.
    """

    @staticmethod
    def digest_of(content: bytes) -> bytes:
        """The digest of lines as they were written, without markers."""
        return sha256(b"".join(digests_of(BytesIO(content)))).digest()

    @property
    def redacted(self) -> int:
        """How many lines were replaced by markers."""
        lines = () if self.content is None else BytesIO(self.content)
        return sum(map(is_marker, lines))

    @property
    def is_intact(self) -> bool:
        """Whether each line is what was recorded, or a marker with the digest of that."""
        if self.content is None or not self.redacted:
            return super().is_intact
        digests = (_marker(line) or sha256(line).digest() for line in BytesIO(self.content))
        return sha256(b"".join(digests)).digest() == self.sha256


def is_marker(line: bytes) -> bool:
    """Whether a line, with its newline, stands in the place of one that was redacted."""
    return _marker(line) is not None


def marker_of(custom_id: str, line: bytes) -> bytes:
    """The marker that takes the place of a request's line; both end with a newline."""
    named = json.dumps(custom_id, ensure_ascii=False)
    return f'{{"custom_id":{named},"redacted":"sha256:{sha256(line).hexdigest()}"}}\n'.encode()


def _marker(line: bytes) -> bytes | None:
    """The digest of the line that a marker stands for; None for any other line."""
    if line[_TAIL] != _MARKER_TAIL:
        return None
    found = _MARKER.fullmatch(line)
    return None if found is None else bytes.fromhex(found[1].decode())
