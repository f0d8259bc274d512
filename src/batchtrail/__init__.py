"""Batchtrail: large sets of LLM requests through batch APIs, from an event log."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application.completions import Completion
    from .application.errors import (
        BatchNotFoundError,
        BatchtrailError,
        ConflictError,
        InputError,
        NotFoundError,
        OutcomeUnknownError,
        ProviderError,
        QuotaError,
        RateLimitedError,
        RefusedError,
        StoreError,
        UnauthorizedError,
        UnavailableError,
    )
    from .application.ports import BatchProvider, Clock
    from .application.service import BatchService, ServiceSettings
    from .application.views import BatchSummary
    from .bootstrap import open_trail
    from .domain.errors import DomainError
    from .domain.status import BatchStatus, Outcome

    __version__: str

__all__ = [
    "BatchNotFoundError",
    "BatchProvider",
    "BatchService",
    "BatchStatus",
    "BatchSummary",
    "BatchtrailError",
    "Clock",
    "Completion",
    "ConflictError",
    "DomainError",
    "InputError",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "ProviderError",
    "QuotaError",
    "RateLimitedError",
    "RefusedError",
    "ServiceSettings",
    "StoreError",
    "UnauthorizedError",
    "UnavailableError",
    "__version__",
    "open_trail",
]

# Imported when asked for, so that the command line starts without aiohttp and the event store.
_HOMES = (
    "bootstrap",
    "application.completions",
    "application.errors",
    "application.ports",
    "application.service",
    "application.views",
    "domain.errors",
    "domain.status",
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 (start-up time)

        return version("batchtrail")
    if name in __all__:
        for home in _HOMES:
            found = getattr(import_module(f"{__name__}.{home}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
