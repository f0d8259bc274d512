"""Limits small enough to be met by a test."""

import pytest

from batchtrail.domain.values import Limits


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(
        max_requests=4,
        max_bytes=1_000,
        endpoints=frozenset({"/v1/responses", "/v1/embeddings", "/v1/moderations"}),
        endpoints_without_model=frozenset({"/v1/moderations"}),
    )
