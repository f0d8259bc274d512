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
    from .application.estimation import Estimate
    from .application.ports import (
        BatchProvider,
        Clock,
        CreateRequest,
        PriceBook,
        ProviderBatch,
        UploadedFile,
    )
    from .application.progress import (
        Applying,
        Delayed,
        OnProgress,
        Progress,
        Searching,
        Uploading,
        Waiting,
    )
    from .application.service import BatchService
    from .application.views import BatchSummary
    from .bootstrap import open_trail
    from .domain.costs import ModelPrice, Rates, Tier
    from .domain.errors import (
        AlreadyCancelingError,
        BatchFinishedError,
        BatchSubmittedError,
        CreatesLostError,
        DomainError,
        NotSubmittedError,
    )
    from .domain.events import BatchEvent
    from .domain.status import BatchStatus, Outcome
    from .domain.values import (
        BatchProblem,
        Limits,
        NewBatch,
        RequestCounts,
        RequestProblem,
        StatusReport,
        TokenUsage,
        Totals,
    )
    from .settings import Settings

    __version__: str

__all__ = [
    "AlreadyCancelingError",
    "Applying",
    "BatchEvent",
    "BatchFinishedError",
    "BatchNotFoundError",
    "BatchProblem",
    "BatchProvider",
    "BatchService",
    "BatchStatus",
    "BatchSubmittedError",
    "BatchSummary",
    "BatchtrailError",
    "Clock",
    "Completion",
    "ConflictError",
    "CreateRequest",
    "CreatesLostError",
    "Delayed",
    "DomainError",
    "Estimate",
    "InputError",
    "Limits",
    "ModelPrice",
    "NewBatch",
    "NotFoundError",
    "NotSubmittedError",
    "OnProgress",
    "Outcome",
    "OutcomeUnknownError",
    "PriceBook",
    "Progress",
    "ProviderBatch",
    "ProviderError",
    "QuotaError",
    "RateLimitedError",
    "Rates",
    "RefusedError",
    "RequestCounts",
    "RequestProblem",
    "Searching",
    "Settings",
    "StatusReport",
    "StoreError",
    "Tier",
    "TokenUsage",
    "Totals",
    "UnauthorizedError",
    "UnavailableError",
    "UploadedFile",
    "Uploading",
    "Waiting",
    "__version__",
    "open_trail",
]

# Imported when asked for, so that the command line starts without aiohttp and the event store.
_HOMES = (
    "application.completions",
    "application.errors",
    "application.estimation",
    "application.ports",
    "application.progress",
    "application.service",
    "application.views",
    "bootstrap",
    "domain.costs",
    "domain.errors",
    "domain.events",
    "domain.status",
    "domain.values",
    "settings",
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
