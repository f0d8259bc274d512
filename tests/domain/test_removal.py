"""Removing bodies: when it may be decided, and what is recorded."""

import pytest
from tests.laboratory.author import Author, request_line

from batchtrail.domain.batch import Batch
from batchtrail.domain.errors import UnfinishedError
from batchtrail.domain.events import BodiesPruned, RequestRedacted


@pytest.fixture
def author() -> Author:
    """Give somebody who commands."""
    return Author()


def canceled(author: Author, *, handler: str | None = None) -> Batch:
    """A batch that was withdrawn before it was submitted."""
    batch = author.draft([request_line("a")], completion_handler=handler)
    batch.request_cancel(stamp=author.stamp())
    return batch


def test_only_at_rest(author: Author) -> None:
    """Not a draft, not before the outcomes are settled, not before the handler has run."""
    batch = canceled(author, handler="shop:Done")
    draft = author.draft([request_line("a")])
    for _ in range(2):
        for each in (draft, batch):
            assert not each.is_at_rest
            with pytest.raises(UnfinishedError, match=f"batch {each.id} is not done yet"):
                each.prune_bodies(None, through=2, stamp=author.stamp())
            with pytest.raises(UnfinishedError, match="can be redacted when it is over"):
                each.redact_request("a", [2], None, stamp=author.stamp())
        batch.finish_collection(stamp=author.stamp())
    batch.record_handler_dispatched(stamp=author.stamp())
    assert batch.is_at_rest


def test_pruned_once(author: Author) -> None:
    """What was pruned up to an event is not pruned again; what came later is."""
    batch = canceled(author)
    batch.finish_collection(stamp=author.stamp())
    version = batch.version
    for _ in range(2):
        batch.prune_bodies("0f" * 32, through=version, stamp=author.stamp())
    batch.redact_request("a", [2], "why", stamp=author.stamp())
    batch.prune_bodies(None, through=batch.version, stamp=author.stamp())
    first, redacted, second = batch.pending_events[version:]
    assert isinstance(first, BodiesPruned)
    assert isinstance(redacted, RequestRedacted)
    assert isinstance(second, BodiesPruned)
    assert (first.through, first.export_sha256) == (version, "0f" * 32)
    assert (redacted.custom_id, redacted.versions, redacted.reason) == ("a", (2,), "why")
    assert (second.through, second.export_sha256) == (version + 2, None)
    assert batch.redactions == 1
    assert batch.pruned_version == batch.version == version + 3
