"""The `emulator` command: serve until somebody says stop."""

import asyncio
import signal
from collections.abc import Sequence

import msgspec

from ...application.errors import InputError
from ..emulator import EmulatorSettings, Fault, read_fault, running_emulator
from .exits import ExitStatus


def parse_deployments(texts: Sequence[str]) -> dict[str, str]:
    """Deployments and their models. Raises `InputError` for a text that does not name both."""
    deployments = {}
    for text in texts:
        name, _, model = text.partition("=")
        if not name or not model:
            raise InputError(
                f"--deployment is {text!r}; write a name and a model, my-batch=gpt-4o-mini"
            )
        deployments[name] = model
    return deployments


def parse_faults(texts: Sequence[str]) -> tuple[Fault, ...]:
    """Faults from their JSON texts. Raises `InputError` for one that cannot be read."""
    faults = []
    for text in texts:
        try:
            faults.append(read_fault(msgspec.json.decode(text)))
        except (msgspec.DecodeError, UnicodeError) as error:
            raise InputError(
                f"--fault {text!r} is no fault: {error}; write for example "
                '{"op": "create", "kind": "reset_after"}'
            ) from error
    return tuple(faults)


async def serve(settings: EmulatorSettings) -> ExitStatus:
    """Print the base URL when it listens; stop cleanly on SIGTERM and SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with running_emulator(settings) as emulator:
            print(emulator.base_url, flush=True)
            await stop.wait()
    except OSError as error:
        raise InputError(
            f"the emulator cannot run: {error}; choose another --port, --host or --data-dir"
        ) from error
    return ExitStatus.OK
