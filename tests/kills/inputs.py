"""Inputs that no other life has, and their answers but for what is made anew each time."""

import json
import re
from pathlib import Path
from uuid import uuid4

from attrs import field, frozen

FAILING = 20
"""Of so many requests one is answered with an error, so that there are two result files."""

_MADE_ANEW = re.compile(rb'"(?:id": "batch_req_|request_id": "|created_at": )[\w-]*"?')


@frozen
class Input:
    """A file of so many requests; their custom_ids begin with the token, their bodies are equal."""

    requests: int
    token: str = field(factory=lambda: uuid4().hex[:12])

    @property
    def custom_ids(self) -> list[str]:
        """In input order."""
        return [f"{self.token}-{number}" for number in range(1, self.requests + 1)]

    @property
    def failing(self) -> int:
        """How many requests have no success."""
        return self.requests // FAILING

    @property
    def content(self) -> bytes:
        """The JSONL file."""
        return b"".join(
            _request(custom_id, number) for number, custom_id in enumerate(self.custom_ids, 1)
        )

    def write(self, directory: Path) -> Path:
        """Write the file."""
        path = directory / f"{self.token}.jsonl"
        path.write_bytes(self.content)
        return path

    def plain(self, results: bytes) -> bytes:
        """Result lines without what differs between two batches of the same bodies."""
        return _MADE_ANEW.sub(b"", results).replace(self.token.encode(), b"")


def _request(custom_id: str, number: int) -> bytes:
    body = {"model": "gpt-5-nano", "input": f"Say a word about {number}."}
    if number % FAILING == 0:
        body["user"] = "emulator:429:rate_limit_exceeded"
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/responses", "body": body}
    return json.dumps(line).encode() + b"\n"
