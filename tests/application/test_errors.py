"""Errors that leave their process, as those of a pool's workers do, arrive as they were."""

import copy
import pickle
from collections.abc import Callable
from uuid import UUID

import pytest

from batchtrail.application.errors import (
    BatchNotFoundError,
    BatchtrailError,
    ClosedError,
    RateLimitedError,
    SchemaRefusedError,
)
from batchtrail.application.projecting import ProjectionError
from batchtrail.domain.errors import NothingToCollectError, NotSubmittedError, RequestRefusedError

ID = UUID("5cd732f2-a5ab-55b1-8ae9-65ca1174839d")


@pytest.mark.parametrize(
    "error",
    [
        ClosedError(),
        BatchNotFoundError(ID),
        NotSubmittedError(ID, "waiting for it"),
        NothingToCollectError(ID, "the provider never had it"),
        ProjectionError("costs", "to begin", ValueError("no")),
        RateLimitedError("Slow down.", code="rate", http_status=429, retry_after=2.5),
        RequestRefusedError("is no URL", line=3, field="url"),
        SchemaRefusedError("output", ["no", "nor that"]),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))],  # noqa: S301
)
def test_a_copy_is_the_same(
    error: BatchtrailError, copied: Callable[[BatchtrailError], BatchtrailError]
) -> None:
    """Its text, what it knows, and its notes."""
    error.add_note("batch 5 is recorded")
    twin = copied(error)
    assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))
