"""The provider contract, on the OpenAI adapter talking to the emulator over real HTTP."""

from collections.abc import AsyncIterator

import pytest

from batchtrail.adapters.emulator import (
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
from batchtrail.adapters.openai import OpenAISettings, connect
from batchtrail.application.ports import BatchProvider

_VALIDATING = 1.0
_IN_PROGRESS = 4.0
_LONG_AFTER = 90_000.0
_NOTHING_LISTENS = "http://127.0.0.1:9/v1"


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

    async def break_next_download(self, *, after_bytes: int) -> None:
        self._emulator.faults.arm(
            Fault(op=Operation.DOWNLOAD, kind=FaultKind.BREAK_AFTER, bytes=after_bytes)
        )

    def _arm(self, op: Operation, kind: FaultKind, *, fraction: float = 0.5) -> None:
        self._emulator.faults.arm(Fault(op=op, kind=kind, fraction=fraction))


class TestOpenAIBatchProvider(BatchProviderContract):
    """Every test of the contract."""

    @pytest.fixture
    async def emulator(self, clock: ManualClock) -> AsyncIterator[Emulator]:
        settings = EmulatorSettings(validating=_VALIDATING, in_progress=_IN_PROGRESS)
        async with running_emulator(settings, clock=clock) as emulator:
            yield emulator

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    async def stage(self, emulator: Emulator, clock: ManualClock) -> AsyncIterator[ProviderStage]:
        settings = OpenAISettings(api_key="sk-good", base_url=emulator.base_url)
        async with connect(settings, sleep=_no_sleep) as provider:
            yield EmulatorStage(provider, emulator, clock)

    @pytest.fixture
    async def wrong_key_provider(self, emulator: Emulator) -> AsyncIterator[BatchProvider]:
        settings = OpenAISettings(api_key="sk-invalid-1", base_url=emulator.base_url)
        async with connect(settings, sleep=_no_sleep) as provider:
            yield provider

    @pytest.fixture
    async def unreachable_provider(self) -> AsyncIterator[BatchProvider]:
        settings = OpenAISettings(api_key="sk-good", base_url=_NOTHING_LISTENS)
        async with connect(settings, sleep=_no_sleep) as provider:
            yield provider
