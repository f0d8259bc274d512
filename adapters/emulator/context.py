"""What the request handlers of one emulator share."""

from collections.abc import Callable
from typing import Final

from aiohttp import web
from attrs import frozen

from .batches import Batches
from .calls import Calls
from .faults import Faults
from .settings import EmulatorSettings
from .store import Store


@frozen(kw_only=True)
class Context:
    """One emulator's parts."""

    settings: EmulatorSettings
    clock: Callable[[], float]
    """Unix time in seconds."""
    faults: Faults
    calls: Calls
    store: Store
    batches: Batches


CONTEXT: Final = web.AppKey("context", Context)
