"""Request lines, and what a provider's result files say: read by nobody else's code."""

import json
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from attrs import Factory, define, frozen

from .prices import INPUT, OUTPUT, PRICED

_NOT_RUN = {"batch_expired": "expired", "batch_cancelled": "canceled"}


def request_line(custom_id: str, model: str = PRICED) -> bytes:
    """A valid request line with its newline."""
    body = {"model": model, "input": f"Say hello to {custom_id}."}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
    return json.dumps(line).encode() + b"\n"


@frozen
class Verdict:
    """What one result line says of its request; `tokens` are those of input and output."""

    outcome: str
    tokens: tuple[int, int] = (0, 0)
    cost: Decimal | None = Decimal(0)


@define
class Expectation:
    """What the result files say: for each request the lines that may count, and all others."""

    verdicts: dict[str, dict[bytes, Verdict]] = Factory(dict)
    lines: Counter[bytes] = Factory(Counter)

    def read(self, content: bytes, custom_ids: Iterable[str]) -> None:
        """Take in one file."""
        known = set(custom_ids)
        for raw in content.split(b"\n"):
            if not raw.strip():
                continue
            self.lines[raw] += 1
            line = _decoded(raw)
            if line is not None and line.get("custom_id") in known:
                self.verdicts.setdefault(line["custom_id"], {})[raw] = _verdict(line)


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _verdict(line: dict[str, Any]) -> Verdict:
    response = line["response"]
    if response is None:
        return Verdict(_NOT_RUN.get(line["error"]["code"], "failed"))
    if response["status_code"] != 200:
        return Verdict("failed")
    body = response["body"]
    tokens = (body["usage"]["input_tokens"], body["usage"]["output_tokens"])
    priced = body["model"] == PRICED
    cost = (tokens[0] * INPUT + tokens[1] * OUTPUT) / 1_000_000 if priced else None
    return Verdict("succeeded", tokens, cost)
