"""The contract of event stores: three suites, made of what a store must do, subject by subject.

Who adds a store inherits them in a test module beside this one, as those of SQLite and PostgreSQL
do, and overrides the fixture `open_store`.
"""

from .bodies import BodiesContract
from .leases import LeaseContract
from .log import LogContract
from .moving import MovingContract
from .queries import QueryContract
from .rebuilding import RebuildContract
from .removal import RemovalContract
from .saving import SavingContract
from .seals import SealContract
from .snapshots import SnapshotContract
from .untrusted import UntrustedContentContract
from .verification import VerificationContract
from .views import ViewsContract

__all__ = ["BatchStoreContract", "EvidenceContract", "MovingContract"]


class BatchStoreContract(
    LogContract,
    SavingContract,
    BodiesContract,
    SnapshotContract,
    ViewsContract,
    QueryContract,
    LeaseContract,
    UntrustedContentContract,
):
    """The log, and what is kept beside it: snapshots, views and leases."""


class EvidenceContract(VerificationContract, RemovalContract, RebuildContract, SealContract):
    """The log as evidence: verify, seal, rebuild, prune and redact."""
