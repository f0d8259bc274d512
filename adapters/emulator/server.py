"""The emulator as a running server."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from attrs import frozen

from .app import CALLS, FAULTS, create_app
from .calls import Calls
from .faults import Faults
from .settings import EmulatorSettings

_SHUTDOWN: Final = 0.2
"""Seconds that open requests get when the server stops."""


@frozen(kw_only=True)
class Emulator:
    """A server that listens."""

    base_url: str
    """What clients are given: with `/v1` at its end, and in Azure's dialect `/openai/v1`."""
    control_url: str
    """Where the control routes are; see the `control` module."""
    faults: Faults
    calls: Calls


@asynccontextmanager
async def running_emulator(
    settings: EmulatorSettings | None = None, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Emulator]:
    """Listen from entering to leaving; cancelling the task inside stops the server cleanly.

    async with running_emulator(EmulatorSettings(port=8080)) as emulator:
        print(emulator.base_url)
        await asyncio.Event().wait()
    """
    settings = settings or EmulatorSettings()
    app = create_app(settings, clock=clock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        origin = _origin(runner)
        yield Emulator(
            base_url=origin + settings.manners.base_path,
            control_url=f"{origin}/_emulator",
            faults=app[FAULTS],
            calls=app[CALLS],
        )
    finally:
        await runner.cleanup()


def _origin(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
