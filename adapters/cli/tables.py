"""Results as tables: CSV, JSON lines and Parquet, a row at a time or some thousands."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from typing import Any, BinaryIO

import msgspec
from attrs import fields

from ...application.errors import InputError
from ...application.tables import Row
from ...application.texts import storable
from ...domain.costs import EXACT
from .formats import Format

COLUMNS = tuple(field.name for field in fields(Row))

_INTEGERS = (
    "number",
    "status_code",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_GROUP_ROWS = 5_000
_GROUP_BYTES = 32 << 20
_COST_DIGITS = (38, 18)
"""Digits in all, and behind the point: enough for any listed price of a token."""
_FINEST_COST = Decimal("1E-18")


WriteRow = Callable[[Row], None]


def writing(format_: Format, file: BinaryIO) -> AbstractContextManager[WriteRow]:
    """A function that writes one row; the file is whole at the end of the block.

    Raises `InputError` when Parquet's library is not installed.
    """
    return _WRITERS[format_](file)


@contextmanager
def _jsonl(file: BinaryIO) -> Iterator[WriteRow]:
    encoder = msgspec.json.Encoder(decimal_format="number")  # exact, unlike a float

    def write(row: Row) -> None:
        facts = _facts(row)
        if row.value is not None:
            facts["value"] = msgspec.Raw(_json(row.value))
        file.write(encoder.encode(facts) + b"\n")

    yield write


@contextmanager
def _csv(file: BinaryIO) -> Iterator[WriteRow]:
    """RFC 4180 with a header; what is no text in a column is JSON."""
    line = io.StringIO()
    writer = csv.writer(line)

    def write_cells(cells: Iterable[Any]) -> None:
        writer.writerow(cells)
        file.write(line.getvalue().encode())
        line.seek(0)
        line.truncate()

    def write(row: Row) -> None:
        write_cells(map(_cell, _facts(row).values()))

    write_cells(COLUMNS)
    yield write


@contextmanager
def _parquet_table(file: BinaryIO) -> Iterator[WriteRow]:
    pa, parquet = load_parquet()
    schema = _schema(pa)
    group: list[Mapping[str, Any]] = []
    size = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:

        def flush() -> None:
            nonlocal size
            if group:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
            group.clear()
            size = 0

        def write(row: Row) -> None:
            nonlocal size
            facts = _facts(row)
            if row.cost is not None:  # a price book of the user's may be finer
                facts["cost"] = row.cost.quantize(_FINEST_COST, context=EXACT)
            if row.value is not None:
                facts["value"] = _json(row.value).decode()
            group.append(facts)
            size += len(row.text or "") + len(facts["value"] or "")
            if len(group) >= _GROUP_ROWS or size >= _GROUP_BYTES:
                flush()

        yield write
        flush()


def _schema(pa: Any) -> Any:
    kinds = {"cost": pa.decimal128(*_COST_DIGITS)}
    kinds |= dict.fromkeys(_INTEGERS, pa.int64())
    return pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])


def load_parquet() -> tuple[Any, Any]:
    """Parquet's library. Raises `InputError` when it is not installed."""
    try:
        # An extra, whose types nobody has written down.
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise InputError(
            "Parquet needs a library more; install batchtrail[parquet], or write csv or jsonl"
        ) from None
    return pa, parquet


def _facts(row: Row) -> dict[str, Any]:
    facts = {name: getattr(row, name) for name in COLUMNS}
    return {name: storable(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return _json(value).decode()
    return f"{value:f}" if isinstance(value, Decimal) else value


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()  # in ASCII, where any text has an escape


_WRITERS: dict[Format, Callable[[BinaryIO], AbstractContextManager[WriteRow]]] = {
    Format.JSONL: _jsonl,
    Format.CSV: _csv,
    Format.PARQUET: _parquet_table,
}
