"""Results that are alike are applied at once, and nothing else is different."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.domain.alike import AlikeResults, Tokens
from batchtrail.domain.errors import BatchFinishedError, NotTerminalError, OutOfOrderError
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.status import ResultFile
from batchtrail.domain.values import ResultLine, TokenUsage

if TYPE_CHECKING:
    from tests.domain.conftest import Stages, Story

    from batchtrail.domain.alike import AppliedResults

OUT, ERR = ResultFile.OUTPUT, ResultFile.ERROR
LINE = b'{"a":"b"}'
USAGES: tuple[Tokens, ...] = ((9, 4, 70, 3, 2), (1, 0, 0, 0, 0), (0, 0, 5, 5, 0))


def results(*custom_ids: str, offset: int = 0, **also: Any) -> AlikeResults:
    """Lines that follow each other from an offset on."""
    count = len(custom_ids)
    facts: dict[str, Any] = {
        "status_code": 200,
        "offsets": [offset + (len(LINE) + 1) * place for place in range(count)],
        "lines": [LINE] * count,
        "custom_ids": custom_ids,
        "numbers": ["abc".find(custom_id) + 1 for custom_id in custom_ids],
        "usages": USAGES[:count],
        "costs": [Decimal("0.10"), Decimal(7), Decimal("0.0031")][:count],
    }
    return AlikeResults(**{**facts, **also})


def one_by_one(alike: AlikeResults) -> list[ResultLine]:
    """The same lines, each for itself."""
    columns = zip(*alike[1:], strict=True)
    return [
        ResultLine(
            offset,
            line,
            custom_id,
            answered=True,
            status_code=alike.status_code,
            usage=TokenUsage(*tokens),
            cost=cost,
        )
        for offset, line, custom_id, _, tokens, cost in columns
    ]


def applied(
    story: Story, alike: AlikeResults, file: ResultFile = OUT, **also: Any
) -> AppliedResults | None:
    return story.batch.apply_alike(file, alike, story.index, stamp=story.stamp(), **also)


@pytest.mark.parametrize("file", ResultFile)
@pytest.mark.parametrize(
    "also",
    [
        {},
        {"status_code": 201},
        {"costs": [None, None, None]},
        {"costs": [Decimal(1), None, Decimal("1E-7")]},
        {"offsets": [7, 90, 100]},
        {"offsets": [90, 100, 7]},
    ],
)
def test_state_is_that_of_one_by_one(given: Stages, file: ResultFile, also: dict[str, Any]) -> None:
    """Counters, costs, positions, version and time."""
    story = given.at("ended")
    twin, index = deepcopy(story.batch), RequestIndex(["a", "b", "c"])
    alike = results("c", "a", "b", **also)
    stamp = story.stamp()
    assert story.batch.apply_alike(file, alike, story.index, stamp=stamp)
    twin.apply_results(file, one_by_one(alike), index, stamp=stamp)
    assert len(twin.collect_events()) == 3
    assert story.facts() == []
    assert vars(story.batch) == vars(twin)
    assert str(story.batch.tally.priced_cost) == str(twin.tally.priced_cost)


def test_what_is_to_be_recorded(given: Stages) -> None:
    """The results as they were given, and the versions that the events will have."""
    story = given.at("ended")
    version, alike, stamp = story.batch.version, results("c", "a"), story.stamp()
    said = story.batch.apply_alike(ERR, alike, story.index, stamp=stamp)
    assert said == (story.batch.id, version + 1, stamp, ERR, alike)
    assert story.batch.version == version + 2
    assert [story.index.settle(custom_id) for custom_id in "abc"] == [None, 2, None]


@pytest.mark.parametrize(
    "alike",
    [
        results("b", "nobody"),
        results("b", "c", numbers=[2, 4]),  # behind the last one
        results("b", "c", numbers=[2, -1]),
        results("b", "a"),  # which has its result
        results("b", "c", "b"),
        results("b", status_code=199),
        results("b", status_code=300),
        results("b", status_code=429),
        results(),
    ],
)
def test_nothing_is_done_unless_all_is_plain(given: Stages, alike: AlikeResults) -> None:
    """One by one, the same lines show what becomes of each."""
    story = given.at("ended").apply("a")
    story.facts()
    before = deepcopy(story.state())
    alike = alike._replace(offsets=[10 + offset for offset in alike.offsets])
    assert applied(story, alike) is None
    assert (story.state(), story.facts()) == (before, [])
    assert story.index.settle("b") == 2


def test_costs_of_a_table_that_was_not_named(given: Stages) -> None:
    """Its name has an event of its own before the first of its costs."""
    story = given.at("ended")
    assert applied(story, results("a"), price_source="prices 2") is None
    lines = [story.line("a", file=OUT, raw=LINE)]
    story.batch.apply_results(OUT, lines, story.index, stamp=story.stamp(), price_source="prices 2")
    assert story.news() == ["PricesUsed", "ResultApplied"]
    assert applied(story, results("b", offset=10), price_source="prices 3") is None
    assert applied(story, results("b", offset=10), price_source="prices 2")
    assert applied(story, results("c", offset=20), price_source=None)


def test_a_table_is_named_once(given: Stages) -> None:
    """Until another takes its place."""
    story = given.at("ended")
    for custom_id, source in zip("abc", ["prices 2", "prices 2", "prices 3"], strict=True):
        lines = [story.line(custom_id, file=OUT, raw=LINE)]
        story.batch.apply_results(OUT, lines, story.index, stamp=story.stamp(), price_source=source)
    applied, named = "ResultApplied", "PricesUsed"
    assert story.news() == [named, applied, applied, named, applied]


@pytest.mark.parametrize("offsets", [[9, 30], [30, 9], [10, 19], [19, 10]])
def test_lines_before_the_position_or_over_each_other(given: Stages, offsets: list[int]) -> None:
    """The caller's place in the file is wrong."""
    story = given.at("ended").apply("a")
    story.facts()
    with pytest.raises(OutOfOrderError, match="of the output file"):
        applied(story, results("b", "c", offsets=offsets))
    assert story.facts() == []
    assert story.index.settle("b") == 2


def test_one_decision_by_several_calls(given: Stages) -> None:
    """All lie behind where it began; the next one begins behind the last line of the file."""
    story = given.at("ended").apply("a")
    assert applied(story, results("b", offset=30), behind=10)
    assert (story.batch.positions[OUT].offset, story.batch.positions[OUT].lines) == (40, 2)
    with pytest.raises(OutOfOrderError, match="byte 10 of the output file"):
        applied(story, results("c", offset=10))
    assert applied(story, results("c", offset=10), behind=10)
    assert (story.batch.positions[OUT].offset, story.batch.positions[OUT].lines) == (40, 3)


@pytest.mark.parametrize(
    ("stage", "error"), [("canceling", NotTerminalError), ("collected", BatchFinishedError)]
)
def test_only_between_the_end_and_the_collection(
    given: Stages, stage: str, error: type[Exception]
) -> None:
    """As one by one."""
    story = given.at(stage)
    with pytest.raises(error):
        applied(story, results("c", offset=1_000))
    assert story.index.settle("c") == 3
