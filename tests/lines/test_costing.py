"""A line is priced while it is read: by the model and the usage in its own body."""

import json
from decimal import Decimal
from typing import Any

import pytest

from batchtrail.application.raw_lines import RawLine
from batchtrail.application.result_lines import parse_result_line
from batchtrail.domain.values import ResultLine, TokenUsage

COST = Decimal("0.1")
USAGE = {"input_tokens": 9, "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}}
READ = TokenUsage(input=9, cached=2, cache_write=3)


def priced(response: Any, **beside: Any) -> tuple[ResultLine, list[object]]:
    asked: list[object] = []

    def cost_of(model: str | None, usage: TokenUsage | None) -> Decimal:
        asked.append((model, usage))
        return COST

    raw = json.dumps({"custom_id": "a", "response": response, **beside}).encode()
    return parse_result_line(RawLine(0, raw), cost_of), asked


@pytest.mark.parametrize(
    ("body", "question"),
    [
        ({"model": "m", "usage": USAGE}, ("m", READ)),
        ({"usage": USAGE}, (None, READ)),
        ({"model": "m"}, ("m", None)),
        ({"model": 7, "usage": USAGE}, (None, READ)),  # an unusual model is none
        ({"model": "m", "usage": {**USAGE, "input_tokens": "9"}}, ("m", READ)),
        ({"model": "m", "usage": "much"}, ("m", None)),
        (
            {
                "model": "m",
                "usage": {
                    "prompt_tokens": 9,
                    "prompt_tokens_details": USAGE["input_tokens_details"],
                },
            },
            ("m", READ),
        ),
        ("only text", (None, None)),
    ],
)
def test_the_body_says_model_and_usage(body: object, question: object) -> None:
    """On the fast path and on the lenient one; the cost stands in the line."""
    line, asked = priced({"status_code": 200, "body": body})
    assert asked == [question]
    assert line.cost == COST


def test_old_servers_put_the_answer_in_place_of_the_body() -> None:
    """The model stands there, too."""
    assert priced({"model": "m", "usage": USAGE})[1] == [("m", READ)]


@pytest.mark.parametrize("error", [{"code": "batch_expired", "message": "No."}, "No."])
def test_without_an_answer_there_is_nothing_to_price(error: object) -> None:
    """The request did not run."""
    line, asked = priced(None, error=error)
    assert (line.cost, asked) == (None, [])
