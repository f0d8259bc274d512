"""Calls that may block for ever, each on a thread of its own."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress


async def raised_on_own_thread(call: Callable[[], object], *, name: str) -> BaseException | None:
    """What a blocking call raised; when this is cancelled the thread is left to itself.

    A daemon thread, unlike those of an executor: what never returns, a user's handler or a pipe
    that nobody writes to, must not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    # A result and not the future's exception: no future takes a StopIteration, and it would hang.
    done: asyncio.Future[BaseException | None] = loop.create_future()

    def settle(raised: BaseException | None) -> None:
        if not done.done():
            done.set_result(raised)

    def run() -> None:
        outcome: BaseException | None = None
        try:
            call()
        except BaseException as raised:  # noqa: BLE001 (no interrupt comes to this thread)
            outcome = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
