"""Lines that are alike are read together, and say what they say one by one."""

import json
from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter

import pytest
from hypothesis import given, strategies as st

from batchtrail.application.line_groups import (
    FEWEST_ALIKE,
    GROUP_LINES,
    LineGroup,
    line_groups,
)
from batchtrail.application.raw_lines import RawLine
from batchtrail.application.result_lines import parse_result_line
from batchtrail.domain.alike import AlikeResults, Tokens
from batchtrail.domain.requests import RequestIndex
from batchtrail.domain.values import ResultLine, TokenUsage

USAGE = {"input_tokens": 3, "output_tokens": 2}
CHAT = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}


def answer(
    usage: object = USAGE, *, status: object = 200, model: object = "m", **beside: object
) -> bytes:
    body = {"model": model, "usage": usage, "text": "—"}
    line = {"custom_id": "a", "response": {"status_code": status, "body": body}, **beside}
    return json.dumps(line, ensure_ascii=False).encode()


ALIKE = [
    answer(),
    answer(CHAT),
    answer({"output_tokens": 0}),
    answer(error={"code": "x", "message": "y"}),
]
OTHERS = [answer(model="n"), answer(status=500), answer(model=None)]
"""Each is of a kind of its own."""
ODD = [
    answer(None),
    answer({}),
    answer({"total_tokens": 5}),
    answer(status=None),
    answer(status="200"),
    answer({"input_tokens": "3"}),
    b'{"custom_id":"a","response":null,"error":{"code":"batch_expired","message":"No."}}',
    b'{"custom_id":"a","response":{"status_code":200,"body":null}}',
    b'{"custom_id":"a","response":{"status_code":200,"model":"m","usage":{}}}',
    b'{"custom_id":"a","response":{"status_code":200,"body":{"model":"m","usage":{},"t":"\xff"}}}',
    b"[" * 5_000,
    b"no json",
]


def cost_of(model: str | None, usage: TokenUsage | None) -> Decimal | None:
    return None if usage is None or model == "n" else Decimal(usage.input) + Decimal("0.1")


def costs_of(model: str | None, usages: Sequence[Tokens]) -> list[Decimal | None]:
    return [cost_of(model, TokenUsage(*tokens)) for tokens in usages]


def raw_lines(raws: Sequence[bytes]) -> list[RawLine]:
    return [RawLine(1_000 * place, raw) for place, raw in enumerate(raws)]


def groups_of(raws: Sequence[bytes], *custom_ids: str) -> list[LineGroup]:
    return list(line_groups(raw_lines(raws), RequestIndex(custom_ids), cost_of))


def lines_of(groups: Sequence[LineGroup]) -> list[RawLine]:
    return [line for group in groups for line in group.lines]


def named(raw: bytes, custom_id: str) -> bytes:
    return raw.replace(b'"custom_id":"a"', f'"custom_id":"{custom_id}"'.encode()).replace(
        b'"custom_id": "a"', f'"custom_id": "{custom_id}"'.encode()
    )


def told(alike: AlikeResults) -> list[tuple[object, ...]]:
    """What lines of request 1 say together, line by line."""
    columns = zip(*alike[1:], strict=True)
    return [(alike.status_code, *each) for each in columns]


def told_alone(line: ResultLine) -> tuple[object, ...]:
    assert line.usage is not None
    assert line.answered
    usage = line.usage
    tokens = usage.input, usage.cached, usage.output, usage.reasoning, usage.cache_write
    return line.status_code, line.offset, line.raw, line.custom_id, 1, tokens, line.cost


_raws = st.sampled_from([*ALIKE, *OTHERS, *ODD])
_runs = st.lists(st.tuples(_raws, st.integers(1, 2 * FEWEST_ALIKE)))


@given(_runs)
def test_together_as_one_by_one(runs: list[tuple[bytes, int]]) -> None:
    """Every line is in one group, and says the same in each way of asking."""
    raws = [raw for raw, count in runs for _ in range(count)]
    lines = raw_lines(raws)
    groups = groups_of(raws, "a")
    grouped = lines_of(groups)
    assert sorted(grouped, key=attrgetter("offset")) == lines
    alone = [parse_result_line(line, cost_of) for line in grouped]
    assert [line for group in groups for line in group.one_by_one(cost_of)] == alone
    for group in groups:
        if (alike := group.alike(costs_of)) is not None:
            assert told(alike) == [told_alone(line) for line in group.one_by_one(cost_of)]


@given(st.lists(st.tuples(_raws, st.sampled_from("abcde"))))
def test_in_the_order_of_the_requests(rows: list[tuple[bytes, str]]) -> None:
    """Lines of one request as they were, those of none behind all others."""
    lines = raw_lines([named(raw, custom_id) for raw, custom_id in rows])
    ids = [parse_result_line(line).custom_id for line in lines]
    places = {"d": 0, "a": 1, "c": 2}
    expected = sorted(lines, key=lambda line: places.get(ids[lines.index(line)] or "", 3))
    assert lines_of(groups_of([line.raw for line in lines], "d", "a", "c")) == expected


@pytest.mark.parametrize("other", OTHERS)
def test_one_status_and_one_model(other: bytes) -> None:
    """Another one begins another group."""
    groups = groups_of([*ALIKE, *ALIKE, *[other] * FEWEST_ALIKE, *ALIKE, *ALIKE], "a")
    assert [len(group.lines) for group in groups] == [8, FEWEST_ALIKE, 8]
    assert all(group.alike(costs_of) for group in groups)


def test_a_few_go_with_their_neighbours() -> None:
    """Whatever their kinds, one by one: a group has a price."""
    few = [*ALIKE, *OTHERS, ODD[0], *ALIKE]
    groups = groups_of([*few, *[answer()] * FEWEST_ALIKE, *OTHERS], "a")
    # The last few of the kind that follows belong to it.
    count = len(few) - len(ALIKE)
    assert [len(group.lines) for group in groups] == [count, len(ALIKE) + FEWEST_ALIKE, len(OTHERS)]
    assert [group.alike(costs_of) is None for group in groups] == [True, False, True]


@pytest.mark.parametrize("odd", ODD)
def test_odd_lines_are_read_one_by_one(odd: bytes) -> None:
    """What they say may have no usage, no status, or an unusual shape."""
    groups = groups_of([*ALIKE, *ALIKE, odd, odd], "a")
    assert [len(group.lines) for group in groups] == [8, 2]
    assert [group.alike(costs_of) is None for group in groups] == [False, True]


def test_lines_of_no_request_are_read_one_by_one() -> None:
    """And those that are of their kind with them: what becomes of each differs."""
    groups = groups_of([*ALIKE, named(answer(), "stranger")], "a")
    assert [group.numbers for group in groups] == [[1, 1, 1, 1, None]]
    assert [group.alike(costs_of) for group in groups] == [None]


@pytest.mark.parametrize("raw", [answer(), answer(None)])
def test_groups_are_small(raw: bytes) -> None:
    """Their events are not held all at once."""
    assert [len(group.lines) for group in groups_of([raw] * (2 * GROUP_LINES + 1))] == [
        GROUP_LINES,
        GROUP_LINES,
        1,
    ]


def test_no_lines() -> None:
    """No groups."""
    assert groups_of([]) == []
