"""The topics are in databases for ever."""

from eventsourcing.utils import resolve_topic

from batchtrail.domain.batch import Batch
from batchtrail.domain.events import EVENTS, BatchEvent

TOPICS = {
    "Drafted": "batchtrail.batch.drafted",
    "RequestsAdded": "batchtrail.batch.requests_added",
    "SubmissionStarted": "batchtrail.batch.submission_started",
    "UploadStarted": "batchtrail.batch.upload_started",
    "InputUploaded": "batchtrail.batch.input_uploaded",
    "InputDiscarded": "batchtrail.batch.input_discarded",
    "CreateStarted": "batchtrail.batch.create_started",
    "CreateNotDone": "batchtrail.batch.create_not_done",
    "Submitted": "batchtrail.batch.submitted",
    "SubmissionFailed": "batchtrail.batch.submission_failed",
    "StatusChanged": "batchtrail.batch.status_changed",
    "InputNotVisible": "batchtrail.batch.input_not_visible",
    "TokenLimitReached": "batchtrail.batch.token_limit_reached",
    "ReportAmended": "batchtrail.batch.report_amended",
    "CancelRequested": "batchtrail.batch.cancel_requested",
    "Canceled": "batchtrail.batch.canceled",
    "GivenUp": "batchtrail.batch.given_up",
    "SiblingFound": "batchtrail.batch.sibling_found",
    "SiblingCanceled": "batchtrail.batch.sibling_canceled",
    "PricesUsed": "batchtrail.batch.prices_used",
    "ResultApplied": "batchtrail.batch.result_applied",
    "ResultSkipped": "batchtrail.batch.result_skipped",
    "ResultsCollected": "batchtrail.batch.results_collected",
    "CollectionReopened": "batchtrail.batch.collection_reopened",
    "HandlerDispatched": "batchtrail.batch.handler_dispatched",
    "WorkFailed": "batchtrail.batch.work_failed",
    "WorkResumed": "batchtrail.batch.work_resumed",
    "Retried": "batchtrail.batch.retried",
    "BodiesPruned": "batchtrail.batch.bodies_pruned",
    "RequestRedacted": "batchtrail.batch.request_redacted",
}
"""Add to this list when an event is added; change or remove nothing."""


def subclasses(cls: type[BatchEvent]) -> set[type[BatchEvent]]:
    """Every event class below, without the twins that the library makes of each one."""
    found = {each for each in cls.__subclasses__() if each.__module__ == BatchEvent.__module__}
    return found.union(*(subclasses(each) for each in found)) if found else found


def test_topics_are_permanent() -> None:
    """An event keeps the topic under which it was first stored."""
    assert {event.__name__: event.TOPIC for event in EVENTS} == TOPICS
    assert Batch.TOPIC == "batchtrail.batch"


def test_topics_are_unique() -> None:
    """Each topic means one event."""
    assert len({event.TOPIC for event in EVENTS}) == len(EVENTS)


def test_no_event_is_left_out() -> None:
    """Each event class that a command can trigger is in the list that stores know."""
    assert subclasses(BatchEvent) == set(EVENTS)
    assert all("TOPIC" in vars(event) for event in EVENTS)


def test_topics_lead_back_to_their_classes() -> None:
    """What is stored under a topic is rebuilt as the class that has it."""
    assert [resolve_topic(event.TOPIC) for event in EVENTS] == list(EVENTS)
    assert resolve_topic(Batch.TOPIC) is Batch
