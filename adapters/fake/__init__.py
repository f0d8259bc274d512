"""A provider in memory, for tests and examples: the rules of the real one, driven by the test.

The suite that every provider adapter passes is in `contract`, which needs pytest and is
therefore imported only by name.
"""

from .answers import Answer, Answering
from .clock import VirtualClock
from .input_file import InputRequest
from .life import RawStatus
from .operations import Call, Operation
from .provider import FakeBatchProvider
from .script import TOKEN_LIMIT, UNKNOWN_MODEL

__all__ = [
    "TOKEN_LIMIT",
    "UNKNOWN_MODEL",
    "Answer",
    "Answering",
    "Call",
    "FakeBatchProvider",
    "InputRequest",
    "Operation",
    "RawStatus",
    "VirtualClock",
]
