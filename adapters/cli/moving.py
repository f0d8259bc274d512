"""What the commands do that move a log: out into a file, and into an empty database."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ... import bootstrap
from ...application.errors import InputError
from .exits import ExitStatus
from .logs import warnings_to_stderr
from .output import check_export_path, check_input_path, check_standard_output, whole_file
from .place import Place, log_as_it_is
from .render import json_text
from .text import say


async def export_log(batches: Sequence[str], output: Path | None, place: Place) -> ExitStatus:
    """Write the export, and say what is in it."""
    if output is None:
        check_standard_output()
    else:
        check_export_path(output, place.taken())
    async with log_as_it_is(place, read_only=True) as log:
        with whole_file(output, export=True) as file:
            exported = await log.export_log(file, batches)
    if exported.removed_bodies:
        removed = f"{exported.removed_bodies:,}"
        say(f"bodies that were removed before, and are not in the export: {removed}")
    if exported.redacted_lines:
        say(f"request lines that are redacted: {exported.redacted_lines:,}")
    counts = f"events: {exported.events:,}; batches: {exported.batches:,}"
    say(f"exported; {counts}; seal: {exported.seal}")
    return ExitStatus.OK


async def import_log(path: Path, place: Place, *, as_json: bool) -> ExitStatus:
    """Fill the database, and say what is in it."""
    check_input_path(path, place.taken())
    with warnings_to_stderr(), _opened(path) as (file, name):
        async with bootstrap.open_new(
            place.settings(), actor=bootstrap.command_line_actor()
        ) as trail:
            imported = await trail.import_log(file, name=name)
    counts = {"events": imported.events, "batches": imported.batches}
    if as_json:
        print(json_text({**counts, "seal": str(imported.seal)}))
    else:
        shown = "; ".join(f"{name}: {count:,}" for name, count in counts.items())
        print(f"imported; {shown}; seal: {imported.seal}")
    return ExitStatus.OK


@contextmanager
def _opened(path: Path) -> Iterator[tuple[IO[bytes], str]]:
    """The file to import, and what to call it; a dash stands for standard input."""
    if path == Path("-"):
        if sys.__stdin__ is None or sys.stdin.isatty():
            raise InputError("nothing is piped into standard input; name the file to import")
        yield sys.stdin.buffer, "standard input"
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    with file:
        yield file, str(path)
