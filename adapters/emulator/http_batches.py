"""The handlers of `/v1/batches`."""

from typing import Any, Final

from aiohttp import web

from . import replies
from .batches import NewBatch
from .context import CONTEXT, Context
from .errors import invalid_type, invalid_value, too_long, too_many_properties
from .faults import OBJECT_FAULTS, Fault, Operation
from .lifecycle import Stage
from .queries import json_object, life, limit, text_field
from .records import BatchRecord
from .wire import Object, deformed, list_object

_MOST_METADATA: Final = 16
_LONGEST_KEY: Final = 64
_LONGEST_VALUE: Final = 512


async def create(request: web.Request) -> web.Response:
    """Create a batch, or refuse what is wrong with the request itself."""
    context = request.app[CONTEXT]
    new = _new_batch(context, await json_object(request))
    record, stage = context.batches.create(new)
    faults = context.faults.draw_all(Operation.CREATE, OBJECT_FAULTS)
    return replies.pretty(_shown(context, record, stage, faults))


async def retrieve(request: web.Request) -> web.Response:
    """Show one batch as it stands now."""
    context = request.app[CONTEXT]
    record, stage = await context.batches.current(request.match_info["batch_id"])
    faults = context.faults.draw_all(Operation.RETRIEVE, OBJECT_FAULTS)
    return replies.pretty(_shown(context, record, stage, faults))


async def list_batches(request: web.Request) -> web.Response:
    """List batches, newest first."""
    context = request.app[CONTEXT]
    size = limit(request, default=20, most=100)
    page, has_more = await context.batches.page(request.query.get("after"), size)
    faults = context.faults.draw_all(Operation.LIST, OBJECT_FAULTS)
    objects = [_shown(context, record, stage, faults) for record, stage in page]
    return replies.pretty(list_object(objects, has_more=has_more))


async def cancel(request: web.Request) -> web.Response:
    """Begin to cancel a batch."""
    context = request.app[CONTEXT]
    record, stage = await context.batches.cancel(request.match_info["batch_id"])
    faults = context.faults.draw_all(Operation.CANCEL, OBJECT_FAULTS)
    return replies.compact(_shown(context, record, stage, faults))


def _shown(
    context: Context, record: BatchRecord, stage: Stage, faults: tuple[Fault, ...]
) -> Object:
    return deformed(context.settings.manners.batch_object(record, stage), faults)


def _new_batch(context: Context, body: dict[str, Any]) -> NewBatch:
    manners = context.settings.manners
    input_file_id = text_field(body, "input_file_id")
    endpoint = text_field(body, "endpoint")
    window = text_field(body, "completion_window")
    if endpoint not in manners.endpoints:
        raise invalid_value("endpoint", endpoint, list(manners.endpoints))
    if window != "24h":
        raise invalid_value("completion_window", window, ["24h"])
    expires_after = body.get("output_expires_after")
    return NewBatch(
        endpoint=endpoint,
        input_file_id=input_file_id,
        metadata=_metadata(body.get("metadata")),
        output_expires_after=(
            None
            if expires_after is None
            else life(expires_after, "output_expires_after", shortest=manners.shortest_life)
        ),
    )


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid_type("metadata", value, "an object")
    if len(value) > _MOST_METADATA:
        raise too_many_properties("metadata", len(value), _MOST_METADATA)
    for key, text in value.items():
        name = f"metadata.{key}"
        if len(key) > _LONGEST_KEY:
            raise too_long(name, len(key), _LONGEST_KEY)
        if not isinstance(text, str):
            raise invalid_type(name, text, "a string")
        if len(text) > _LONGEST_VALUE:
            raise too_long(name, len(text), _LONGEST_VALUE)
    return value
