"""Adding checked lines to a draft: rule 4 as the aggregate keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from batchtrail.domain.bodies import Lines
from batchtrail.domain.errors import (
    BatchSubmittedError,
    EmptyBatchError,
    OutOfOrderError,
    RequestRefusedError,
)

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


def test_chunk_is_recorded_as_it_will_be_sent(given: Stages) -> None:
    """The event holds the lines to the byte; the state only counts them."""
    story = given.at("drafted").add("a", "b")
    lines = b'{"custom_id":"a"}\n{"custom_id":"b"}\n'
    assert story.facts() == [
        (
            "RequestsAdded",
            {
                "first_number": 1,
                "count": 2,
                "size": len(lines),
                "model": "gpt-5-nano",
                "custom_ids": ("a", "b"),
                "lines": Lines.of(lines),
            },
        )
    ]
    assert (story.batch.request_count, story.batch.input_size) == (2, len(lines))


def test_chunks_follow_each_other(given: Stages) -> None:
    """The next chunk begins where the last one ended."""
    story = given.at("drafted").add("a", "b").add("c")
    assert [facts["first_number"] for name, facts in story.facts() if facts] == [1, 3]
    assert story.batch.request_count == 3


@pytest.mark.parametrize("first", [0, 1, 3, 5])
def test_gap_or_repeat_is_refused(given: Stages, first: int) -> None:
    """A chunk is added once, in order."""
    story = given.at("filled")
    with pytest.raises(OutOfOrderError, match=f"go on with number 4, not {first}"):
        story.add("d", first=first)
    assert story.facts() == []


def test_empty_chunk_is_refused(given: Stages) -> None:
    """A batch is made of requests."""
    story = given.at("drafted")
    with pytest.raises(EmptyBatchError, match="has no requests"):
        story.add()
    assert story.facts() == []


def test_other_endpoint_is_refused(given: Stages) -> None:
    """One batch, one endpoint."""
    story = given.at("filled")
    with pytest.raises(RequestRefusedError) as refused:
        story.add("d", endpoint="/v1/embeddings")
    assert (refused.value.line, refused.value.field) == (4, "url")
    assert "'/v1/responses'" in str(refused.value)
    assert story.facts() == []


@pytest.mark.parametrize("model", ["gpt-5", None])
def test_other_model_is_refused(given: Stages, model: str | None) -> None:
    """One batch, one model; no model is another model."""
    story = given.at("filled")
    with pytest.raises(RequestRefusedError) as refused:
        story.add("d", model=model)
    assert (refused.value.line, refused.value.field) == (4, "body.model")
    assert story.facts() == []


def test_endpoint_without_model_needs_none(given: Stages) -> None:
    """Moderations may leave the model to the provider, on every line."""
    story = given.new(endpoint="/v1/moderations")
    story.add("a", endpoint="/v1/moderations", model=None)
    story.add("b", endpoint="/v1/moderations", model=None)
    assert (story.batch.request_count, story.batch.model) == (2, None)


def test_request_limit_holds_across_chunks(given: Stages) -> None:
    """The last request that fits is taken, the next one is refused."""
    story = given.at("filled")
    story.limits = attrs.evolve(story.limits, max_requests=4)
    story.add("d")
    with pytest.raises(RequestRefusedError, match="line 5: one batch takes at most 4 requests"):
        story.add("e")
    assert story.news() == ["RequestsAdded"]


def test_byte_limit_holds_across_chunks(given: Stages) -> None:
    """A batch may be exactly as large as the limit, and no byte larger."""
    story = given.at("filled")
    one = len(b'{"custom_id":"d"}\n')
    story.limits = attrs.evolve(story.limits, max_bytes=4 * one)
    story.add("d")
    story.limits = attrs.evolve(story.limits, max_bytes=5 * one - 1)
    with pytest.raises(RequestRefusedError, match="line 5: one batch takes at most 89 bytes"):
        story.add("e")
    assert story.news() == ["RequestsAdded"]


def test_only_a_draft_takes_requests(given: Stages) -> None:
    """Once its submission is intended, the input of a batch is fixed."""
    for stage in set(given.names) - {"drafted", "filled"}:
        story = given.at(stage)
        with pytest.raises(BatchSubmittedError, match="handed over for submission already"):
            story.add("d")
        assert story.facts() == [], stage
