"""What the provider contract needs beside the port: a stage, and helpers for its tests."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from ...application.ports import BatchProvider, CreateRequest, ProviderBatch, UploadedFile
from ...domain.values import StatusReport


class ProviderStage(Protocol):
    """A provider on which time and faults can be driven.

    It may hold batches of others: a test finds its own by their metadata.
    """

    @property
    def provider(self) -> BatchProvider:
        """The adapter under test, with a good key."""
        ...

    @property
    def page_size(self) -> int:
        """How many batches the adapter fetches as one page of the list; a test creates more."""
        ...

    async def finish(self, batch_id: str) -> None:
        """Let time pass until the batch is over, whichever end it comes to."""
        ...

    async def work(self, batch_id: str, *, finished: int, total: int) -> None:
        """Let time pass until a new batch is in progress with `finished` of `total` requests."""
        ...

    async def expire_next(self, *, finished: int, total: int) -> None:
        """Have the next batch created expire with `finished` of its `total` requests done.

        The test brings the batch there by `finish`.
        """
        ...

    async def fail_requests_of_next(self) -> None:
        """Have every request of the next batch created be answered with an HTTP error."""
        ...

    async def lose_next_create_answer(self) -> None:
        """Have the next create call be done and its answer lost."""
        ...

    async def lose_next_direct_answer(self) -> None:
        """Have the next synchronous request be done and its answer lost."""
        ...

    async def break_next_download(self, *, after_bytes: int) -> None:
        """Have the next transfer of a file's content break off after so many bytes."""
        ...


class Pieces:
    """Bytes as an input stream that can be iterated more than once, each time from its start."""

    def __init__(self, content: bytes, size: int = 100) -> None:
        self._pieces = [content[start : start + size] for start in range(0, len(content), size)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces in order."""
        for piece in self._pieces:
            yield piece


class Actor:
    """Uploads valid input, creates batches with a mark of its own, and reads results back."""

    def __init__(self, provider: BatchProvider, endpoint: str, body: Mapping[str, Any]) -> None:
        self.provider = provider
        self.endpoint = endpoint
        self.body = body
        self.metadata = {"contract": str(uuid4()), "words": "two words, and an umlaut: ä"}

    @property
    def body_bytes(self) -> bytes:
        """The body of a synchronous request."""
        return msgspec.json.encode(self.body)

    def line(self, custom_id: str) -> bytes:
        """Make a valid request line with its newline."""
        request = {
            "custom_id": custom_id,
            "method": "POST",
            "url": self.endpoint,
            "body": self.body,
        }
        return msgspec.json.encode(request) + b"\n"

    async def upload(self, content: bytes) -> UploadedFile:
        """Upload an input file with this content."""
        return await self.provider.upload(
            Pieces(content), filename="contract.jsonl", size=len(content)
        )

    async def upload_requests(self, custom_ids: Iterable[str] = ("a", "b")) -> UploadedFile:
        """Upload one valid request for each custom_id."""
        return await self.upload(b"".join(map(self.line, custom_ids)))

    def request(self, input_file_id: str, *, endpoint: str | None = None) -> CreateRequest:
        """Make a create call's argument with this actor's mark."""
        return CreateRequest(input_file_id, endpoint or self.endpoint, "24h", self.metadata)

    async def start(self, custom_ids: Iterable[str] = ("a", "b")) -> ProviderBatch:
        """Upload and create."""
        file = await self.upload_requests(custom_ids)
        return await self.provider.create_batch(self.request(file.id))

    async def listed(self) -> list[ProviderBatch]:
        """Look through the whole list for batches with this actor's mark."""
        mark = self.metadata["contract"]
        return [
            batch
            async for batch in self.provider.list_batches()
            if batch.metadata.get("contract") == mark
        ]

    async def content(self, file_id: str) -> bytes:
        """Download a whole file."""
        return b"".join([piece async for piece in self.provider.download(file_id)])

    async def rows(self, file_id: str | None) -> list[dict[str, Any]]:
        """Read the lines of a result file; none without a file, and none in an empty one."""
        content = await self.content(file_id) if file_id else b""
        return [
            msgspec.json.decode(line, type=dict[str, Any])
            for line in content.removesuffix(b"\n").split(b"\n")
            if content
        ]

    async def answered(self, report: StatusReport) -> list[str]:
        """List the custom_ids that were answered with success in either result file, sorted."""
        rows = await self.rows(report.output_file_id) + await self.rows(report.error_file_id)
        return sorted(row["custom_id"] for row in rows if _is_success(row))


def _is_success(row: Mapping[str, Any]) -> bool:
    return row["response"] is not None and 200 <= row["response"]["status_code"] < 300  # noqa: PLR2004 (the HTTP success range)
