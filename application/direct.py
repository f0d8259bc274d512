"""The synchronous call: one request, answered now, by the same builder and parser as a batch's."""

import msgspec

from ..domain.checks import check_type
from .encoding import encoded
from .endpoints import Answer, EndpointRequest, parse_answer
from .errors import InputError
from .ports import BatchProvider
from .result_lines import read_json


async def complete_now(provider: BatchProvider, request: EndpointRequest) -> Answer:
    """Send a request and read its answer. Raises `InputError` for what cannot be sent."""
    check_type("request", request, EndpointRequest, "a request, such as a ResponsesRequest")
    try:
        body = encoded(request.body())
    except (TypeError, ValueError, msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"the request cannot be JSON ({error})") from error
    answer = await provider.complete_request(request.endpoint, body)
    return parse_answer(request.endpoint, read_json(answer.body), request_id=answer.request_id)
