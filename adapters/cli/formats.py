"""The formats of results, by their names."""

from enum import StrEnum

from ...application.errors import InputError


class Format(StrEnum):
    """How results are written."""

    LINES = "lines"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def format_of(word: str, *, to_file: bool) -> Format:
    """The format of this name. Raises `InputError` for none, and for one that cannot be written."""
    if word not in list(Format):
        known = ", ".join(Format)
        raise InputError(f"--format {word!r} is no format; write one of {known}")
    if word == Format.PARQUET:
        if not to_file:
            raise InputError("a Parquet table is no text; name a file for it with -o")
        from .tables import load_parquet  # noqa: PLC0415 (start-up time)

        load_parquet()
    return Format(word)
