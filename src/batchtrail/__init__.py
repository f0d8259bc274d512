"""Batchtrail: large sets of LLM requests through batch APIs, from an event log."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .application.completions import Completion
    from .application.correlation import correlated
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
    from .application.exporting import Exported
    from .application.importing import Imported
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
    from .application.projecting import Projection, ProjectionError, Recorded
    from .application.rebuilding import Rebuilt
    from .application.request_history import RequestLife
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
    from .domain.events import (
        BatchEvent,
        Canceled,
        CancelRequested,
        CollectionReopened,
        CreateNotDone,
        CreateStarted,
        Drafted,
        GivenUp,
        HandlerDispatched,
        InputDiscarded,
        InputNotVisible,
        InputUploaded,
        PricesUsed,
        ReportAmended,
        RequestsAdded,
        ResultApplied,
        ResultsCollected,
        ResultSkipped,
        Retried,
        SiblingCanceled,
        SiblingFound,
        StatusChanged,
        SubmissionFailed,
        SubmissionStarted,
        Submitted,
        WorkFailed,
        WorkResumed,
    )
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
    "CancelRequested",
    "Canceled",
    "ChatCompletionsRequest",
    "Citation",
    "Clock",
    "CollectionReopened",
    "Completion",
    "CompletionsRequest",
    "ConflictError",
    "CreateNotDone",
    "CreateRequest",
    "CreateStarted",
    "CreatesLostError",
    "Delayed",
    "Difference",
    "DirectAnswer",
    "DomainError",
    "Drafted",
    "EmbeddingsRequest",
    "EndpointRequest",
    "Estimate",
    "Exported",
    "FilePart",
    "GivenUp",
    "HandlerDispatched",
    "ImagePart",
    "Imported",
    "InputDiscarded",
    "InputError",
    "InputNotVisible",
    "InputUploaded",
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
    "PricesUsed",
    "Progress",
    "Projection",
    "ProjectionError",
    "ProviderBatch",
    "ProviderError",
    "QuotaError",
    "RateLimitedError",
    "Rates",
    "Reasoning",
    "Rebuilding",
    "Rebuilt",
    "Recorded",
    "RefusedError",
    "ReportAmended",
    "RequestCounts",
    "RequestLife",
    "RequestProblem",
    "RequestRefusedError",
    "RequestsAdded",
    "ResponsesRequest",
    "ResultApplied",
    "ResultSkipped",
    "ResultsCollected",
    "Retried",
    "Schema",
    "SchemaRefusedError",
    "Seal",
    "Searching",
    "Settings",
    "SiblingCanceled",
    "SiblingFound",
    "StatusChanged",
    "StatusReport",
    "StoreError",
    "SubmissionFailed",
    "SubmissionStarted",
    "Submitted",
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
    "WorkFailed",
    "WorkResumed",
    "__version__",
    "correlated",
    "data_url",
    "model_settings",
    "open_trail",
    "parse_answer",
    "schema_of",
]

# Imported when asked for, so that the command line starts without aiohttp and the event store.
_HOMES = (
    "application.completions",
    "application.correlation",
    "application.differences",
    "application.endpoints",
    "application.errors",
    "application.estimation",
    "application.exporting",
    "application.importing",
    "application.ports",
    "application.progress",
    "application.projecting",
    "application.request_history",
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


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in __all__:
        for home in _HOMES:
            found = getattr(import_module(f"{__name__}.{home}"), name, None)
            if found is not None:
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
