"""Identifiers in the shapes that OpenAI hands out."""

import secrets
from uuid import uuid4

# shortuuid's alphabet: what is easily misread (0 1 I O l) is left out.
_FILE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def new_file_id() -> str:
    """Return `file-` and 22 characters."""
    return "file-" + "".join(secrets.choice(_FILE_ALPHABET) for _ in range(22))


def new_batch_id(created_at: float) -> str:
    """Return `batch_` and 32 hex digits, of which the first eight are the creation time."""
    return f"batch_{int(created_at):08x}{_uuid_like(secrets.token_hex(12))}"


def line_id_prefix(finalizing_at: float) -> str:
    """Return what all line ids of one result file begin with; `line_id_suffix` completes them."""
    return f"batch_req_{int(finalizing_at):08x}"


def line_id_suffix(digest: str) -> str:
    """Return the 24 hex digits of a line id, made from a hex digest of the line."""
    return _uuid_like(digest[:24])


def new_request_id() -> str:
    """Return the value of an `x-request-id` header."""
    return f"req_{uuid4().hex}"


def line_request_id(digest: str) -> str:
    """Return the `request_id` of a result line, a hyphenated UUID4 made from a hex digest."""
    return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}"


def _uuid_like(hex24: str) -> str:
    # Recorded ids carry a constant 8190 where a UUID has its version and variant.
    return f"{hex24[:4]}8190{hex24[8:]}"
