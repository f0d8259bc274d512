"""Whether what was submitted is what the log says was added."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

from ..domain.events import RequestsAdded, SubmissionStarted
from .inspection import Finding
from .records import EventRecord


class InputChecks:
    """The SHA-256 of each input that is not submitted yet, by its requests in the log."""

    def __init__(self) -> None:
        self._digests: dict[UUID, Any] = {}

    def problems(self, record: EventRecord, finding: Finding) -> Iterator[str]:
        """Take in an event; what was submitted must be what was added."""
        event, batch_id = finding.event, record.originator_id
        if not isinstance(batch_id, UUID):
            return
        if event is None or (isinstance(event, RequestsAdded) and finding.problems):
            self._digests[batch_id] = None
        elif isinstance(event, RequestsAdded):
            self._add(batch_id, event)
        elif isinstance(event, SubmissionStarted):
            digest = self._digests.pop(batch_id, None)
            if digest is not None and digest.hexdigest() != event.input_sha256:
                yield "names an input that is not the requests before it"

    def _add(self, batch_id: UUID, event: RequestsAdded) -> None:
        """Go on with the digest of an input; give it up where a part was removed or redacted."""
        digest = self._digests.setdefault(batch_id, sha256())
        if event.lines.content is None or event.lines.redacted:
            self._digests[batch_id] = None
        elif digest is not None:
            digest.update(event.lines.content)
