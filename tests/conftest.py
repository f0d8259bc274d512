"""Shared by all tests: assertions of the shipped contract suites tell what was compared."""

import pytest

pytest.register_assert_rewrite(
    "batchtrail.adapters.fake.contract", "batchtrail.adapters.store_contract"
)
