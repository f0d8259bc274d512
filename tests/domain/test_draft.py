"""Beginning a batch, and the id that its identity gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from batchtrail.domain.batch import Batch
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import NewBatch

if TYPE_CHECKING:
    from tests.domain.conftest import Stages


PARENT = UUID("5cd732f2-a5ab-55b1-8ae9-65ca1174839d")


def test_identity_gives_the_same_id_for_ever() -> None:
    """Databases hold ids that were made from identities: the derivation is permanent."""
    assert Batch.id_for("some input") == UUID("5cd732f2-a5ab-55b1-8ae9-65ca1174839d")
    assert Batch.id_for("some input", 2) == UUID("386db919-1664-520a-8cbe-269690aa97fb")
    assert Batch.id_for("другой ввод\n/v1/responses") == UUID(
        "9a484bc3-9e18-58e5-a007-be59380f2835"
    )


def test_no_two_identities_share_an_id() -> None:
    """Neither another identity nor another generation meets in the same stream."""
    ids = {Batch.id_for(name, number) for name in ("", "a", "a\n1", "b") for number in (1, 2, 11)}
    assert len(ids) == 12


def test_without_identity_each_batch_is_new() -> None:
    """Nothing to recognise it by: the id is random."""
    assert Batch.id_for(None) != Batch.id_for(None)


def test_draft_records_what_was_fixed(given: Stages) -> None:
    """The first event says for whom, where it goes and why, and the state repeats it."""
    story = given.new(
        endpoint="/v1/embeddings",
        completion_window="7d",
        metadata={"campaign": "42"},
        send_metadata=True,
        completion_handler="shop.batches:Done",
        description="nightly",
        identity=None,
        generation=3,
        retry_of=PARENT,
    )
    fixed = {
        "provider": "openai",
        "endpoint": "/v1/embeddings",
        "completion_window": "7d",
        "metadata": {"campaign": "42"},
        "send_metadata": True,
        "completion_handler": "shop.batches:Done",
        "description": "nightly",
        "identity": None,
        "generation": 3,
        "retry_of": PARENT,
    }
    assert story.facts() == [("Drafted", fixed)]
    assert {name: story.state()[name] for name in fixed} == fixed


def test_draft_takes_the_id_of_its_identity(given: Stages) -> None:
    """Two processes with the same command meet in one stream."""
    assert given.new().batch.id == given.new().batch.id == Batch.id_for("some input")


def test_draft_takes_the_id_that_it_is_given(given: Stages) -> None:
    """Whoever looked for the batch under an id drafts it under the same one."""
    batch_id = Batch.id_for(None)
    stamp = given.new().stamp()
    new = NewBatch(provider="openai", endpoint="/v1/responses", identity="some input")
    assert Batch.draft(new, stamp=stamp, batch_id=batch_id).id == batch_id


def test_draft_keeps_its_own_metadata(given: Stages) -> None:
    """What the caller does to its mapping later is no part of the log."""
    metadata = {"campaign": "42"}
    story = given.new(metadata=metadata)
    metadata["campaign"] = "43"
    assert story.batch.metadata == {"campaign": "42"}


def test_new_batches_share_no_state(given: Stages) -> None:
    """What happens to one batch is nothing to another."""
    one, other = given.at("ended"), given.at("drafted")
    one.apply("a")
    assert other.batch.request_count == 0
    assert other.batch.totals == given.at("drafted").batch.totals
    assert other.batch.status is BatchStatus.PENDING


def test_event_says_when_and_by_whom(given: Stages) -> None:
    """The stamp of a command stands in its events; the domain asks no clock."""
    story = given.at("drafted")
    stamp = story.stamp()
    story.batch.request_cancel(stamp=stamp)
    events = story.batch.collect_events()
    assert [(event.timestamp, vars(event)["by"]) for event in events] == [(stamp.at, stamp.by)] * 2
