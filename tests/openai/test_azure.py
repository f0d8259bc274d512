"""Whole lives in Azure's dialect: the service and the OpenAI adapter on the emulator, over HTTP.

One clock moves both sides: where the service waits, the emulator's time passes.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from batchtrail import open_trail
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
from batchtrail.application.errors import InputError, UnauthorizedError
from batchtrail.application.service import BatchService
from batchtrail.domain.events import StatusChanged
from batchtrail.domain.status import BatchStatus, Outcome
from batchtrail.settings import Settings

DEPLOYMENTS = {"nightly": "gpt-4o-mini"}
DONE = [Outcome.SUCCEEDED] * 2


class SharedClock:
    """The service's clock, by which the emulator goes too."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    async def sleep(self, seconds: float) -> None:
        self._clock.advance(seconds)
        await asyncio.sleep(0)


@frozen
class Azure:
    """An emulator in Azure's dialect, and services that talk to it."""

    emulator: Emulator
    clock: ManualClock
    database: str

    @asynccontextmanager
    async def trail(
        self, path: str = "/openai/v1", api_version: str | None = None, auth: str | None = None
    ) -> AsyncIterator[BatchService]:
        origin = self.emulator.base_url.removesuffix("/openai/v1")
        made = Settings(
            api_key="k",
            base_url=origin + path,
            api_version=api_version,
            auth=auth,
            dialect="azure",
            poll_schedule=(1.0,),
        )
        clock = SharedClock(self.clock)
        async with open_trail(self.database, settings=made, clock=clock) as trail:
            yield trail

    async def batches(self) -> list[dict[str, Any]]:
        async with (
            aiohttp.ClientSession(headers={"api-key": "k"}) as session,
            session.get(f"{self.emulator.base_url}/batches") as response,
        ):
            found: list[dict[str, Any]] = (await response.json())["data"]
            return found


@pytest.fixture
async def azure(tmp_path: Path) -> AsyncIterator[Azure]:
    clock = ManualClock()
    settings = EmulatorSettings(
        dialect=Dialect.AZURE, deployments=DEPLOYMENTS, validating=2.0, in_progress=8.0
    )
    async with running_emulator(settings, clock=clock) as emulator:
        yield Azure(emulator, clock, f"sqlite:///{tmp_path / 'azure.db'}")


def requests(
    url: str = "/v1/chat/completions", model: str = "nightly", ids: str = "abcd"
) -> list[dict[str, Any]]:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi."}]}
    return [{"custom_id": each, "method": "POST", "url": url, "body": body} for each in ids]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("/v1/chat/completions", {}),
        ("/chat/completions", {}),
        ("/chat/completions", {"path": "/openai", "api_version": "2024-10-21"}),
    ],
    ids=["as at OpenAI", "without v1", "older address"],
)
async def test_a_whole_life(azure: Azure, url: str, address: dict[str, str]) -> None:
    """Submit, wait and results; the create call names the endpoint in Azure's spelling."""
    async with azure.trail(**address) as trail:
        batch = await trail.submit(requests(url))
        summary = await trail.wait(batch)
        assert summary.status is BatchStatus.ENDED
        found = [each async for each in trail.completions(batch)]
        statuses = [
            event.report.raw_status
            async for event in trail.history(batch)
            if isinstance(event, StatusChanged)
        ]
    assert [each.custom_id for each in found] == list("abcd")
    assert {each.outcome for each in found} == {Outcome.SUCCEEDED}
    assert {each.body["model"] for each in found} == {"gpt-4o-mini-2024-07-18"}
    assert statuses[-1] == "Completed"
    assert "InProgress" in statuses
    (shown,) = await azure.batches()
    assert shown["endpoint"] == "/chat/completions"
    assert shown["error_file_id"]


async def test_a_file_that_is_pending_is_waited_for(azure: Azure) -> None:
    """Azure takes it only once it is processed: the create is made again, the upload is not."""
    armed = Fault(op=Operation.CREATE, kind=FaultKind.FILE_HIDDEN_REFUSED, seconds=30, times=None)
    azure.emulator.faults.arm(armed)
    async with azure.trail() as trail:
        batch = await trail.submit(requests())
        summary = await trail.wait(batch)
    assert summary.status is BatchStatus.ENDED
    calls = azure.emulator.calls.applied
    assert (calls[Operation.UPLOAD], calls[Operation.DELETE]) == (1, 0)
    assert len(await azure.batches()) == 1


async def test_an_expired_batch_keeps_its_rows(azure: Azure) -> None:
    """Half of the rows were done; the others are told apart from failures."""
    azure.emulator.faults.arm(Fault(op=Operation.CREATE, kind=FaultKind.EXPIRE, fraction=0.5))
    async with azure.trail() as trail:
        batch = await trail.submit(requests())
        summary = await trail.wait(batch)
        found = [each.outcome async for each in trail.completions(batch)]
    assert summary.status is BatchStatus.EXPIRED
    assert found == [*DONE, Outcome.EXPIRED, Outcome.EXPIRED]


async def test_a_canceled_batch_keeps_its_rows(azure: Azure) -> None:
    """What was done until the cancel is collected."""
    async with azure.trail() as trail:
        batch = await trail.submit(requests())
        azure.clock.advance(6.0)
        await trail.cancel(batch)
        summary = await trail.wait(batch)
        found = [each.outcome async for each in trail.completions(batch)]
    assert summary.status is BatchStatus.CANCELED
    assert found == [*DONE, Outcome.CANCELED, Outcome.CANCELED]


async def test_a_failed_batch_has_two_empty_files(azure: Azure) -> None:
    """They hold nothing, and every request fails with the reason of the batch."""
    async with azure.trail() as trail:
        batch = await trail.submit(requests(model="unheard-of"))
        summary = await trail.wait(batch)
        found = [each.outcome async for each in trail.completions(batch)]
    assert summary.status is BatchStatus.FAILED
    assert found == [Outcome.FAILED] * 4
    assert {error.code for error in summary.errors} == {"model_not_found"}
    assert azure.emulator.calls.applied[Operation.DOWNLOAD] == 2


async def test_a_lost_create_is_found_again(azure: Azure) -> None:
    """The list has our id in its metadata, whatever its other fields look like."""
    azure.emulator.faults.arm(Fault(op=Operation.CREATE, kind=FaultKind.RESET_AFTER))
    async with azure.trail() as trail:
        batch = await trail.submit(requests())
        summary = await trail.wait(batch)
    assert summary.status is BatchStatus.ENDED
    assert len(await azure.batches()) == 1


async def test_a_key_in_the_wrong_header_is_refused(azure: Azure) -> None:
    """With `bearer` Azure takes the key for an Entra token; its own words say so."""
    async with azure.trail(auth="bearer") as trail:
        with pytest.raises(UnauthorizedError, match="Access denied due to invalid subscription"):
            await trail.submit(requests())
    assert await azure.batches() == []


async def test_mixed_spellings_are_refused_at_home(azure: Azure) -> None:
    """Azure wants one url in all lines; it would fail the batch with `url_mismatch`."""
    mixed = [*requests(ids="a"), *requests("/chat/completions", ids="b")]
    async with azure.trail() as trail:
        with pytest.raises(InputError, match="line 2, field url"):
            await trail.submit(mixed)
    assert azure.emulator.calls.received[Operation.UPLOAD] == 0


async def test_the_lines_leave_as_they_were_written(azure: Azure) -> None:
    """Only the create call is respelled, never the user's lines."""
    async with azure.trail() as trail:
        await trail.submit(requests(ids="a"))
    (shown,) = await azure.batches()
    async with (
        aiohttp.ClientSession(headers={"api-key": "k"}) as session,
        session.get(
            f"{azure.emulator.base_url}/files/{shown['input_file_id']}/content"
        ) as response,
    ):
        assert json.loads(await response.read()) == requests(ids="a")[0]
