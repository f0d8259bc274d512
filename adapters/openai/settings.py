"""How to reach an OpenAI-compatible server: address, key, time limits."""

import re
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from attrs import Attribute, converters, field, frozen, validators
from yarl import URL

from ...domain.values import Limits
from .dialect import Dialect, check_azure_address, limits_of, resolved
from .hosts import has_host

DEFAULT_BASE_URL = "https://api.openai.com/v1"

_SHORTEST_SECRET = 9
"""Characters. A shorter key is a word for a server that wants none: `x`, `test`, `emulator`."""


class AuthStyle(StrEnum):
    """The header that carries the key: `Authorization: Bearer`, or Azure's `api-key`."""

    BEARER = "bearer"
    API_KEY = "api-key"


def _normalised(base_url: str) -> str:
    """One spelling for each server; no message repeats the URL, which may hold a password."""
    try:
        url = URL(base_url.strip())
        # With encoded user info and a bad port, yarl raises only when the part is asked for.
        _ = url.port, url.raw_user
    except ValueError:
        raise ValueError("the base URL cannot be read as a URL") from None
    if url.scheme not in {"http", "https"}:
        raise ValueError("the base URL must begin with http:// or https://")
    if not has_host(url):
        raise ValueError("the base URL names no host, or one that cannot be looked up")
    if url.raw_user is not None or url.raw_password is not None:
        raise ValueError("the base URL must not hold a user name or password")
    if url.raw_query_string or url.raw_fragment or base_url.strip().endswith(("?", "#")):
        raise ValueError(
            "the base URL must end with its path; an API version has a setting of its own"
        )
    return str(url).rstrip("/")


def _stripped(key: str) -> str:
    return key.strip()


def _header_text(text: str | None) -> str | None:
    return text.strip() or None if text is not None else None


def _sendable(_: Any, attribute: "Attribute[Any]", value: str | None) -> None:
    """Refuse what a header cannot carry, without repeating it: it may be the key."""
    if value is not None and not (value.isascii() and value.isprintable()):
        raise ValueError(f"{attribute.name} holds characters that no HTTP header can carry")


def _given(_: Any, attribute: "Attribute[Any]", value: str) -> None:
    if not value:
        raise ValueError(f"{attribute.name} is empty")


@frozen(kw_only=True)
class OpenAISettings:
    """Everything that the adapter may be told; a `ValueError` names the setting that is wrong.

    `api_key` is a secret and shows in no repr. `dialect` says whose spelling the server wants, by
    default told from the host of `base_url`; `auth` is by default what that dialect uses, a bearer
    token or, for Azure, the `api-key` header. `api_version` is sent as `?api-version=`, as older
    Azure OpenAI interfaces want it. All times are seconds: `connect_timeout` is for name lookup,
    TCP, proxy and TLS together; `read_timeout` is the longest silence between two bytes, sent or
    received; `create_timeout` is the whole of a create call, after which nobody waits for its
    answer and a search for the batch may begin. `max_attempts` counts the first one; back-off
    doubles from `first_backoff` to `longest_backoff`.
    """

    api_key: str = field(repr=False, converter=_stripped, validator=[_given, _sendable])
    base_url: str = field(default=DEFAULT_BASE_URL, converter=_normalised)
    dialect: Dialect = field(default=Dialect.AUTO, converter=Dialect)
    auth: AuthStyle | None = field(default=None, converter=converters.optional(AuthStyle))
    organization: str | None = field(default=None, converter=_header_text, validator=_sendable)
    project: str | None = field(default=None, converter=_header_text, validator=_sendable)
    api_version: str | None = field(default=None, converter=_header_text)
    connect_timeout: float = field(default=10.0, validator=validators.gt(0))
    read_timeout: float = field(default=600.0, validator=validators.gt(0))
    create_timeout: float = field(default=60.0, validator=validators.gt(0))
    max_attempts: int = field(default=4, validator=validators.ge(1))
    first_backoff: float = field(default=0.5, validator=validators.gt(0))
    longest_backoff: float = field(default=8.0, validator=validators.gt(0))

    def __attrs_post_init__(self) -> None:
        """Refuse an address that Azure surely does not serve."""
        if self.spoken is Dialect.AZURE:
            check_azure_address(self.base_url, self.api_version)

    @property
    def spoken(self) -> Dialect:
        """The dialect of the server: `openai` or `azure`."""
        return resolved(self.dialect, self.base_url)

    @property
    def limits(self) -> Limits:
        """What the server takes in one batch."""
        return limits_of(self.spoken)

    @property
    def name(self) -> str:
        """Which provider and account endpoint this is; holds no secret."""
        return f"openai:{self.base_url}"

    @property
    def is_unencrypted(self) -> bool:
        """Whether the key and all requests can be read on the way to another machine."""
        return URL(self.base_url).scheme == "http" and not self.is_on_this_machine

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the server is an emulator, or something else that is tried out here."""
        return _is_this_machine(URL(self.base_url).host or "")

    def credentials(self) -> dict[str, str]:
        """Return the headers that must never reach another origin."""
        usual = AuthStyle.API_KEY if self.spoken is Dialect.AZURE else AuthStyle.BEARER
        headers = (
            {"Authorization": f"Bearer {self.api_key}"}
            if (self.auth or usual) is AuthStyle.BEARER
            else {"api-key": self.api_key}
        )
        if self.organization is not None:
            headers["OpenAI-Organization"] = self.organization
        if self.project is not None:
            headers["OpenAI-Project"] = self.project
        return headers

    def url(self, *segments: str) -> URL:
        """Build the address of a resource; each segment must already be percent-encoded."""
        url = URL(self.base_url).joinpath(*segments, encoded=True)
        return (
            url if self.api_version is None else url.with_query({"api-version": self.api_version})
        )

    def redact(self, text: str) -> str:
        """`text` without the key, which some servers repeat in their answers.

        For a text that is not cut yet: one that is may keep a part of the key. A word that stands
        for a key stays: without it the text would lose what it says.
        """
        return _spellings(self.api_key).sub("[key]", text) if self._is_secret else text

    @property
    def _is_secret(self) -> bool:
        return len(self.api_key) >= _SHORTEST_SECRET


@lru_cache(maxsize=8)
def _spellings(key: str) -> re.Pattern[str]:
    """A key as it is, or with any of its characters escaped as in JSON that nobody could decode."""
    return re.compile("".join(rf"(?:\\?{re.escape(c)}|(?i:\\u{ord(c):04x}))" for c in key))


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
