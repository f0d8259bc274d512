"""What the database holds of a body, and the way back."""

import pytest
from eventsourcing.compressor import ZlibCompressor
from hypothesis import given
from hypothesis.strategies import binary, booleans
from tests.laboratory.stores import Scramble

from batchtrail.application.body_coding import AS_THEY_ARE, BodyCoding

ALL = BodyCoding(ZlibCompressor(), Scramble(), compresses=True)
LONG = b'{"custom_id": "a"}' * 20


@given(binary() | binary().map(lambda body: b"\0" + body), booleans(), booleans(), booleans())
def test_every_body_comes_back(
    body: bytes, compresses: bool, encrypts: bool, can_compress: bool
) -> None:
    """Whatever it begins with and whatever is done to it, and also when the settings change."""
    writing = BodyCoding(
        ZlibCompressor() if can_compress else None,
        Scramble() if encrypts else None,
        compresses=compresses,
    )
    assert ALL.plain(writing.stored(body)) == body
    assert writing.plain(writing.stored(body)) == body


def test_bodies_are_stored_as_they_are() -> None:
    """Without settings there is no more in the database than the body."""
    assert AS_THEY_ARE.stored(LONG) == LONG
    assert AS_THEY_ARE.plain(LONG) == LONG


def test_what_does_not_become_smaller_is_not_compressed() -> None:
    """A short body would grow."""
    assert BodyCoding(ZlibCompressor(), compresses=True).stored(b"{}") == b"{}"


def test_compressed_before_encrypted() -> None:
    """The other way round nothing would become smaller."""
    assert len(ALL.stored(LONG)) < len(LONG) // 2


@pytest.mark.parametrize(
    ("reader", "stored", "problem"),
    [
        (AS_THEY_ARE, b"\0", "in a way that is not known"),
        (ALL, b"\0\4abc", "in a way that is not known"),
        (AS_THEY_ARE, ALL.stored(b"{}"), "no key is set; set BATCHTRAIL_ENCRYPTION_KEYS"),
        (BodyCoding(cipher=Scramble()), ALL.stored(LONG), "nothing to read it with"),
        (ALL, b"\0\1abc", r"cannot be decompressed \(Error -3"),
        (ALL, b"\0\2abc", r"cannot be decrypted \(no mark\)"),
    ],
)
def test_what_cannot_be_read(reader: BodyCoding, stored: bytes, problem: str) -> None:
    """The error says what is missing or wrong."""
    with pytest.raises(ValueError, match=problem):
        reader.plain(stored)
