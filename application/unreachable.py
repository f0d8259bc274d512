"""What stands for a provider where no call can be made: the log can be read without any."""

from typing import NoReturn, cast

from ..domain.values import Limits
from .errors import InputError
from .ports import BatchProvider


def unreachable(name: str, limits: Limits, reason: str) -> BatchProvider:
    """A provider without methods: whoever asks for one gets an `InputError` with the reason."""
    return cast("BatchProvider", _Unreachable(name, limits, reason))


class _Unreachable:
    def __init__(self, name: str, limits: Limits, reason: str) -> None:
        self.name = name
        self.limits = limits
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        raise InputError(self._reason)
