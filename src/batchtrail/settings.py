"""What a user may set: options first, then the environment, then a `.env` file."""

import base64
import math
import os
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from .application.errors import InputError

DEFAULT_DATABASE = "sqlite:///batchtrail.db"
_MEMORY = ":memory:"
_LONGEST = 365 * 86_400.0
_KEYS = "BATCHTRAIL_ENCRYPTION_KEYS"
_KEY_BYTES = 32
_LONGEST_KEY_NAME = 32


@frozen(kw_only=True)
class Settings:
    """All settings of one run, as text and numbers; times in seconds.

    `prices` is the file of the user's own prices. `encryption_keys` are keys of 32 bytes by their
    names, the one that encrypts first. They and `api_key` are secrets and show in no repr.
    """

    database: str = DEFAULT_DATABASE
    api_key: str | None = None
    base_url: str | None = None
    organization: str | None = None
    project: str | None = None
    api_version: str | None = None
    auth: str | None = None
    dialect: str = "auto"
    poll_schedule: tuple[float, ...] | None = None
    reconcile_wait: float | None = None
    max_age: float | None = None
    lease: float | None = None
    handlers: tuple[str, ...] = ()
    prices: Path | None = None
    compression: str = "none"
    encryption_keys: Mapping[str, bytes] | None = None

    def __repr__(self) -> str:
        database = _without_password(self.database)
        return f"Settings(database={database!r}, base_url={self.base_url!r}, …)"

    @classmethod
    def load(
        cls,
        *,
        database: str | None = None,
        base_url: str | None = None,
        environ: Mapping[str, str] | None = None,
        env_file: Path | None = None,
    ) -> "Settings":
        """The settings that the options, the environment and the `.env` file make together.

        Raises `InputError` naming the setting that is malformed.
        """
        path = env_file or Path(".env")
        environment = os.environ if environ is None else environ
        beside = _env_file(path)
        if _KEYS in beside:
            raise InputError(f"{path} holds {_KEYS}; set it in the environment alone")
        found = {**beside, **environment}

        def get(name: str) -> str | None:
            return (found.get(name) or "").strip() or None

        return cls(
            database=database or get("BATCHTRAIL_DB") or DEFAULT_DATABASE,
            api_key=get("OPENAI_API_KEY"),
            base_url=base_url or get("OPENAI_BASE_URL"),
            organization=get("OPENAI_ORG_ID"),
            project=get("OPENAI_PROJECT_ID"),
            api_version=get("OPENAI_API_VERSION"),
            auth=_one_of("BATCHTRAIL_AUTH", get("BATCHTRAIL_AUTH"), "bearer", "api-key"),
            dialect=_one_of(
                "BATCHTRAIL_DIALECT", get("BATCHTRAIL_DIALECT"), "auto", "openai", "azure"
            )
            or "auto",
            poll_schedule=_schedule(get("BATCHTRAIL_POLL_SCHEDULE")),
            prices=_path(get("BATCHTRAIL_PRICES")),
            reconcile_wait=_seconds("BATCHTRAIL_RECONCILE_WAIT", get("BATCHTRAIL_RECONCILE_WAIT")),
            max_age=_above_zero("BATCHTRAIL_MAX_AGE", get("BATCHTRAIL_MAX_AGE")),
            lease=_above_zero("BATCHTRAIL_LEASE", get("BATCHTRAIL_LEASE")),
            handlers=_packages(get("BATCHTRAIL_HANDLERS")),
            compression=_one_of(
                "BATCHTRAIL_COMPRESSION", get("BATCHTRAIL_COMPRESSION"), "none", "zstd"
            )
            or "none",
            encryption_keys=_keys(get(_KEYS)),
        )


def _env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 (start-up time)

    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _one_of(name: str, text: str | None, *words: str) -> str | None:
    if text is not None and text not in words:
        raise InputError(f"{name} is {text!r}; write {', '.join(words[:-1])} or {words[-1]}")
    return text


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST:
        raise InputError(
            f"{name} is {text!r}; write a number of seconds, at most a year, for example 120"
        )
    return seconds


def _above_zero(name: str, text: str | None) -> float | None:
    seconds = _seconds(name, text)
    if seconds == 0:
        raise InputError(f"{name} is {text!r}; write a number of seconds above 0")
    return seconds


def _packages(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise InputError(
                f"BATCHTRAIL_HANDLERS names {name!r}, which is no package; "
                "write names separated by commas, for example shop,billing.batches"
            )
    return names


def _keys(text: str | None) -> dict[str, bytes] | None:
    """Keys by their names; what is wrong is told without what may be a key."""
    if text is None:
        return None
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), 1):
        name, separator, encoded = (word.strip() for word in part.partition(":"))
        if not (separator and name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise InputError(f"{_KEYS}, key {number}: write NAME:KEY, of letters, digits, - and _")
        if len(name) > _LONGEST_KEY_NAME or name in keys:
            raise InputError(
                f"{_KEYS}, key {number}: each has another name, of at most "
                f"{_LONGEST_KEY_NAME} letters"
            )
        try:
            keys[name] = base64.b64decode(encoded, validate=True)
        except ValueError:
            keys[name] = b""
        if len(keys[name]) != _KEY_BYTES:
            raise InputError(
                f"{_KEYS}, key {number}: after the name come {_KEY_BYTES} random bytes in base64; "
                "make them with: head -c 32 /dev/urandom | base64"
            )
    return keys


def _schedule(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    name = "BATCHTRAIL_POLL_SCHEDULE"
    schedule = tuple(_seconds(name, part.strip() or "?") or 0.0 for part in text.split(","))
    if not all(schedule):
        raise InputError(f"{name} is {text!r}; write seconds above 0, for example 60,120,300")
    return schedule


def is_postgresql(url: str) -> bool:
    """Whether a database URL names a PostgreSQL server."""
    return url.startswith(("postgresql://", "postgres://"))


def sqlite_path(url: str) -> Path | str:
    """The file of a `sqlite:///` URL; three slashes are relative, four absolute.

    Raises `InputError` for any other URL.
    """
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator:
        raise InputError(
            f"the database URL {_without_password(url)!r} is not understood; "
            f"write {DEFAULT_DATABASE} for a file in this directory, four slashes for a full path, "
            "or postgresql://HOST/DATABASE"
        )
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path:
        raise InputError(
            f"the database URL {url!r} names no file; write three slashes and a file name, "
            f"for example {DEFAULT_DATABASE}"
        )
    return _MEMORY if path == _MEMORY else Path(path)


def _without_password(url: str) -> str:
    """A URL without its user, its query, and whatever else may hold a password."""
    scheme, separator, rest = url.partition("://")
    place, _, query = rest.partition("?")
    shown = "…" if "@" in query else place.rpartition("@")[2]
    return f"{scheme}{separator}{shown}"
