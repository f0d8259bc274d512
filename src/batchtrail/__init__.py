"""Batchtrail: large sets of LLM requests through batch APIs, from an event log."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application.completions import Completion
    from .application.differences import Difference
    from .application.endpoints import (
        Answer,
        ChatCompletionsRequest,
        Citation,
        CompletionsRequest,
        EmbeddingsRequest,
        EndpointRequest,
        FilePart,
        ImagePart,
        Message,
        ModelSettings,
        Moderation,
        ModerationsRequest,
        Part,
        Reasoning,
        ResponsesRequest,
        Schema,
        TextPart,
        Tool,
        ToolCall,
        data_url,
        model_settings,
        parse_answer,
        schema_of,
    )
    from .application.errors import (
        AnswerMismatchError,
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
        SchemaRefusedError,
        StoreError,
        UnauthorizedError,
        UnavailableError,
    )
    from .application.estimation import Estimate
    from .application.ports import (
        BatchProvider,
        Clock,
        CreateRequest,
        DirectAnswer,
        PriceBook,
        ProviderBatch,
        UploadedFile,
    )
    from .application.progress import (
        Applying,
        Delayed,
        OnProgress,
        Progress,
        Rebuilding,
        Searching,
        Uploading,
        Waiting,
    )
    from .application.rebuilding import Rebuilt
    from .application.sealing import Seal
    from .application.service import BatchService
    from .application.verification import Verification
    from .application.views import BatchSummary
    from .bootstrap import open_trail
    from .domain.bodies import Body, Lines
    from .domain.costs import ModelPrice, Rates, Tier
    from .domain.errors import (
        AlreadyCancelingError,
        BatchFinishedError,
        BatchSubmittedError,
        BodyRemovedError,
        CreatesLostError,
        DomainError,
        NotSubmittedError,
        RequestRefusedError,
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
    "Answer",
    "AnswerMismatchError",
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
    "Body",
    "BodyRemovedError",
    "ChatCompletionsRequest",
    "Citation",
    "Clock",
    "Completion",
    "CompletionsRequest",
    "ConflictError",
    "CreateRequest",
    "CreatesLostError",
    "Delayed",
    "Difference",
    "DirectAnswer",
    "DomainError",
    "EmbeddingsRequest",
    "EndpointRequest",
    "Estimate",
    "FilePart",
    "ImagePart",
    "InputError",
    "Limits",
    "Lines",
    "Message",
    "ModelPrice",
    "ModelSettings",
    "Moderation",
    "ModerationsRequest",
    "NewBatch",
    "NotFoundError",
    "NotSubmittedError",
    "OnProgress",
    "Outcome",
    "OutcomeUnknownError",
    "Part",
    "PriceBook",
    "Progress",
    "ProviderBatch",
    "ProviderError",
    "QuotaError",
    "RateLimitedError",
    "Rates",
    "Reasoning",
    "Rebuilding",
    "Rebuilt",
    "RefusedError",
    "RequestCounts",
    "RequestProblem",
    "RequestRefusedError",
    "ResponsesRequest",
    "Schema",
    "SchemaRefusedError",
    "Seal",
    "Searching",
    "Settings",
    "StatusReport",
    "StoreError",
    "TextPart",
    "Tier",
    "TokenUsage",
    "Tool",
    "ToolCall",
    "Totals",
    "UnauthorizedError",
    "UnavailableError",
    "UploadedFile",
    "Uploading",
    "Verification",
    "Waiting",
    "__version__",
    "data_url",
    "model_settings",
    "open_trail",
    "parse_answer",
    "schema_of",
]

# Imported when asked for, so that the command line starts without aiohttp and the event store.
_HOMES = (
    "application.completions",
    "application.differences",
    "application.endpoints",
    "application.errors",
    "application.estimation",
    "application.ports",
    "application.progress",
    "application.rebuilding",
    "application.sealing",
    "application.service",
    "application.verification",
    "application.views",
    "bootstrap",
    "domain.bodies",
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
