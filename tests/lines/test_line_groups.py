"""Lines that are alike are read together, and say what they say one by one."""

import json
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from batchtrail.application.result_lines import RawLine, line_groups, parse_result_line
from batchtrail.domain.alike import AlikeResults, Tokens
from batchtrail.domain.values import ResultLine, TokenUsage

USAGE = {"input_tokens": 3, "output_tokens": 2}
CHAT = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}


def answer(
    usage: object = USAGE, *, status: object = 200, model: object = "m", **beside: object
) -> bytes:
    body = {"model": model, "usage": usage, "text": "—"}
    line = {"custom_id": "a", "response": {"status_code": status, "body": body}, **beside}
    return json.dumps(line, ensure_ascii=False).encode()


ALIKE = [answer(), answer(CHAT), answer({}), answer(error={"code": "x", "message": "y"})]
OTHERS = [answer(model="n"), answer(status=500), answer(model=None)]
"""Each is of a kind of its own."""
ODD = [
    answer(None),
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


def told(alike: AlikeResults) -> list[tuple[object, ...]]:
    """What lines say together, line by line."""
    columns = zip(*alike[1:], strict=True)
    return [(alike.status_code, *each) for each in columns]


def told_alone(line: ResultLine) -> tuple[object, ...]:
    assert line.usage is not None
    assert line.answered
    usage = line.usage
    tokens = usage.input, usage.cached, usage.output, usage.reasoning, usage.cache_write
    return line.status_code, line.offset, line.raw, line.custom_id, tokens, line.cost


@given(st.lists(st.sampled_from([*ALIKE, *OTHERS, *ODD])))
def test_together_as_one_by_one(raws: list[bytes]) -> None:
    """Every line is in one group, in its place, and says the same in each way of asking."""
    lines = raw_lines(raws)
    alone = [parse_result_line(line, cost_of) for line in lines]
    groups = list(line_groups(lines))
    assert [line for group in groups for line in group.lines] == lines
    assert [line for group in groups for line in group.one_by_one(cost_of)] == alone
    for group in groups:
        if (alike := group.alike(costs_of)) is not None:
            one_by_one = group.one_by_one(cost_of)
            assert told(alike) == [told_alone(line) for line in one_by_one]


@pytest.mark.parametrize("other", OTHERS)
def test_one_status_and_one_model(other: bytes) -> None:
    """Another one begins another group."""
    groups = list(line_groups(raw_lines([*ALIKE, other, other, *ALIKE])))
    assert [len(group.lines) for group in groups] == [4, 2, 4]
    assert all(group.alike(costs_of) for group in groups)


@pytest.mark.parametrize("odd", ODD)
def test_odd_lines_are_read_one_by_one(odd: bytes) -> None:
    """What they say may have no usage, no status, or an unusual shape."""
    groups = list(line_groups(raw_lines([*ALIKE, odd, odd, *ALIKE])))
    assert [len(group.lines) for group in groups] == [4, 2, 4]
    assert [group.alike(costs_of) is None for group in groups] == [False, True, False]


def test_no_lines() -> None:
    """No groups."""
    assert list(line_groups([])) == []
