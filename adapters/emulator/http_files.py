"""The handlers of `/v1/files`."""

from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import BodyPartReader, web
from attrs import define, field

from . import replies
from .context import CONTEXT, Context
from .errors import ApiError, invalid_value, missing_parameter, no_such_file
from .faults import FaultKind, Operation
from .queries import life, limit
from .records import FileRecord
from .results import FILE_LIFE
from .transport import break_off
from .wire import list_object

_CHUNK: Final = 256 * 1024
_FIRST_LINE: Final = 1024 * 1024
_FIELD_BYTES: Final = 4096
_PURPOSES: Final = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
_MOST_FILES: Final = 10_000
_INVALID: Final = "Invalid file format for Batch API. Must be .jsonl"


async def upload(request: web.Request) -> web.Response:
    """Take in a file; its contents go straight to disk."""
    context = request.app[CONTEXT]
    file_id = context.settings.manners.new_file_id()
    partial = context.store.partial(file_id)
    try:
        form = await _read_form(request, partial, context.settings.max_upload_bytes)
        record = _new_file(context, file_id, form, partial)
        context.store.add_file(record)
    finally:
        partial.unlink(missing_ok=True)
    return replies.pretty(context.settings.manners.file_object(record), ending="\n")


async def list_files(request: web.Request) -> web.Response:
    """List files, by default all of them and the newest first."""
    context = request.app[CONTEXT]
    order, after = request.query.get("order", "desc"), request.query.get("after")
    if order not in ("asc", "desc"):
        raise invalid_value("order", order, ["asc", "desc"])
    if after is not None:
        _existing(context, after)
    size = limit(request, default=_MOST_FILES, most=_MOST_FILES)
    files = context.store.files(
        context.clock(),
        purpose=request.query.get("purpose"),
        after=after,
        limit=size + 1,
        oldest_first=order == "asc",
    )
    objects = [context.settings.manners.file_object(file) for file in files[:size]]
    return replies.pretty(list_object(objects, has_more=len(files) > size), ending="\n")


async def retrieve_file(request: web.Request) -> web.Response:
    """Describe one file."""
    context = request.app[CONTEXT]
    file = _existing(context, request.match_info["file_id"])
    return replies.pretty(context.settings.manners.file_object(file), ending="\n")


async def delete(request: web.Request) -> web.Response:
    """Delete a file; batches that are still reading it go on."""
    context = request.app[CONTEXT]
    file = _existing(context, request.match_info["file_id"])
    context.store.delete_file(file.id)
    deleted = {"object": "file", "id": file.id, "deleted": True}
    return replies.pretty(deleted, ending="\n")


async def download(request: web.Request) -> web.StreamResponse:
    """Send the bytes of a file: whole, uncompressed and without redirect."""
    context = request.app[CONTEXT]
    file = _existing(context, request.match_info["file_id"])
    short, broken, chunked = (
        context.faults.draw(Operation.DOWNLOAD, kind)
        for kind in (FaultKind.SHORT_AFTER, FaultKind.BREAK_AFTER, FaultKind.CHUNKED)
    )
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{file.filename}"',
            "Access-Control-Allow-Origin": "*",
        }
    )
    with context.store.content(file.id).open("rb") as content:
        if short or chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = file.bytes
        await response.prepare(request)
        cut = broken or short
        left = cut.end_of(file.bytes) if cut else file.bytes
        while left and (chunk := content.read(min(_CHUNK, left))):
            left -= len(chunk)
            await response.write(chunk)
    if broken:
        break_off(request)
    else:
        await response.write_eof()
    return response


def _existing(context: Context, file_id: str) -> FileRecord:
    file = context.store.file(file_id, context.clock())
    if file is None:
        raise no_such_file(file_id)
    return file


@define
class _Form:
    """The parts of an upload; the file itself is on disk."""

    filename: str | None = None
    content_type: str | None = None
    size: int = 0
    fields: dict[str, str] = field(factory=dict)


async def _read_form(request: web.Request, path: Path, most: int) -> _Form:
    """Write the `file` part to disk, whichever place it has among the others."""
    if not request.content_type.startswith("multipart/"):
        raise ApiError(400, "Invalid Content-Type: expected multipart/form-data.")
    form = _Form()
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise ApiError(400, "Nested multipart parts are not supported.")
            if part.name == "file":
                form.filename = part.filename or "upload"
                form.content_type = part.headers.get("Content-Type")
                form.size = await _save(part, path, most)
            elif part.name:
                value = await part.read_chunk(_FIELD_BYTES)
                form.fields[part.name] = value.decode(errors="replace")
    except ValueError as error:
        raise ApiError(400, "We could not parse the multipart body of your request.") from error
    return form


async def _save(part: BodyPartReader, path: Path, most: int) -> int:
    size = 0
    with path.open("wb") as target:
        while chunk := await part.read_chunk(_CHUNK):
            size += len(chunk)
            if size > most:
                raise ApiError(413, f"The file is larger than the {most} bytes allowed.")
            target.write(chunk)
    return size


def _new_file(context: Context, file_id: str, form: _Form, path: Path) -> FileRecord:
    """Check an upload as far as the dialect does before a batch is made of it."""
    manners = context.settings.manners
    purpose = form.fields.get("purpose")
    if form.filename is None:
        raise missing_parameter("file")
    if purpose is None:
        raise missing_parameter("purpose")
    if manners.needs_part_type and not form.content_type:
        raise ApiError(400, "The file has no or an empty content type specified.")
    if purpose not in _PURPOSES:
        raise invalid_value("purpose", purpose, _PURPOSES)
    if purpose == "batch":
        _check_name(form)
        if manners.reads_uploads:
            _check_first_line(path)
    elif form.size == 0:
        raise ApiError(400, "The file is empty.", param="file")
    seconds = _wanted_life(form.fields, manners.shortest_life) or (
        FILE_LIFE if purpose == "batch" else None
    )
    now = context.clock()
    return FileRecord(
        id=file_id,
        filename=form.filename,
        purpose=purpose,
        bytes=form.size,
        created_at=now,
        expires_at=None if seconds is None else now + seconds,
    )


def _check_name(form: _Form) -> None:
    if form.filename is None or not form.filename.lower().endswith(".jsonl"):
        raise ApiError(400, _INVALID)


def _check_first_line(path: Path) -> None:
    with path.open("rb") as content:
        first = content.readline(_FIRST_LINE)
    if len(first) == _FIRST_LINE:
        return  # Too long to look at; batch validation will.
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(400, _INVALID) from error


def _wanted_life(fields: dict[str, str], shortest: int) -> int | None:
    """Return `expires_after` in seconds; brackets are OpenAI's spelling, dots are Azure's."""
    wish: dict[str, Any] = {}
    for name in ("anchor", "seconds"):
        for spelling in (f"expires_after[{name}]", f"expires_after.{name}"):
            if (value := fields.get(spelling)) is not None:
                wish[name] = int(value) if value.isdecimal() else value
    return life(wish, "expires_after", shortest=shortest) if wish else None
