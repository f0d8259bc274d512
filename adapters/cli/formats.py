"""The formats of results, by their names."""

from enum import StrEnum

from ...application.errors import InputError


class Format(StrEnum):
    """How results are written."""

    LINES = "lines"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def check_format(format_: Format, *, to_file: bool) -> None:
    """Raise `InputError` for a format that cannot be written."""
    if format_ is Format.PARQUET:
        if not to_file:
            raise InputError("a Parquet table is no text; name a file for it with -o")
        from .tables import load_parquet  # noqa: PLC0415 (start-up time)

        load_parquet()
