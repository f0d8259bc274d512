"""Reading an export file: line by line, and to the end, where its checksum stands."""

from collections.abc import Iterator
from hashlib import sha256
from typing import IO, Any

import msgspec

from .errors import InputError
from .export_format import EventLine, Footer, Header, Line, SealLine
from .log_checks import Fault

_LONGEST_HEADER = 16 << 20
_LONGEST_LINE = 1 << 30
"""Bytes; a line holds one event, whose body is a part of an input or one result."""

_AGAIN = "copy the file again, or export the log once more"
_ANOTHER_VERSION = "use the version of batchtrail that wrote the file, or a newer one"


class _Begin(msgspec.Struct):
    """What a header has in every version of the format."""

    batchtrail_export: int
    software: str


class ExportFile:
    """The lines of a file, each of which has the fields that it must have.

    Every method raises `InputError` naming the file, the line, the field and what to do.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file = file
        self._name = name
        self._digest = sha256()
        self._number = 0
        self._decode = msgspec.json.Decoder(Line).decode

    def header(self) -> Header:
        """The first line."""
        raw = self._line(_LONGEST_HEADER)
        try:
            begin = msgspec.json.decode(raw, type=_Begin)
        except (ValueError, RecursionError):
            raise self.refused(
                "is not the header of an export", remedy="`batchtrail export` writes such files"
            ) from None
        if begin.batchtrail_export != Header.FORMAT:
            raise self.refused(
                f"is {begin.batchtrail_export}, a format of {begin.software}; this version reads "
                f"{Header.FORMAT}",
                "batchtrail_export",
                remedy=_ANOTHER_VERSION,
            )
        self._digest.update(raw)
        header: Header = self._decoded(raw, msgspec.json.Decoder(Header).decode)
        return header

    def lines(self) -> Iterator[EventLine | SealLine]:
        """The lines between header and footer."""
        while True:
            raw = self._line(_LONGEST_LINE)
            line: Line = self._decoded(raw, self._decode)
            if isinstance(line, Footer):
                self._footer = line
                return
            self._digest.update(raw)
            yield line

    def end(self, *, events: int, seal: str) -> None:
        """Compare the last line with all that was read before it; nothing may follow."""
        found = {"events": events, "seal": seal, "sha256": self._digest.hexdigest()}
        for field, value in found.items():
            told = getattr(self._footer, field)
            if told != value:
                raise self.refused(f"is {told}, and the lines before it give {value}", field)
        if self._file.read(1):
            self._number += 1
            raise self.refused("stands behind the end")

    def refused(
        self, problem: str, field: str | None = None, *, remedy: str = _AGAIN
    ) -> InputError:
        """What is wrong with the line that was read last."""
        where = f"line {self._number}" if field is None else f"line {self._number}, field {field}"
        return InputError(f"{self._name}: {where}: {problem}; {remedy}")

    def refused_event(self, fault: Fault) -> InputError:
        """What is wrong with the event that was read last."""
        remedy = _ANOTHER_VERSION if fault.is_unknown else _AGAIN
        return self.refused(fault.what, fault.field, remedy=remedy)

    def _line(self, longest: int) -> bytes:
        self._number += 1
        raw = self._file.readline(longest)
        if raw.endswith(b"\n"):
            return raw
        if len(raw) == longest:
            raise self.refused(f"is longer than {longest:,} bytes")
        raise self.refused("the file ends here, before its last line")

    def _decoded(self, raw: bytes, decode: Any) -> Any:
        try:
            return decode(raw)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$.")
            raise self.refused(_sentence(problem), place.rstrip("`") or None) from None
        except (ValueError, RecursionError) as error:
            raise self.refused(f"is no JSON ({error})") from None


def _sentence(problem: str) -> str:
    """What is wrong, in words that follow the name of a field."""
    return f"cannot be used: {problem[:1].lower()}{problem[1:]}"
