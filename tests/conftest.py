"""Shared by all tests: a database server, and assertions of the shipped suites that tell more."""

import gc

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite(
    "batchtrail.adapters.fake.contract",
    "batchtrail.adapters.store_contract",
    "batchtrail.adapters.evidence_contract",
    "batchtrail.adapters.moving_contract",
)
pytest_plugins = ["tests.postgres_server"]

# How long an example takes says something of the machine and its load, not of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector need not walk through it each time."""
    gc.freeze()
