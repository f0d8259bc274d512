"""HTTP answers as OpenAI frames them."""

import json
from typing import Any

from aiohttp import web

from .errors import ApiError
from .manners import Manners


def pretty(value: Any, *, status: int = 200, ending: str = "") -> web.Response:
    """Return JSON with an indent of two, as most endpoints answer it."""
    return _json(json.dumps(value, indent=2) + ending, status)


def compact(value: Any) -> web.Response:
    """Return JSON without any space, as the cancel endpoint answers it."""
    return _json(json.dumps(value, separators=(",", ":")), 200)


def refusal(error: ApiError, manners: Manners) -> web.Response:
    """Return an error envelope."""
    return pretty(manners.envelope(error), status=error.status, ending="\n")


def _json(text: str, status: int) -> web.Response:
    # OpenAI names no charset, which aiohttp would add to a text.
    return web.Response(body=text.encode(), status=status, content_type="application/json")
