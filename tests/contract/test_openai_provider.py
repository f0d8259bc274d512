"""The provider contract, on the OpenAI adapter talking to the emulator over real HTTP.

Once in OpenAI's dialect, and for both kinds of Azure's addresses once in Azure's.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import evolve
from yarl import URL

from batchtrail.adapters.emulator import (
    Dialect,
    Emulator,
    EmulatorSettings,
    Fault,
    FaultKind,
    ManualClock,
    Operation,
    running_emulator,
)
from batchtrail.adapters.fake.contract import BatchProviderContract
from batchtrail.adapters.fake.stage import ProviderStage
from batchtrail.adapters.openai import Dialect as AdapterDialect, OpenAISettings
from batchtrail.adapters.openai.provider import connect
from batchtrail.application.ports import BatchProvider

_VALIDATING = 1.0
_IN_PROGRESS = 4.0
_LONG_AFTER = 90_000.0
_NOTHING_LISTENS = "http://127.0.0.1:9"


async def _no_sleep(_seconds: float) -> None:
    """Repeat at once."""


class EmulatorStage:
    """Drives the emulator by its clock and its faults."""

    page_size = 100

    def __init__(self, provider: BatchProvider, emulator: Emulator, clock: ManualClock) -> None:
        self.provider = provider
        self._emulator = emulator
        self._clock = clock

    async def finish(self, batch_id: str) -> None:
        del batch_id
        self._clock.advance(_LONG_AFTER)

    async def work(self, batch_id: str, *, finished: int, total: int) -> None:
        self._clock.advance(_VALIDATING + _IN_PROGRESS * finished / total)
        await self.provider.retrieve_batch(batch_id)

    async def expire_next(self, *, finished: int, total: int) -> None:
        self._arm(Operation.CREATE, FaultKind.EXPIRE, fraction=finished / total)

    async def fail_requests_of_next(self) -> None:
        self._arm(Operation.CREATE, FaultKind.ALL_FAILED)

    async def lose_next_create_answer(self) -> None:
        self._arm(Operation.CREATE, FaultKind.RESET_AFTER)

    async def lose_next_direct_answer(self) -> None:
        self._arm(Operation.COMPLETE, FaultKind.RESET_AFTER)

    async def break_next_download(self, *, after_bytes: int) -> None:
        self._emulator.faults.arm(
            Fault(op=Operation.DOWNLOAD, kind=FaultKind.BREAK_AFTER, bytes=after_bytes)
        )

    def _arm(self, op: Operation, kind: FaultKind, *, fraction: float = 0.5) -> None:
        self._emulator.faults.arm(Fault(op=op, kind=kind, fraction=fraction))


class TestOpenAIBatchProvider(BatchProviderContract):
    """Every test of the contract."""

    @pytest.fixture
    def dialect(self) -> EmulatorSettings:
        """Give the emulator's settings apart from its times."""
        return EmulatorSettings()

    @pytest.fixture
    def reach(self) -> OpenAISettings:
        """Give the adapter's settings; only the path of the base URL counts."""
        return OpenAISettings(api_key="sk-good", base_url="http://host/v1")

    @pytest.fixture
    async def emulator(
        self, clock: ManualClock, dialect: EmulatorSettings
    ) -> AsyncIterator[Emulator]:
        settings = evolve(dialect, validating=_VALIDATING, in_progress=_IN_PROGRESS)
        async with running_emulator(settings, clock=clock) as emulator:
            yield emulator

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def stage(
        self, emulator: Emulator, clock: ManualClock, reach: OpenAISettings
    ) -> AsyncIterator[ProviderStage]:
        async with connect(_at(emulator.base_url, reach), sleep=_no_sleep) as provider:
            yield EmulatorStage(provider, emulator, clock)

    @pytest.fixture
    async def wrong_key_provider(
        self, emulator: Emulator, reach: OpenAISettings
    ) -> AsyncIterator[BatchProvider]:
        settings = evolve(_at(emulator.base_url, reach), api_key="sk-invalid-1")
        async with connect(settings, sleep=_no_sleep) as provider:
            yield provider

    @pytest.fixture
    async def unreachable_provider(self, reach: OpenAISettings) -> AsyncIterator[BatchProvider]:
        async with connect(_at(_NOTHING_LISTENS, reach), sleep=_no_sleep) as provider:
            yield provider


def _at(server: str, reach: OpenAISettings) -> OpenAISettings:
    path = URL(reach.base_url).path
    return evolve(reach, base_url=str(URL(server).with_path(path)))


class _Azure(TestOpenAIBatchProvider):
    """Not a test class by its name; the two below are."""

    @pytest.fixture
    def dialect(self) -> EmulatorSettings:
        return EmulatorSettings(dialect=Dialect.AZURE, deployments={"nightly": "gpt-4o-mini"})

    @pytest.fixture
    def body(self) -> dict[str, Any]:
        return {"model": "nightly", "messages": [{"role": "user", "content": "Say hello."}]}


class TestAzure(_Azure):
    """Every test of the contract, at Azure's present address, with lines as at OpenAI."""

    @pytest.fixture
    def reach(self) -> OpenAISettings:
        return OpenAISettings(
            api_key="sk-good", base_url="http://host/openai/v1", dialect=AdapterDialect.AZURE
        )


class TestOlderAzure(_Azure):
    """Every test of the contract, at an address with a version, with lines without `/v1`."""

    @pytest.fixture
    def reach(self) -> OpenAISettings:
        return OpenAISettings(
            api_key="sk-good",
            base_url="http://host/openai",
            api_version="2024-10-21",
            dialect=AdapterDialect.AZURE,
        )

    @pytest.fixture
    def endpoint(self) -> str:
        return "/chat/completions"
