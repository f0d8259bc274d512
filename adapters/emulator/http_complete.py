"""The synchronous endpoints, answered by the same generator as batch lines."""

import msgspec
from aiohttp import web

from . import replies
from .answers import answer
from .context import CONTEXT
from .queries import json_object


async def complete(request: web.Request) -> web.Response:
    """Answer one request."""
    await json_object(request)  # Refuses what is no JSON object.
    context = request.app[CONTEXT]
    outcome = answer(
        f"/v1/{request.match_info['endpoint']}",
        await request.read(),
        created=context.clock(),
        answer_bytes=context.settings.answer_bytes,
        deployments=context.settings.deployments,
    )
    return replies.pretty(msgspec.json.decode(outcome.body), status=outcome.status, ending="\n")
