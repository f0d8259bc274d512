"""The control routes under `/_emulator`, for tests in other processes; they need no key.

GET    /_emulator/faults   the armed faults: {"faults": [{"op": ..., "kind": ..., ...}]}
PUT    /_emulator/faults   arm more, in the same shape; a fault of the same op and kind is
                           replaced, and removed by "times": 0
DELETE /_emulator/faults   disarm all
GET    /_emulator/calls    {"create": {"received": 1, "applied": 1}, ...}
"""

from typing import Any

import msgspec
from aiohttp import web

from . import replies
from .context import CONTEXT
from .errors import ApiError
from .faults import read_fault
from .queries import json_object


async def show_faults(request: web.Request) -> web.Response:
    """Show the armed faults with the times that are left."""
    return replies.pretty({"faults": msgspec.to_builtins(list(request.app[CONTEXT].faults))})


async def arm_faults(request: web.Request) -> web.Response:
    """Arm faults, all of the body or none."""
    body = await json_object(request)
    try:
        faults = [read_fault(each) for each in msgspec.convert(body.get("faults"), list[Any])]
    except msgspec.ValidationError as error:
        raise ApiError(400, f"Invalid fault: {error}", param="faults") from error
    request.app[CONTEXT].faults.arm(*faults)
    return await show_faults(request)


async def disarm_faults(request: web.Request) -> web.Response:
    """Disarm all faults."""
    request.app[CONTEXT].faults.clear()
    return await show_faults(request)


async def show_calls(request: web.Request) -> web.Response:
    """Show how often each operation was called."""
    return replies.pretty(request.app[CONTEXT].calls.as_json())
