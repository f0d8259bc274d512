"""The `worker` command: keep every open batch going until somebody says stop."""

import asyncio
import signal
import sys
from pathlib import Path

from ... import bootstrap
from ...application.errors import InputError
from .batches import Place
from .exits import ExitStatus
from .logs import logging_to_stderr


async def run_worker(
    place: Place, *, until_idle: bool, parallel: int, log_json: bool, verbose: bool
) -> ExitStatus:
    """Work until SIGTERM or SIGINT, or until nothing is open."""
    settings = place.settings()
    if settings.api_key is None:
        raise InputError(bootstrap.NO_KEY)
    _allow_modules_here()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with logging_to_stderr(as_json=log_json, verbose=verbose):
        async with bootstrap.open_trail(settings=settings, actor=bootstrap.worker_actor()) as trail:
            left = await trail.worker(parallel=parallel).run(stop=stop, until_idle=until_idle)
    return ExitStatus.ERROR if until_idle and left and not stop.is_set() else ExitStatus.OK


def _allow_modules_here() -> None:
    """Let handlers stand in the working directory, where their author tries them.

    Behind everything that is installed, so that no file there takes the place of a library.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
