"""What stands for a body, and what may be taken out of one."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from batchtrail.domain.bodies import Body, Lines
from batchtrail.domain.errors import BodyRemovedError
from batchtrail.domain.events import CancelRequested, RequestsAdded, ResultApplied

if TYPE_CHECKING:
    from tests.domain.conftest import Stages

LINES = [b'{"custom_id":"a","method":"POST"}\n', b'{"custom_id":"\\u00e9\\"","x":1}\n', b"\n"]


def marker(line: bytes, custom_id: str = "a") -> bytes:
    """What stands in a line's place after it was redacted."""
    redacted = {"custom_id": custom_id, "redacted": f"sha256:{sha256(line).hexdigest()}"}
    return json.dumps(redacted, separators=(",", ":")).encode() + b"\n"


def replaced(number: int, by: bytes) -> Lines:
    """The lines, one of them replaced, under the digest of the whole ones."""
    lines = [*LINES[:number], by, *LINES[number + 1 :]]
    return evolve(Lines.of(b"".join(LINES)), content=b"".join(lines))


@given(st.binary(max_size=50))
def test_body_is_vouched_for(content: bytes) -> None:
    """Digest and size are those of the content; every other content is found out."""
    body = Body.of(content)
    assert (body.sha256, body.size) == (sha256(content).digest(), len(content))
    assert body.is_intact
    assert evolve(body, content=None).is_intact
    assert not evolve(body, content=content + b"x").is_intact
    assert not evolve(body, size=body.size + 1).is_intact


def test_digest_of_lines_is_made_of_theirs() -> None:
    """Anybody can recompute it with a tool for SHA-256, line by line."""
    parts = b"".join(sha256(line).digest() for line in LINES)
    assert Lines.of(b"".join(LINES)).sha256 == sha256(parts).digest()


@given(st.data())
def test_every_flipped_byte_of_lines_is_found(data: st.DataObject) -> None:
    """Line ends count as well as what stands between them."""
    content = bytearray(b"".join(LINES))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    assert not evolve(Lines.of(b"".join(LINES)), content=bytes(content)).is_intact


@pytest.mark.parametrize("number", range(len(LINES)))
@pytest.mark.parametrize("custom_id", ["a", 'quo"te\\', "é✓"])
def test_a_redacted_line_is_still_checked(number: int, custom_id: str) -> None:
    """The marker holds the digest of what stood there, and no other digest fits."""
    good = replaced(number, marker(LINES[number], custom_id))
    assert (good.is_intact, good.redacted) == (True, 1)
    bad = replaced(number, marker(b"something else\n", custom_id))
    assert (bad.is_intact, bad.redacted) == (False, 1)


@pytest.mark.parametrize(
    "odd",
    [
        marker(LINES[0]).replace(b"sha256:", b"sha512:"),
        marker(LINES[0]).removesuffix(b"\n"),
        marker(LINES[0]).replace(b'{"custom_id"', b'{"custom-id"'),
        b'{"custom_id":"a","note":"x"' + marker(LINES[0])[16:],
        b"x" + marker(LINES[0]),
    ],
)
def test_only_markers_are_taken_for_markers(odd: bytes) -> None:
    """A line that resembles one is a line, and not the one that was recorded."""
    assert not replaced(0, odd).is_intact


def test_events_carry_bodies(given: Stages) -> None:
    """Requests and results do; a text that was removed is missed by name, and by nothing else."""
    story = given.at("ended").apply("a")
    story.facts()
    carried = {type(event): event for event in story.past if event.body is not None}
    assert set(carried) == {RequestsAdded, ResultApplied}
    result = carried[ResultApplied]
    assert isinstance(result, ResultApplied)
    assert result.text == b'{"a":"b"}'
    vars(result)["line"] = evolve(result.line, content=None)
    with pytest.raises(BodyRemovedError, match=rf"event {result.originator_version} of batch"):
        _ = result.text
    assert CancelRequested.BODY is None
