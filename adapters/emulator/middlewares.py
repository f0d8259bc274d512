"""What happens around every API call: counting, the key, faults, errors and headers."""

import asyncio
import time
from contextvars import ContextVar
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from . import replies
from .context import CONTEXT
from .errors import ApiError, rate_limited, unavailable
from .faults import Fault, FaultKind, Operation
from .manners import Manners
from .transport import break_off, reset

_STARTED: Final[ContextVar[float]] = ContextVar("started")
_OPERATIONS: Final = {op.value: op for op in Operation}
_BAD_GATEWAY: Final = """<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body>
</html>
"""
_REFUSALS: Final = (
    FaultKind.RESET_BEFORE,
    FaultKind.RATE_LIMIT,
    FaultKind.BAD_GATEWAY,
    FaultKind.UNAVAILABLE,
)


@web.middleware
async def framing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal into an error envelope, and compress JSON for those who take it."""
    _STARTED.set(time.perf_counter())
    try:
        response = await _answered(request, handler)
    except ApiError as error:
        response = replies.refusal(error, _manners(request))
    except ConnectionResetError:
        return web.Response()  # whoever called is gone, killed perhaps, and nobody takes an answer
    compressible = not response.prepared and response.content_type == "application/json"
    if compressible and "gzip" in request.headers.get("Accept-Encoding", ""):
        op = _operation(request)
        if op is None or not request.app[CONTEXT].faults.draw(op, FaultKind.NO_GZIP):
            response.enable_compression(web.ContentCoding.gzip)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        raise _manners(request).unknown_route(request) from None
    except web.HTTPMethodNotAllowed:
        raise ApiError(405, f"Not allowed to {request.method} on {request.path}.") from None
    except web.HTTPRequestEntityTooLarge:
        raise ApiError(413, "The request body is too large.") from None


@web.middleware
async def calls(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count a call, check its key and let faults strike; the control routes are let through."""
    op = _operation(request)
    if op is None:
        return await handler(request)
    context = request.app[CONTEXT]
    context.calls.received[op] += 1
    context.settings.manners.check_access(request, context.settings.bad_keys)
    delay = context.faults.draw(op, FaultKind.DELAY)
    if delay and not delay.applied:
        if op is not Operation.UPLOAD:
            await request.read()  # so that it takes effect even when its sender is gone by then
        await asyncio.sleep(delay.duration)
    refusal = context.faults.draw(op, *_REFUSALS)
    if refusal and not refusal.applied:
        return _refused(request, refusal)
    response = await handler(request)
    context.calls.applied[op] += 1
    if delay and delay.applied:
        await asyncio.sleep(delay.duration)
    if refusal:
        return _refused(request, refusal)
    if context.faults.draw(op, FaultKind.RESET_AFTER):
        reset(request)
    elif (cut := context.faults.draw(op, FaultKind.CUT_BODY)) and isinstance(
        response, web.Response
    ):
        return await _cut(request, response, cut)
    return response


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has; a gateway's own page has none."""
    if _operation(request) is None or response.content_type == "text/html":
        return
    elapsed = time.perf_counter() - _STARTED.get()
    response.headers.update(_manners(request).headers(round(elapsed * 1000)))


def _operation(request: web.Request) -> Operation | None:
    return _OPERATIONS.get(request.match_info.route.name or "")


def _manners(request: web.Request) -> Manners:
    return request.app[CONTEXT].settings.manners


def _refused(request: web.Request, fault: Fault) -> web.Response:
    match fault.kind:
        case FaultKind.RATE_LIMIT:
            response = replies.refusal(rate_limited(), _manners(request))
            if fault.retry_after is not None:
                response.headers["Retry-After"] = f"{fault.retry_after:g}"
            return response
        case FaultKind.BAD_GATEWAY:
            return web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html")
        case FaultKind.UNAVAILABLE:
            return replies.refusal(unavailable(), _manners(request))
        case _:
            reset(request)
            return web.Response()


async def _cut(request: web.Request, whole: web.Response, fault: Fault) -> web.StreamResponse:
    """Announce the whole body, send its beginning and hang up."""
    body = whole.body
    if not isinstance(body, bytes):
        raise TypeError("only a body of bytes can be cut")
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: fault.end_of(len(body))])
    break_off(request)
    return response
