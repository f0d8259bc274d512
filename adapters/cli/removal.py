"""What the commands do that remove bodies from a database."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ...application.errors import InputError
from ...application.log_keeper import LogKeeper
from ...application.pruning import Prunable
from .exits import ExitStatus
from .moments import parse_moment
from .output import check_export_path, whole_file
from .place import Place, log_as_it_is
from .render import json_text
from .text import clean


async def prune_batches(
    older_than: str, export: Path | None, place: Place, *, keep: bool, as_json: bool
) -> ExitStatus:
    """Export the old batches if that is wanted, remove their bodies, and say how many."""
    if keep and export is None:
        raise InputError(
            "write --export LOG.jsonl to keep what is removed, or --no-export to do without"
        )
    if not keep and export is not None:
        raise InputError("--export keeps what is removed, and --no-export does not; leave one out")
    before = _parse_age(older_than)
    if export is not None:
        _check_export(export, place)
    async with log_as_it_is(place, read_only=False) as log:
        old = await log.prunable(before)
        digest = await _exported(log, old, export) if export and old else None
        for each in old:
            await log.prune_bodies(each, export_sha256=digest)
    if as_json:
        print(json_text({"batches": [each.batch_id for each in old], "export_sha256": digest}))
    else:
        kept = "" if digest is None else f"; export: {clean(str(export))}, SHA-256 {digest}"
        print(f"pruned; batches: {len(old):,}{kept}")
    return ExitStatus.OK


def _parse_age(older_than: str) -> datetime:
    """The moment before which a batch is old. Raises `InputError`, also for one still to come."""
    now = datetime.now(UTC)
    before = parse_moment(older_than, now, "--older-than")
    if before > now:
        raise InputError(
            f"--older-than {older_than!r} is in the future; write how old, as 90d, or a moment "
            "in the past"
        )
    return before


def _check_export(path: Path, place: Place) -> None:
    """An export of what is pruned must stay: nothing else is left of it. Raises `InputError`."""
    check_export_path(path, place.taken())
    if path == Path("-") or path.exists():
        raise InputError("an export of what is pruned must be kept; name a file, no pipe or device")


async def _exported(log: LogKeeper, old: Sequence[Prunable], path: Path) -> str:
    """Write the export under its name, and give its SHA-256."""
    with whole_file(path, export=True) as file:
        exported = await log.export_log(file, [each.batch_id for each in old])
    return exported.sha256


async def redact_one(batch: str, request: str, why: str | None, place: Place) -> ExitStatus:
    """Remove a request's part of the bodies, and say whether there was one."""
    async with log_as_it_is(place, read_only=False) as log:
        batch_id = await log.find(batch)
        changed = await log.redact_request(batch_id, request, reason=why)
    done = f"redacted; bodies changed: {changed}" if changed else "nothing of it is left to redact"
    print(f"request {clean(request)}: {done}")
    return ExitStatus.OK
