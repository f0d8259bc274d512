"""Shared by all tests: a database server, and assertions of the shipped suites that tell more."""

import pytest

pytest.register_assert_rewrite(
    "batchtrail.adapters.fake.contract", "batchtrail.adapters.store_contract"
)
pytest_plugins = ["tests.postgres_server"]
