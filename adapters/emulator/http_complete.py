"""The synchronous endpoints, answered by the same generator as batch lines.

Those for pictures and videos are not here: outside of batches they take forms and make jobs.
"""

import msgspec
from aiohttp import web

from . import replies
from .answers import answer
from .context import CONTEXT
from .flaws import flaws
from .queries import json_object


async def complete(request: web.Request) -> web.Response:
    """Answer one request, or refuse it for the first thing that would fail a batch."""
    body = await json_object(request)
    context = request.app[CONTEXT]
    endpoint = f"/v1/{request.match_info['endpoint']}"
    for flaw in flaws(endpoint, body, context.settings.knows):
        raise flaw.alone
    outcome = answer(
        endpoint,
        await request.read(),
        created=context.clock(),
        answer_bytes=context.settings.answer_bytes,
        deployments=context.settings.deployments,
    )
    return replies.pretty(msgspec.json.decode(outcome.body), status=outcome.status, ending="\n")
