"""Whose spelling of the API a server wants: OpenAI's own, or Azure OpenAI's.

All that differs on the way out is here: which header carries the key, how a create call names
its endpoint, and what one batch may hold. What comes in is read by `wire` in every spelling
that is known, whichever server was expected.
"""

from enum import StrEnum
from typing import Final

from attrs import evolve
from yarl import URL

from ...application.ports import OPENAI_LIMITS
from ...domain.values import Limits


class Dialect(StrEnum):
    """What the settings say; `auto` tells Azure by its host names."""

    AUTO = "auto"
    OPENAI = "openai"
    AZURE = "azure"


_AZURE_HOSTS: Final = (
    ".openai.azure.com",
    ".services.ai.azure.com",
    ".cognitiveservices.azure.com",
)


def resolved(dialect: Dialect, base_url: str) -> Dialect:
    """Return the dialect that is spoken at `base_url`: `openai` or `azure`."""
    if dialect is not Dialect.AUTO:
        return dialect
    host = URL(base_url).host or ""
    return Dialect.AZURE if host.endswith(_AZURE_HOSTS) else Dialect.OPENAI


def check_azure_address(base_url: str, api_version: str | None) -> None:
    """Raise `ValueError` for a base URL that Azure's own hosts answer with a bare 404."""
    url = URL(base_url)
    if not (url.host or "").endswith(_AZURE_HOSTS):
        return  # a gateway in front of Azure has addresses of its own
    if url.path == "/":
        raise ValueError("the base URL of an Azure resource must end with /openai/v1")
    if url.path == "/openai" and api_version is None:
        raise ValueError(
            "the base URL ends with /openai, which needs an API version (OPENAI_API_VERSION); "
            "without one, write /openai/v1"
        )


def create_endpoint(dialect: Dialect, endpoint: str) -> str:
    """Return how a create call names a batch's endpoint.

    Azure documents `/chat/completions` there and `/v1/chat/completions` in the lines, and takes
    both in the lines (Azure's batch guide, 2025).
    """
    return endpoint.removeprefix("/v1") if dialect is Dialect.AZURE else endpoint


def limits_of(dialect: Dialect) -> Limits:
    """Return what one batch may hold."""
    return AZURE_LIMITS if dialect is Dialect.AZURE else OPENAI_LIMITS


def _in_both_spellings(endpoints: frozenset[str]) -> frozenset[str]:
    return endpoints | {endpoint.removeprefix("/v1") for endpoint in endpoints}


AZURE_LIMITS: Final = evolve(
    OPENAI_LIMITS,
    max_requests=100_000,
    endpoints=_in_both_spellings(OPENAI_LIMITS.endpoints),
    endpoints_without_model=_in_both_spellings(OPENAI_LIMITS.endpoints_without_model),
)
"""What Azure OpenAI takes in one batch: 100,000 requests and 200 MB (Azure's batch guide, 2025).

Which endpoints it serves changes from model to model, so the list is OpenAI's.
"""
