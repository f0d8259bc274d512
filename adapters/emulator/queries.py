"""Query parameters and JSON bodies, read or refused."""

from typing import Any, Final

import msgspec
from aiohttp import web

from .errors import ApiError, invalid_type, invalid_value, missing_parameter, out_of_range

_LONGEST_LIFE: Final = 2_592_000


async def json_object(request: web.Request) -> dict[str, Any]:
    """Return the request's JSON body."""
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(
            400, f"We could not parse the JSON body of your request. ({error})"
        ) from error
    if not isinstance(body, dict):
        raise ApiError(400, "We expected the JSON body of your request to be an object.")
    return body


def text_field(body: dict[str, Any], name: str) -> str:
    """Return a required string."""
    value = body.get(name)
    if value is None:
        raise missing_parameter(name)
    if not isinstance(value, str):
        raise invalid_type(name, value, "a string")
    return value


def limit(request: web.Request, *, default: int, most: int) -> int:
    """Return the page size, moved into its range."""
    text = request.query.get("limit", str(default))
    try:
        wanted = int(text)
    except ValueError as error:
        raise invalid_type("limit", text, "an integer") from error
    return max(1, min(wanted, most))


def life(value: Any, name: str, *, shortest: int) -> int:
    """Return the seconds of an `expires_after`, whose anchor is always the creation."""
    if not isinstance(value, dict):
        raise invalid_type(name, value, "an object")
    if value.get("anchor") != "created_at":
        raise invalid_value(f"{name}.anchor", value.get("anchor"), ["created_at"])
    seconds = value.get("seconds")
    if not isinstance(seconds, int):
        raise invalid_type(f"{name}.seconds", seconds, "an integer")
    if not shortest <= seconds <= _LONGEST_LIFE:
        raise out_of_range(f"{name}.seconds", seconds, shortest, _LONGEST_LIFE)
    return seconds
