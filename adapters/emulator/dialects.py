"""The dialects that the emulator can speak."""

from enum import StrEnum
from typing import Final

from .azure import AZURE
from .manners import OPENAI, Manners


class Dialect(StrEnum):
    """Whose spelling of the API the emulator speaks."""

    OPENAI = "openai"
    AZURE = "azure"
    """Azure OpenAI: `api-key`, deployments, capitalised statuses; see the `azure` module."""


_MANNERS: Final = {Dialect.OPENAI: OPENAI, Dialect.AZURE: AZURE}


def manners_of(dialect: Dialect) -> Manners:
    """Return what a dialect does in its own way."""
    return _MANNERS[dialect]
