"""The way between a process and the provider, on which everything may go wrong."""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Protocol, TypeVar

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.application.ports import (
    CreateRequest,
    DirectAnswer,
    ProviderBatch,
    StoredFile,
    UploadedFile,
)
from batchtrail.domain.values import Limits

T = TypeVar("T")
Act = Callable[[], Awaitable[T]]


class Wire(Protocol):
    """Carries calls; what it raises comes out of the provider's methods."""

    async def carry(self, operation: str, act: Act[T]) -> T:
        """Have the provider do something, once, never or too late, and bring its answer."""
        ...

    async def piece(self, operation: str) -> None:
        """Bring the next batch of a list or the next piece of a file."""
        ...

    def transfer(self, file_id: str, content: bytes) -> list[bytes | Exception]:
        """Say in which pieces a file arrives, and what breaks its way."""
        ...


class DirectWire:
    """Nothing goes wrong; files come in pieces of some lines."""

    def __init__(self, piece_size: int = 500) -> None:
        self._piece_size = piece_size

    async def carry(self, operation: str, act: Act[T]) -> T:
        del operation
        return await act()

    async def piece(self, operation: str) -> None:
        pass

    def transfer(self, file_id: str, content: bytes) -> list[bytes | Exception]:
        del file_id
        size = self._piece_size
        return [content[start : start + size] for start in range(0, len(content), size)]


class RemoteProvider:
    """A `BatchProvider` as one process sees it: the provider at the other end of a wire."""

    def __init__(self, provider: FakeBatchProvider, wire: Wire) -> None:
        self._provider = provider
        self._wire = wire

    @property
    def name(self) -> str:
        return self._provider.name

    @property
    def limits(self) -> Limits:
        return self._provider.limits

    async def upload(
        self, lines: AsyncIterable[bytes], *, filename: str, size: int
    ) -> UploadedFile:
        return await self._wire.carry(
            "upload", lambda: self._provider.upload(lines, filename=filename, size=size)
        )

    async def create_batch(self, request: CreateRequest) -> ProviderBatch:
        return await self._wire.carry("create", lambda: self._provider.create_batch(request))

    async def retrieve_batch(self, batch_id: str) -> ProviderBatch:
        return await self._wire.carry("retrieve", lambda: self._provider.retrieve_batch(batch_id))

    async def list_batches(self) -> AsyncGenerator[ProviderBatch, None]:
        async def whole() -> list[ProviderBatch]:
            return [batch async for batch in self._provider.list_batches()]

        for batch in await self._wire.carry("list", whole):
            await self._wire.piece("list")
            yield batch

    async def list_files(self) -> AsyncGenerator[StoredFile, None]:
        async def whole() -> list[StoredFile]:
            return [file async for file in self._provider.list_files()]

        for file in await self._wire.carry("list files", whole):
            yield file

    async def cancel_batch(self, batch_id: str) -> ProviderBatch:
        return await self._wire.carry("cancel", lambda: self._provider.cancel_batch(batch_id))

    async def download(self, file_id: str) -> AsyncGenerator[bytes, None]:
        async def whole() -> bytes:
            return b"".join([piece async for piece in self._provider.download(file_id)])

        content = await self._wire.carry("download", whole)
        for piece in self._wire.transfer(file_id, content):
            if isinstance(piece, Exception):
                raise piece
            await self._wire.piece("download")
            yield piece

    async def delete_file(self, file_id: str) -> str | None:
        return await self._wire.carry("delete", lambda: self._provider.delete_file(file_id))

    async def complete_request(self, endpoint: str, body: bytes) -> DirectAnswer:
        return await self._wire.carry(
            "complete", lambda: self._provider.complete_request(endpoint, body)
        )
