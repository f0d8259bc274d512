"""Completions as rows, and rows as CSV, JSON lines and Parquet."""

import csv
import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet  # type: ignore[import-untyped]

from batchtrail import Completion, Outcome, RequestProblem, TokenUsage
from batchtrail.adapters.cli import tables
from batchtrail.adapters.cli.formats import Format, check_format
from batchtrail.adapters.cli.tables import COLUMNS, writing
from batchtrail.application.errors import InputError
from batchtrail.application.tables import Row, row_of

GOLDEN = Path(__file__).parents[1] / "golden/endpoints"
USAGE = TokenUsage(input=11, cached=4, output=7, reasoning=3)
AWKWARD = 'He said "a, b";\r\n\tü✓😀\n=1+1'


def completion(endpoint: str, body: Any, **also: Any) -> Completion:
    """A request that was answered so."""
    response = {"status_code": 200, "request_id": "r", "body": body}
    line = json.dumps({"custom_id": "a", "response": response, "error": None}).encode()
    facts: dict[str, Any] = {"status_code": 200, "line": line, "endpoint": endpoint, **also}
    return Completion(1, "a", Outcome.SUCCEEDED, **facts)


def chat(**message: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"model": "gpt-4o-mini-2024-07-18", "choices": [choice]}


def golden(endpoint: str) -> Any:
    """A recorded-shape body."""
    return json.loads((GOLDEN / f"{endpoint}.answer.json").read_text())


def written(format_: Format, *rows: Row) -> bytes:
    """What stands in the file."""
    file = io.BytesIO()
    with writing(format_, file) as write:
        for row in rows:
            write(row)
    return file.getvalue()


ROWS = (
    Row(
        1,
        "a",
        "succeeded",
        text=AWKWARD,
        value={"name": "ü", "list": [1, None]},
        finish_reason="stop",
        model="gpt-5-nano",
        status_code=200,
        input_tokens=11,
        cached_tokens=4,
        output_tokens=7,
        reasoning_tokens=3,
        cost=Decimal("0.0000001234"),
    ),
    Row(2, "b,\n", "failed", status_code=400, error_code="too_long", error_message='"no"'),
    Row(3, "c", "expired", error_code="batch_expired", error_message="Too late."),
)


def test_a_text_with_all_that_is_known() -> None:
    """Text, reason, model, tokens and cost, each in its column."""
    row = row_of(
        completion(
            "/v1/chat/completions",
            chat(content="Hello."),
            usage=USAGE,
            cost=Decimal("0.00001"),
        )
    )
    assert row == Row(
        1,
        "a",
        "succeeded",
        text="Hello.",
        finish_reason="stop",
        model="gpt-4o-mini-2024-07-18",
        status_code=200,
        input_tokens=11,
        cached_tokens=4,
        output_tokens=7,
        reasoning_tokens=3,
        cost=Decimal("0.00001"),
    )


def test_a_structured_text_is_a_value_as_well() -> None:
    """Objects and arrays only: a number alone is a text."""
    structured = row_of(completion("/v1/chat/completions", chat(content='{"city": "Paris"}')))
    assert (structured.text, structured.value) == ('{"city": "Paris"}', {"city": "Paris"})
    assert row_of(completion("/v1/chat/completions", chat(content="42"))).value is None


def test_a_refusal_is_the_text() -> None:
    """It is what the model said."""
    row = row_of(completion("/v1/chat/completions", chat(content=None, refusal="I cannot.")))
    assert row.text == "I cannot."


def test_tools_that_are_called() -> None:
    """The calls with their arguments as data."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    row = row_of(completion("/v1/chat/completions", chat(content=None, tool_calls=[call])))
    assert (row.text, row.value) == (None, [{"id": "c1", "name": "f", "arguments": {"x": 1}}])


def test_embeddings_and_moderations() -> None:
    """A vector of one input, vectors of several; a verdict for each input."""
    body = {"data": [{"index": 0, "embedding": [0.5, -1.0]}], "model": "text-embedding-3-small"}
    assert row_of(completion("/v1/embeddings", body)).value == [0.5, -1.0]
    body["data"] = [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}]
    assert row_of(completion("/v1/embeddings", body)).value == [[1.0], [2.0]]
    verdicts = row_of(completion("/v1/moderations", golden("moderations"))).value
    assert verdicts
    assert all(verdict["flagged"] in {True, False} for verdict in verdicts)


def test_without_an_answer() -> None:
    """What failed has its error, and nothing that was not answered."""
    error = RequestProblem("batch_expired", "Too late.")
    row = row_of(Completion(7, "g", Outcome.EXPIRED, error=error))
    assert row == Row(7, "g", "expired", error_code="batch_expired", error_message="Too late.")


def test_jsonl() -> None:
    """An object for each row, all columns, costs exact."""
    lines = written(Format.JSONL, *ROWS).splitlines()
    found = [json.loads(line, parse_float=Decimal) for line in lines]
    assert [tuple(row) for row in found] == [COLUMNS] * 3
    assert found[0]["text"] == AWKWARD
    assert found[0]["value"] == {"name": "ü", "list": [1, None]}
    assert found[0]["cost"] == Decimal("0.0000001234")
    assert found[1]["custom_id"] == "b,\n"
    assert found[2]["error_code"] == "batch_expired"
    assert found[2]["cost"] is None


def test_csv() -> None:
    """A header, and every text comes back as it was; costs are written out, data is JSON."""
    text = written(Format.CSV, *ROWS).decode()
    header, first, second, third = csv.reader(io.StringIO(text, newline=""))
    assert tuple(header) == COLUMNS
    row = dict(zip(header, first, strict=True))
    assert row["text"] == AWKWARD
    assert json.loads(row["value"]) == {"name": "ü", "list": [1, None]}
    assert row["cost"] == "0.0000001234"
    assert second[1] == "b,\n"
    assert third[COLUMNS.index("text")] == ""


def test_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed columns, in groups of bounded size."""
    monkeypatch.setattr(tables, "_GROUP_ROWS", 2)
    file = io.BytesIO(written(Format.PARQUET, *ROWS))
    assert parquet.ParquetFile(file).num_row_groups == 2
    found = parquet.read_table(file).to_pylist()
    assert [tuple(row) for row in found] == [COLUMNS] * 3
    assert found[0]["cost"] == Decimal("0.0000001234")
    assert found[0]["text"] == AWKWARD
    assert json.loads(found[0]["value"]) == {"name": "ü", "list": [1, None]}
    assert (found[1]["status_code"], found[1]["cost"]) == (400, None)


def test_costs_that_are_finer_than_parquet_tells() -> None:
    """As with prices that were converted from another currency; they are rounded there alone."""
    cost = Decimal("0.91970937183849903430515959") / 1_000_000
    row = Row(1, "a", "succeeded", cost=cost)
    (found,) = parquet.read_table(io.BytesIO(written(Format.PARQUET, row))).to_pylist()
    assert found["cost"] == Decimal("0.000000919709371838")
    assert json.loads(written(Format.JSONL, row), parse_float=Decimal)["cost"] == cost


def test_large_texts_make_small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by bytes as well as by rows."""
    monkeypatch.setattr(tables, "_GROUP_BYTES", 10)
    rows = [Row(number, "a", "succeeded", text="x" * 11) for number in range(3)]
    file = io.BytesIO(written(Format.PARQUET, *rows))
    assert parquet.ParquetFile(file).num_row_groups == 3


@pytest.mark.parametrize(
    "text",
    ["cut \ud83d", '["cut \\ud83d"]', '{"\\ud83d": "ü"}', "\ude00"],
    ids=["text", "list", "object", "low"],
)
@pytest.mark.parametrize("format_", [Format.CSV, Format.JSONL, Format.PARQUET])
def test_half_a_surrogate_pair(format_: Format, text: str) -> None:
    """A cut emoji keeps no row back; it is written as its escape."""
    body = {**chat(content=text), "model": "m\ud83d"}
    row = row_of(completion("/v1/chat/completions", body))
    content = written(format_, row, *ROWS)
    if format_ is Format.JSONL:
        first = json.loads(content.splitlines()[0])
        assert first["text"].encode() == text.encode(errors="backslashreplace")
        assert first["value"] == row.value
        assert first["model"] == r"m\ud83d"
    else:
        assert content


@pytest.mark.parametrize("format_", [Format.JSONL, Format.CSV, Format.PARQUET])
def test_no_rows(format_: Format) -> None:
    """An empty table is a table."""
    content = written(format_)
    if format_ is Format.PARQUET:
        assert parquet.read_table(io.BytesIO(content)).column_names == list(COLUMNS)
    else:
        assert content == (",".join(COLUMNS).encode() + b"\r\n" if format_ is Format.CSV else b"")


def test_a_format_that_does_not_fit() -> None:
    """A table in Parquet needs a file."""
    with pytest.raises(InputError, match="name a file for it with -o"):
        check_format(Format.PARQUET, to_file=False)
    check_format(Format.PARQUET, to_file=True)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the extra."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"batchtrail\[parquet\]"):
        check_format(Format.PARQUET, to_file=True)
