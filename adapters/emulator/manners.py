"""What one dialect of the API says or does in its own way, as one value; OpenAI's is here."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Final

from aiohttp import web
from attrs import frozen

from . import ids, wire
from .answers import ENDPOINTS
from .errors import ApiError, file_not_visible, incorrect_key
from .lifecycle import Stage
from .records import BatchProblem, BatchRecord, FileRecord
from .shapes import RESULT_LINE, UNDONE_LINE
from .wire import Object


@frozen(kw_only=True)
class Manners:
    """One dialect: addresses, keys, ids, the shapes of answers, and what validation demands."""

    base_path: str
    """The path of the base URL that clients are given."""
    routes: str
    """What the paths of all routes begin with, as an aiohttp pattern."""
    check_access: Callable[[web.Request, tuple[str, ...]], None]
    """Raises `ApiError` for a call without a good key; takes the patterns of bad ones."""
    unknown_route: Callable[[web.Request], ApiError]
    envelope: Callable[[ApiError], Object]
    headers: Callable[[int], Mapping[str, str]]
    """Headers of every answer, from the milliseconds that it took."""
    new_batch_id: Callable[[float], str]
    """An id for a batch that is created at this Unix time."""
    new_file_id: Callable[[], str]
    file_object: Callable[[FileRecord], Object]
    batch_object: Callable[[BatchRecord, Stage], Object]
    endpoints: tuple[str, ...]
    """What a create call may name as `endpoint`."""
    urls: Callable[[str], tuple[str, ...]]
    """What the lines of a batch for this endpoint may name as `url`, all of them the same."""
    file_not_ready: Callable[[str], ApiError]
    """The refusal of a create call whose input file, of this id, was uploaded a moment ago."""
    problem: Callable[[BatchProblem], BatchProblem]
    """An error of batch validation in the dialect's own code."""
    result_line: str
    undone_line: str
    reads_uploads: bool
    """Whether an upload is refused for its first line; otherwise its batch fails."""
    needs_part_type: bool
    """Whether the file part of an upload must have a Content-Type."""
    shortest_life: int
    """Seconds that `expires_after` asks for at least."""
    keeps_empty_error_file: bool
    """Whether an error file is made even if it has nothing to say."""
    failed_has_files: bool
    """Whether a batch that fails validation has result files, both empty."""


def canonical(endpoint: str) -> str:
    """Return an endpoint with its `/v1`, which Azure leaves out."""
    return f"/v1{endpoint.removeprefix('/v1')}"


def check_key(key: str, bad_keys: tuple[str, ...], refusal: ApiError) -> None:
    """Raise the refusal for a key that is blank or matches a pattern."""
    if not key or any(fnmatchcase(key, pattern) for pattern in bad_keys):
        raise refusal


def _check_access(request: web.Request, bad_keys: tuple[str, ...]) -> None:
    """Accept OpenAI's bearer token and Azure's header."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    key = bearer or request.headers.get("api-key", "").strip()
    check_key(key, bad_keys, incorrect_key(key))


def _unknown_route(request: web.Request) -> ApiError:
    return ApiError(404, f"Invalid URL ({request.method} {request.path})")


def _headers(milliseconds: int) -> dict[str, str]:
    return {
        "x-request-id": ids.new_request_id(),
        "openai-version": "2020-10-01",
        "openai-organization": wire.ORGANIZATION,
        "openai-project": wire.PROJECT,
        "openai-processing-ms": str(milliseconds),
        "x-content-type-options": "nosniff",
    }


OPENAI: Final = Manners(
    base_path="/v1",
    routes="/v1",
    check_access=_check_access,
    unknown_route=_unknown_route,
    envelope=ApiError.envelope,
    headers=_headers,
    new_batch_id=ids.new_batch_id,
    new_file_id=ids.new_file_id,
    file_object=wire.file_object,
    batch_object=wire.batch_object,
    endpoints=ENDPOINTS,
    urls=lambda endpoint: (endpoint,),
    file_not_ready=lambda file_id: file_not_visible(file_id, wire.PROJECT),
    problem=lambda problem: problem,
    result_line=RESULT_LINE,
    undone_line=UNDONE_LINE,
    reads_uploads=True,
    needs_part_type=False,
    shortest_life=3_600,
    keeps_empty_error_file=False,
    failed_has_files=False,
)
