"""Leases: one holder at a time, until it ends or is given back."""

from datetime import UTC, datetime, timedelta

from batchtrail.application.store import Batches

from .base import OpenStore, StoreContract


class LeaseContract(StoreContract):
    """Who holds a lease, and for how long."""

    def test_one_holder_of_a_lease(self, open_store: OpenStore) -> None:
        """Who has it keeps it until it ends or is given back; renewing it counts from then."""
        ada, bob = (_Holder(open_store(), name) for name in ("ada", "bob"))
        assert ada.claims("a", at=0, until=1)
        assert not bob.claims("a", at=0, until=1)
        assert bob.claims("b", at=0, until=1)
        assert ada.claims("a", at=0, until=2)
        assert not bob.claims("a", at=1, until=9)
        bob.release("a")
        assert not bob.claims("a", at=1, until=9)
        assert bob.claims("a", at=2, until=9)
        assert not ada.claims("a", at=3, until=9)
        bob.release("a")
        assert ada.claims("a", at=3, until=9)

    def test_a_lease_from_a_clock_that_was_ahead(self, open_store: OpenStore) -> None:
        """One that ends later than any can is over: its holder may be dead, and block for days."""
        ada, bob = (_Holder(open_store(), name) for name in ("ada", "bob"))
        assert ada.claims("a", at=49, until=50)
        assert not bob.claims("a", at=0, until=1)
        assert ada.claims("a", at=50, until=51)
        assert bob.claims("a", at=0, until=1)
        assert not ada.claims("a", at=0, until=1)


class _Holder:
    """Somebody who claims leases; moments are in minutes, and no lease ends later than in 50."""

    def __init__(self, store: Batches, name: str) -> None:
        self._store = store
        self._name = name

    def claims(self, lease: str, *, at: float, until: float) -> bool:
        """Whether a lease was to be had."""
        begin, minute = datetime(2026, 1, 1, 23, 59, 30, tzinfo=UTC), timedelta(minutes=1)
        now = begin + at * minute
        return self._store.recorder.claim(
            lease, self._name, now=now, until=begin + until * minute, latest=now + 50 * minute
        )

    def release(self, lease: str) -> None:
        """Give a lease back."""
        self._store.recorder.release(lease, self._name)
