"""The `worker` command: keep every open batch going until somebody says stop."""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from ... import bootstrap
from ...application.errors import InputError
from .batches import allow_modules_here
from .exits import ExitStatus
from .logs import logging_to_stderr
from .place import Place, new_file
from .streams import printing_to

_LONGEST_STOP = 15.0
"""Seconds. A create call that was sent gets ten of them to be answered."""

_ONE_WISH = 1.0
"""Seconds in which a second signal says no more than the first: `timeout` sends one to its child,
and one to the group that the child is in."""

_log = logging.getLogger(__name__)


async def run_worker(
    place: Place, *, until_idle: bool, parallel: int, log_json: bool, verbose: bool
) -> ExitStatus:
    """Work until SIGTERM or SIGINT, or until nothing is open."""
    settings = place.settings()
    if settings.api_key is None:
        raise InputError(bootstrap.NO_KEY)
    allow_modules_here()
    # Until there is something to stop, Ctrl-C ends the process as SIGTERM does: Python's own way
    # would wait for a database that another process keeps.
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    new_database = new_file(settings)
    with logging_to_stderr(as_json=log_json, verbose=verbose), printing_to(sys.stdout):
        async with bootstrap.open_trail(settings=settings, actor=bootstrap.worker_actor()) as trail:
            if new_database is not None:
                _log.warning("new database: %s", new_database)
            stop = _stopped_by_signals()
            left = await trail.worker(parallel=parallel).run(stop=stop, until_idle=until_idle)
    return ExitStatus.ERROR if until_idle and left and not stop.is_set() else ExitStatus.OK


def _stopped_by_signals(clock: Callable[[], float] = time.monotonic) -> asyncio.Event:
    """An event that SIGTERM and SIGINT set; a later one ends the process as it stands.

    So does time: a completion handler may keep the loop busy, and another process the database.
    Plain signal handlers, because those of the loop would wait for it. `clock` gives seconds.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    first: float | None = None

    def on_signal(number: int, _: object) -> None:
        nonlocal first
        if first is None:
            first = clock()
            _ask_to_stop(loop, stop)
        elif clock() - first >= _ONE_WISH:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            os._exit(128 + number)  # a container's first process is not ended by the line above

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop


def _ask_to_stop(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set the event, and leave when nobody heeds it."""
    with suppress(RuntimeError):  # the loop is closed: the end is near anyway
        loop.call_soon_threadsafe(stop.set)
    deadline = threading.Timer(_LONGEST_STOP, _leave)
    deadline.daemon = True
    deadline.start()


def _leave() -> None:
    _log.error("something does not let the worker stop; it leaves, and the next one goes on")
    os._exit(ExitStatus.ERROR)
