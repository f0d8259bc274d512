"""The synchronous call: one request, answered now, by the same builder and parser as a batch's."""

import json

import msgspec

from .endpoints import Answer, EndpointRequest, parse_answer
from .errors import InputError
from .ports import BatchProvider


async def complete_now(provider: BatchProvider, request: EndpointRequest) -> Answer:
    """Send a request and read its answer. Raises `InputError` for a body that cannot be JSON."""
    try:
        body = msgspec.json.encode(request.body())
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"the request cannot be JSON ({error})") from error
    answer = await provider.complete_request(request.endpoint, body)
    # Python's own parser takes what some servers write beyond JSON, as it does for result lines.
    return parse_answer(request.endpoint, json.loads(answer.body), request_id=answer.request_id)
