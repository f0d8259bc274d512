"""What the commands do that remove bodies from a database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ... import bootstrap
from ...application.errors import InputError
from ...application.log_keeper import LogKeeper
from ...application.pruning import Prunable
from .exits import ExitStatus
from .logs import warnings_to_stderr
from .moments import parse_moment
from .output import check_output, whole_file
from .place import Place
from .render import json_text
from .text import clean


async def prune_batches(
    older_than: str, export: Path | None, place: Place, *, keep: bool, as_json: bool
) -> ExitStatus:
    """Export the old batches if that is wanted, remove their bodies, and say how many."""
    if keep is (export is None):
        raise InputError(
            "write --export LOG.jsonl to keep what is removed, or --no-export to do without"
        )
    before = parse_moment(older_than, datetime.now(UTC), "--older-than")
    if export is not None:
        _check_export(export, place)
    with warnings_to_stderr():
        async with bootstrap.open_as_it_is(
            place.settings_of_existing(), actor=bootstrap.command_line_actor(), read_only=False
        ) as trail:
            old = await trail.prunable(before)
            digest = await _exported(trail, old, export) if export and old else None
            for each in old:
                await trail.prune_bodies(each, export_sha256=digest)
    if as_json:
        print(json_text({"batches": [each.batch_id for each in old], "export_sha256": digest}))
    else:
        kept = "" if digest is None else f"; export: {clean(str(export))}, SHA-256 {digest}"
        print(f"pruned; batches: {len(old):,}{kept}")
    return ExitStatus.OK


def _check_export(path: Path, place: Place) -> None:
    """An export must stay, and must not take the place of an earlier one: of both nothing else is.

    Raises `InputError`.
    """
    check_output(path, place.taken())
    if path == Path("-"):
        raise InputError("an export that is pruned must be kept; name a file and no dash")
    if path.exists():
        raise InputError(f"{path} is there already and may hold what was pruned; name a new file")


async def _exported(trail: LogKeeper, old: Sequence[Prunable], path: Path) -> str:
    """Write the export under its name, and give its SHA-256."""
    with whole_file(path, private=True) as file:
        exported = await trail.export_log(file, [each.batch_id for each in old])
    return exported.sha256


async def redact_one(batch: str, request: str, why: str | None, place: Place) -> ExitStatus:
    """Remove a request's part of the bodies, and say whether there was one."""
    with warnings_to_stderr():
        async with bootstrap.open_as_it_is(
            place.settings_of_existing(), actor=bootstrap.command_line_actor(), read_only=False
        ) as trail:
            batch_id = await trail.find(batch)
            changed = await trail.redact_request(batch_id, request, reason=why)
    done = f"redacted; bodies changed: {changed}" if changed else "nothing of it is left to redact"
    print(f"request {clean(request)}: {done}")
    return ExitStatus.OK
