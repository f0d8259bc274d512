"""What a user may set: options first, then the environment, then a `.env` file."""

import base64
import math
import os
import re
from collections.abc import Callable, Collection, Mapping
from io import StringIO
from pathlib import Path
from typing import Any, cast

from attrs import Attribute, field, frozen
from attrs.validators import optional

from .application.errors import InputError
from .domain.checks import (
    check_schedule,
    check_seconds,
    check_type,
    check_wait,
    is_a,
    is_schedule,
    is_seconds,
    is_text,
    is_wait,
    own_copy,
    own_tuple,
)

DEFAULT_DATABASE = "sqlite:///batchtrail.db"
_MEMORY = ":memory:"
_POSTGRESQL = re.compile(
    r"(postgres(?:ql)?://)(?:[^/?#@]*@)?([\w.,-]*(?::\d+)?(?:/[\w.-]*)?)(?:\?[^@]*)?"
)
"""What its groups hold may be shown; of any other form, each part may be of a password."""

_PREFIX = "BATCHTRAIL_"
_KEYS = "BATCHTRAIL_ENCRYPTION_KEYS"
_DEBUG = "BATCHTRAIL_DEBUG"
"""Read by the command itself, before there are settings."""
_OF_KUBERNETES = re.compile(r"\w*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_[A-Z]+(_[A-Z]+)?)?)")
"""What it sets in each container where a service is named `batchtrail`."""
_CLOSE = 0.75
_KEY_BYTES = 32
_LONGEST_KEY_NAME = 32
_AUTH = ("bearer", "api-key")
_DIALECTS = ("auto", "openai", "azure")
_COMPRESSIONS = ("none", "zstd")

_Get = Callable[[str], str | None]
"""Gives the text of a setting, None where it is not set."""


def _is_one_of(*words: str | None) -> Any:
    def validate(_: object, field: "Attribute[Any]", value: object) -> None:
        _check_one_of(field.name, value, *words)

    return validate


def _are_packages(_: object, field: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, tuple):
        raise InputError(f"{field.name} is {value!r}; give a tuple of packages")
    _check_packages(field.name, value)


def _are_keys(_: object, field: "Attribute[Any]", value: object) -> None:
    check_type(field.name, value, Mapping, "a mapping")
    keys = cast("Mapping[object, object]", value)
    for number, (name, key) in enumerate(keys.items(), 1):
        _check_key(f"{field.name}, key {number}", name, key)


@frozen(kw_only=True)
class Settings:
    """All settings of one run, as text and numbers; times in seconds.

    `prices` is the file of the user's own prices. `encryption_keys` are keys of 32 bytes by their
    names, the one that encrypts first. They and `api_key` are secrets and show in no repr. Raises
    `InputError` for a value that cannot be, as `load` does for the text of one.
    """

    database: str = field(default=DEFAULT_DATABASE, validator=is_text)
    api_key: str | None = field(default=None, validator=optional(is_text))
    base_url: str | None = field(default=None, validator=optional(is_text))
    organization: str | None = field(default=None, validator=optional(is_text))
    project: str | None = field(default=None, validator=optional(is_text))
    api_version: str | None = field(default=None, validator=optional(is_text))
    auth: str | None = field(default=None, validator=_is_one_of(None, *_AUTH))
    dialect: str = field(default="auto", validator=_is_one_of(*_DIALECTS))
    poll_schedule: tuple[float, ...] | None = field(
        default=None, converter=own_tuple, validator=optional(is_schedule)
    )
    reconcile_wait: float | None = field(default=None, validator=optional(is_wait))
    max_age: float | None = field(default=None, validator=optional(is_seconds))
    lease: float | None = field(default=None, validator=optional(is_seconds))
    handlers: tuple[str, ...] = field(default=(), converter=own_tuple, validator=_are_packages)
    prices: Path | None = field(default=None, validator=optional(is_a(Path, "a Path")))
    compression: str = field(default="none", validator=_is_one_of(*_COMPRESSIONS))
    encryption_keys: Mapping[str, bytes] | None = field(
        default=None, converter=own_copy, validator=optional(_are_keys)
    )

    def __repr__(self) -> str:
        database = _shown_database(self.database)
        base_url = "…" if self.base_url and "@" in self.base_url else self.base_url
        return f"Settings(database={database!r}, base_url={base_url!r}, …)"

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

        Raises `InputError` naming the setting that is malformed, or a name that looks like one of
        ours and is none, or the line of the file that cannot be read.
        """
        path = env_file or Path(".env")
        environment = os.environ if environ is None else environ
        beside = _env_file(path)
        if _KEYS in beside:
            raise InputError(f"{path} holds {_KEYS}; set it in the environment alone")
        found = {**beside, **environment}
        known = {_DEBUG}

        def get(name: str, option: str | None = None) -> str | None:
            known.add(name)
            return option or (found.get(name) or "").strip() or None

        settings = cls(
            database=get("BATCHTRAIL_DB", database) or DEFAULT_DATABASE,
            api_key=get("OPENAI_API_KEY"),
            base_url=get("OPENAI_BASE_URL", base_url),
            organization=get("OPENAI_ORG_ID"),
            project=get("OPENAI_PROJECT_ID"),
            api_version=get("OPENAI_API_VERSION"),
            auth=_one_of(get, "BATCHTRAIL_AUTH", *_AUTH),
            dialect=_one_of(get, "BATCHTRAIL_DIALECT", *_DIALECTS) or "auto",
            poll_schedule=_schedule(get("BATCHTRAIL_POLL_SCHEDULE")),
            prices=_path(get("BATCHTRAIL_PRICES")),
            reconcile_wait=_seconds(get, "BATCHTRAIL_RECONCILE_WAIT", check_wait),
            max_age=_seconds(get, "BATCHTRAIL_MAX_AGE", check_seconds),
            lease=_seconds(get, "BATCHTRAIL_LEASE", check_seconds),
            handlers=_packages(get("BATCHTRAIL_HANDLERS")),
            compression=_one_of(get, "BATCHTRAIL_COMPRESSION", *_COMPRESSIONS) or "none",
            encryption_keys=_keys(get(_KEYS)),
        )
        _check_names(found, known)
        return settings


def _check_names(found: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse a setting that does not exist.

    With a misspelt one, requests would go to another server, or be stored without encryption.
    """
    for name in sorted(found.keys() - known):
        if not name.startswith(_PREFIX) or _OF_KUBERNETES.fullmatch(name):
            continue
        if found[name].strip():
            raise InputError(f"{name} is no setting{_meant(name, known)}")


def _meant(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 (start-up time)

    endings = {each.partition("_")[2]: each for each in known}
    close = get_close_matches(name.removeprefix(_PREFIX), endings, n=1, cutoff=_CLOSE)
    if close:
        return f"; did you mean {endings[close[0]]}?"
    return "; unset it, or write one of those that `batchtrail --help` lists"


def _env_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 (start-up time)

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    values = dotenv_values(stream=StringIO(_readable(path, text)))
    return {name: value for name, value in values.items() if value is not None}


def _readable(path: Path, text: str) -> str:
    """The file without the lines that its reader would skip: shells read more than NAME=VALUE.

    One that may have been meant for us is refused, and not quoted, as it may hold a key.
    """
    from dotenv.parser import parse_stream  # noqa: PLC0415 (start-up time)

    kept: list[str] = []
    for binding in parse_stream(StringIO(text)):
        line = binding.original
        if not binding.error:
            kept.append(line.string)
        elif _PREFIX in line.string or "OPENAI_" in line.string:
            blank = line.string.removesuffix(line.string.lstrip())
            number = line.line + blank.count("\n")
            raise InputError(f"{path}: line {number} is no NAME=VALUE; mend it, or begin it with #")
    return "".join(kept)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _one_of(get: _Get, name: str, *words: str) -> str | None:
    text = get(name)
    _check_one_of(name, text, None, *words)
    return text


def _check_one_of(name: str, value: object, *words: str | None) -> None:
    if value not in words:
        *some, last = filter(None, words)
        raise InputError(f"{name} is {value!r}; write {', '.join(some)} or {last}")


def _number(text: str) -> float:
    """The number that a text is; of another text none that any check admits."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def _seconds(get: _Get, name: str, check: Callable[[str, object, object], None]) -> float | None:
    if (text := get(name)) is None:
        return None
    seconds = _number(text)
    check(name, seconds, text)
    return seconds


def _packages(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in (text or "").split(",") if part.strip())
    _check_packages("BATCHTRAIL_HANDLERS", names)
    return names


def _check_packages(setting: str, names: tuple[object, ...]) -> None:
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise InputError(
                f"{setting} names {name!r}, which is no package; "
                "write names separated by commas, for example shop,billing.batches"
            )


def _keys(text: str | None) -> dict[str, bytes] | None:
    """Keys by their names; what is wrong is told without what may be a key."""
    if text is None:
        return None
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), 1):
        name, separator, encoded = (word.strip() for word in part.partition(":"))
        where = f"{_KEYS}, key {number}"
        if not separator:
            raise _no_key_name(where)
        if name in keys:
            raise _no_other_key_name(where)
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        _check_key(where, name, key)
        keys[name] = key
    return keys


def _check_key(where: str, name: Any, key: object) -> None:
    is_name = isinstance(name, str) and name.isascii()
    if not is_name or not name.replace("-", "").replace("_", "").isalnum():
        raise _no_key_name(where)
    if len(name) > _LONGEST_KEY_NAME:
        raise _no_other_key_name(where)
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise InputError(
            f"{where}: after the name come {_KEY_BYTES} random bytes in base64; "
            "make them with: head -c 32 /dev/urandom | base64"
        )


def _no_key_name(where: str) -> InputError:
    return InputError(f"{where}: write NAME:KEY, of letters, digits, - and _")


def _no_other_key_name(where: str) -> InputError:
    return InputError(f"{where}: each has another name, of at most {_LONGEST_KEY_NAME} letters")


def _schedule(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    schedule = tuple(_number(part) for part in text.split(","))
    check_schedule("BATCHTRAIL_POLL_SCHEDULE", schedule, text)
    return schedule


def is_postgresql(url: str) -> bool:
    """Whether a database URL names a PostgreSQL server."""
    return url.startswith(("postgresql://", "postgres://"))


def sqlite_path(url: str) -> Path | str:
    """The file of a `sqlite:///` URL; three slashes are relative, four absolute.

    Raises `InputError` for any other URL, which it never quotes: any part of one that was typed
    wrong may be a part of a password.
    """
    scheme, separator, rest = url.partition("://")
    if scheme != "sqlite" or not separator:
        raise InputError(
            "the database URL is not understood; "
            f"write {DEFAULT_DATABASE} for a file in this directory, four slashes for a full path, "
            "or postgresql://HOST/DATABASE"
        )
    if "?" in rest:
        raise InputError(
            "the database URL has a ?, and SQLite's takes no options; leave them out, or name a "
            "file without a ?"
        )
    path = rest.removeprefix("/")
    if not rest.startswith("/") or not path:
        raise InputError(
            "the database URL names no file; write three slashes and a file name, "
            f"for example {DEFAULT_DATABASE}"
        )
    return _MEMORY if str(Path(path)) == _MEMORY else Path(path)  # however it is spelled


def is_in_memory(url: str) -> bool:
    """Whether a database URL names one that ends with its process. Raises as `sqlite_path`."""
    return not is_postgresql(url) and sqlite_path(url) == _MEMORY


def _shown_database(url: str) -> str:
    """A URL without its user and its query; nothing of one that may be typed wrong."""
    if understood := _POSTGRESQL.fullmatch(url):
        return "".join(understood.groups())
    try:
        sqlite_path(url)
    except InputError:
        return "…"
    return url
