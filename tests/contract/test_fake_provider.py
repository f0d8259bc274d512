"""The fake provider passes the suite that every provider adapter must pass."""

import pytest

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.fake.contract import BatchProviderContract, ProviderStage
from batchtrail.application.errors import UnauthorizedError, UnavailableError
from batchtrail.application.ports import BatchProvider


class FakeStage:
    """The fake's verbs as a stage; the answers and ends of the next batch are armed for all."""

    page_size = 3

    def __init__(self) -> None:
        self.provider = FakeBatchProvider(
            page_size=self.page_size, chunk_size=50, models={"gpt-4o-mini"}
        )
        self.expires_with: int | None = None

    async def finish(self, batch_id: str) -> None:
        """Move the batch to its end."""
        if self.expires_with is not None:
            self.provider.expire(batch_id, finished=self.expires_with)
        while not self.provider.look(batch_id).report.status.is_terminal:
            self.provider.advance(batch_id)

    async def work(self, batch_id: str, *, finished: int, total: int) -> None:  # noqa: ARG002 (the fake counts by itself)
        """Have some requests worked off."""
        self.provider.work(batch_id, finished=finished)

    async def expire_next(self, *, finished: int, total: int) -> None:  # noqa: ARG002 (as above)
        """Remember how far the batch will come."""
        self.expires_with = finished

    async def fail_requests_of_next(self) -> None:
        """Answer the requests of the contract with server errors."""
        for custom_id in ("a", "b", "c", "d"):
            self.provider.answer_with(custom_id, status_code=500)

    async def lose_next_create_answer(self) -> None:
        """Lose it."""
        self.provider.lose_next_answer("create")

    async def lose_next_direct_answer(self) -> None:
        """Lose it."""
        self.provider.lose_next_answer("complete")

    async def break_next_download(self, *, after_bytes: int) -> None:
        """Break it."""
        self.provider.break_download(after_bytes=after_bytes)


class TestFakeBatchProvider(BatchProviderContract):
    @pytest.fixture
    def stage(self) -> ProviderStage:
        return FakeStage()

    @pytest.fixture
    def wrong_key_provider(self) -> BatchProvider:
        provider = FakeBatchProvider()
        provider.fail_always(UnauthorizedError("Incorrect API key provided", http_status=401))
        return provider

    @pytest.fixture
    def unreachable_provider(self, stage: FakeStage) -> BatchProvider:
        """Give the provider on stage, so that the test sees whether it created a batch even so."""
        stage.provider.fail_next("create", UnavailableError("connection refused"))
        return stage.provider
