"""A fake provider and somebody who uses it, for the tests of its verbs."""

import pytest

from batchtrail.adapters.fake import FakeBatchProvider
from batchtrail.adapters.fake.stage import Actor


@pytest.fixture
def provider() -> FakeBatchProvider:
    return FakeBatchProvider()


@pytest.fixture
def actor(provider: FakeBatchProvider) -> Actor:
    return Actor(provider, "/v1/responses", {"model": "gpt-5-nano", "input": "Say hello."})
