"""Rule 1: an event only assigns, so that the log alone gives the state, whatever was asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import HealthCheck, given as examples, settings, strategies as st

from batchtrail.domain.errors import DomainError
from batchtrail.domain.status import BatchStatus, ResultFile
from batchtrail.domain.values import BatchProblem, RequestCounts, StatusReport, TokenUsage

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story

Step = Callable[["Story"], Any]

RAW_WORDS = ["validating", "in_progress", "finalizing", "cancelling"]
ENDS = ["completed", "expired", "cancelled", "failed"]
STAGES = 19
NOT_VISIBLE = (BatchProblem("invalid_request", "No such File object.", param="file_id"),)

_names = st.sampled_from(["a", "b", "c", "d", "e", "nobody"])
_usages = st.none() | st.builds(
    TokenUsage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)
)


def _report(raw: str, extra: dict[str, Any]) -> StatusReport:
    ends = {
        "completed": BatchStatus.ENDED,
        "expired": BatchStatus.EXPIRED,
        "cancelled": BatchStatus.CANCELED,
        "failed": BatchStatus.FAILED,
    }
    return StatusReport(ends.get(raw, BatchStatus.IN_PROGRESS), raw, **extra)


_extras = st.fixed_dictionaries(
    {},
    optional={
        "request_counts": st.builds(RequestCounts, st.integers(0, 3), st.integers(0, 3)),
        "output_file_id": st.none() | st.just("file-out"),
        "errors": st.just(NOT_VISIBLE),
        "usage": _usages,
        "is_canceling": st.booleans(),
    },
)
_reports = st.builds(_report, st.sampled_from([*RAW_WORDS, *ENDS, "new_word"]), _extras)


_batches = st.sampled_from(["batch_1", "batch_2", "batch_3"])
"""Provider batches that answers, searches and slow polls may speak of."""


def _apply(rows: list[tuple[str | None, int | None, TokenUsage | None]], file: ResultFile) -> Step:
    def step(story: Story) -> None:
        lines = [
            story.line(custom_id, file=file, status_code=code, usage=usage)
            for custom_id, code, usage in rows
        ]
        story.apply(*lines, file=file)

    return step


_rows = st.lists(
    st.tuples(st.none() | _names, st.sampled_from([None, 200, 400, 500]), _usages), max_size=5
)


def _verb(name: str, *arguments: Any, **also: Any) -> Step:
    return lambda story: getattr(story, name)(*arguments, **also)


_steps: st.SearchStrategy[Step] = st.one_of(
    st.lists(_names, max_size=3, unique=True).map(lambda ids: _verb("add", *ids)),
    st.sampled_from(["start", "upload", "discard", "create", "refuse"]).map(_verb),
    st.builds(_verb, st.sampled_from(["sibling", "cancel_sibling"]), _batches),
    st.sampled_from(["cancel", "abandon", "collect", "give_up", "dispatch"]).map(_verb),
    st.sampled_from(["fail_work", "resume_work"]).map(_verb),
    st.builds(_verb, st.sampled_from(["amend", "reopen"]), st.sampled_from([*RAW_WORDS, *ENDS])),
    st.builds(_verb, st.just("retry"), st.uuids()),
    st.builds(
        lambda attempt, searched: _verb("not_created", attempt, searched=searched),
        st.integers(0, 4),
        st.booleans(),
    ),
    st.builds(
        lambda batch, seen, adopted: _verb("answer", batch, seen, adopted=adopted),
        _batches,
        _reports,
        st.booleans(),
    ),
    st.builds(
        lambda seen, of, after_call: _verb("poll", seen, of=of, after_call=after_call),
        _reports,
        st.none() | _batches,
        st.booleans(),
    ),
    st.builds(_apply, _rows, st.sampled_from(ResultFile)),
)


def test_every_stage_replays(given: Stages) -> None:
    """The straight lives, each up to one of its stages."""
    assert len(given.names) == STAGES
    for stage in given.names:
        story = given.at(stage)
        assert story.replayed() == story.state(), stage


def test_replay_gives_the_same_again(given: Stages) -> None:
    """Replaying does not wear the events out: no state hides in them."""
    story = given.at("collected")
    first = story.replayed()
    assert story.replayed() == first == story.state()


def test_state_replays_after_each_command(given: Stages) -> None:
    """The log gives the state of every moment, not only of the last one."""
    story = given.at("drafted").add("a", "b")
    steps = (story.start, story.upload, story.create, story.answer, story.cancel)
    for step in steps:
        step()
        assert story.replayed() == story.state()
    story.poll("cancelled").apply("a", "nobody", "b", "a").collect()
    assert story.replayed() == story.state()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@examples(stage=st.integers(0, STAGES - 1), steps=st.lists(_steps, max_size=15))
def test_any_life_keeps_the_rules(given: Stages, stage: int, steps: list[Step]) -> None:
    """Whatever is asked of a batch, in whatever order, refused or not.

    The log gives the same state, an end is never left, no request has two outcomes, and a refused
    command records nothing.
    """
    story = given.at(given.names[stage])
    for step in steps:
        story.facts()
        before, version = story.batch.status, story.batch.version
        refused = True
        with suppress(DomainError):
            step(story)
            refused = False
        if refused:
            assert (story.facts(), story.batch.version) == ([], version)
        if before.is_terminal:
            assert story.batch.status is before
        settled = story.batch.totals.outcomes.settled
        assert settled <= story.batch.request_count
        if story.batch.results_collected:
            assert settled == story.batch.request_count
        if not story.batch.status.is_terminal:
            assert settled == 0
    assert story.replayed() == story.state()
    versions = [event.originator_version for event in story.past]
    assert versions == list(range(1, len(versions) + 1))


@settings(max_examples=100)
@examples(stage=st.integers(0, STAGES - 1), steps=st.lists(_steps, min_size=1, max_size=15))
def test_a_copy_has_a_state_of_its_own(given: Stages, stage: int, steps: list[Step]) -> None:
    """Whatever becomes of a batch, what was copied of it before stays as it was."""
    story = given.at(given.names[stage])
    copies = []
    for step in steps:
        copy = deepcopy(story.batch)
        assert vars(copy) == vars(story.batch)
        copies.append((copy, msgspec.msgpack.encode(story.state())))
        with suppress(DomainError):
            step(story)
    for copy, state in copies:
        pending = vars(copy).pop("_pending_events")
        assert msgspec.msgpack.encode(vars(copy)) == state
        assert all(event.originator_version <= copy.version for event in pending)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@examples(stage=st.integers(0, STAGES - 1), steps=st.lists(_steps, max_size=15))
def test_any_life_makes_one_provider_batch_at_a_time(
    given: Stages, stage: int, steps: list[Step]
) -> None:
    """Pay once, whatever is heard of whichever provider batch.

    Between two answers lies a batch that cost nothing and is never ours again, only the batch that
    failed is left, creates never overlap, and none is started after the wish to cancel.
    """
    story = given.at(given.names[stage])
    for step in steps:
        with suppress(DomainError):
            step(story)
    story.facts()
    live: str | None = None
    left: set[str] = set()
    open_create = unwanted = False
    for event in story.past:
        name, batch_id = type(event).__name__, vars(event).get("provider_batch_id")
        if name == "Submitted":
            assert live is None
            assert batch_id not in left
            live, open_create = batch_id, False
        elif name == "CancelRequested":
            unwanted = True
        elif name == "CreateStarted":
            assert live is None
            assert not open_create
            assert not unwanted
            open_create = True
        elif name == "CreateNotDone":
            assert open_create
            open_create = False
        elif name in {"InputNotVisible", "TokenLimitReached"}:
            assert live is not None
            assert batch_id == live
            left.add(live)
            live = None
        elif name == "SiblingFound":
            assert batch_id != live
