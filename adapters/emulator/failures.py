"""HTTP errors of single requests, among them those that a request asks for.

A request whose `user` (else `safety_identifier`, else any value in `metadata`) reads
`emulator:<status>:<code>`, for example `emulator:400:context_length_exceeded`, is answered with
that error.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from .errors import ApiError

_ASKED: Final = re.compile(r"emulator:([45]\d\d):(\w+)")
_WISHES: Final = frozenset({"user", "safety_identifier", "metadata"})
_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "requests",
    500: "server_error",
    503: "server_error",
}


@frozen
class Failure:
    """An HTTP error in place of an answer."""

    status: int
    code: str

    def error(self) -> ApiError:
        """Return the error as an API call raises it."""
        return ApiError(
            self.status,
            f"The emulator was asked to answer this request with {self.status} ({self.code}).",
            type=_TYPES.get(self.status, "invalid_request_error"),
            code=self.code,
        )


SERVER_ERROR: Final = Failure(500, "server_error")
"""What requests get that fail without having asked for it."""


def asked_failure(body: Mapping[str, Any]) -> Failure | None:
    """Return the failure that a request body asks for."""
    if _WISHES.isdisjoint(body):
        return None
    metadata = body.get("metadata")
    wishes = [body.get("user"), body.get("safety_identifier")]
    if isinstance(metadata, dict):
        wishes.extend(metadata.values())
    for wish in wishes:
        if isinstance(wish, str) and (match := _ASKED.fullmatch(wish)):
            return Failure(int(match[1]), match[2])
    return None
