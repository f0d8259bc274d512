"""The composition root: the one module that wires adapters to services."""

import asyncio
import getpass
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .application.body_coding import BodyCoding
from .application.errors import InputError
from .application.log_reader import LogReader
from .application.ports import CREATE_TIMEOUT, RECONCILE_WAIT
from .application.runtime import Runtime
from .application.store import Batches
from .application.texts import storable
from .domain.checks import check_moment, check_text, check_type
from .domain.values import Limits
from .settings import Settings, is_postgresql, sqlite_path
from .version import __version__

# Each opener imports what it wires: who reads the log waits for nothing that writes it.
if TYPE_CHECKING:
    from eventsourcing.persistence import InfrastructureFactory

    from .adapters.openai import OpenAISettings
    from .application.lifecycle import ServiceSettings
    from .application.log_keeper import LogKeeper
    from .application.ports import BatchProvider, Clock, PriceBook
    from .application.service import BatchService

_log = logging.getLogger(__name__)

_LEAST_CREATE_TIMEOUT = 1.0

_WINDOW = 86_400.0
"""Seconds: the completion window of every batch."""

NO_KEY = (
    "no API key: set OPENAI_API_KEY in the environment or in a .env file; to try without one, "
    "start `batchtrail emulator --port 8080` and set OPENAI_API_KEY=emulator "
    "OPENAI_BASE_URL=http://127.0.0.1:8080/v1"
)

NO_POSTGRES = (
    "a postgresql:// database needs psycopg, which is not installed; "
    "install it with: pip install 'batchtrail[postgres]'"
)


class SystemClock:
    """The computer's clock."""

    def now(self) -> datetime:
        """The present moment, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait for so many seconds."""
        await asyncio.sleep(seconds)


@asynccontextmanager
async def open_trail(
    database: str | None = None,
    *,
    provider: "BatchProvider | None" = None,
    actor: str | None = None,
    settings: Settings | None = None,
    clock: "Clock | None" = None,
    prices: "PriceBook | None" = None,
    makes_database: bool = True,
) -> AsyncIterator["BatchService"]:
    """Open a database and give the service over it.

    `database` is a URL such as `sqlite:///batches.db` or `postgresql://host/batches`; without it
    the settings decide, which come from the environment and a `.env` file. `provider` swaps in
    the fake or another adapter; without it OpenAI is called with the key from the settings.
    `prices` prices the results in place of OpenAI's list prices and of the file that the
    settings name. `actor` names who acts, in the log. Without `makes_database` a database that is
    not there yet is refused.

    Raises `InputError` for malformed settings and arguments, and `StoreError` for a database that
    cannot be used.
    """
    from .adapters.handlers import ImportedHandlers  # noqa: PLC0415 (start-up time)
    from .adapters.prices import offline_counter  # noqa: PLC0415
    from .application.service import BatchService  # noqa: PLC0415

    if actor is not None:
        check_text("actor", actor)
    if settings is not None:
        check_type("settings", settings, Settings, "Settings")
    if clock is not None:
        check_moment("the clock's now", clock.now())  # a worker compares before it records
    settings = settings or Settings.load(database=database)
    prices = prices or price_book(settings)
    bodies = body_coding(settings)
    factory = _factory(database or settings.database, makes_database=makes_database)
    batches = Batches(factory, bodies=bodies)
    async with AsyncExitStack() as stack:
        runtime = _runtime(batches, clock, actor)
        stack.callback(runtime.close)
        if provider is None:
            provider = await stack.enter_async_context(_openai(settings))
        handlers = ImportedHandlers(settings.handlers)
        yield BatchService(
            runtime,
            provider,
            service_settings(settings),
            handlers,
            prices=prices,
            counter_of=offline_counter,
        )


@asynccontextmanager
async def open_log(
    settings: Settings, *, actor: str, looks_on: bool = False
) -> AsyncIterator[LogReader]:
    """Open a database to read its log; nothing here knows of a provider or of prices.

    A file that may only be read shows nothing that comes later, and is refused to who `looks_on`.
    Raises `StoreError` for a database that is not there or cannot be used, and `InputError` for
    its URL.
    """
    bodies = body_coding(settings)
    factory = _factory(settings.database, makes_database=False, may_only_read=not looks_on)
    runtime = _runtime(Batches(factory, bodies=bodies), None, actor)
    try:
        yield LogReader(runtime)
    finally:
        runtime.close()


@asynccontextmanager
async def open_as_it_is(
    settings: Settings, *, actor: str, read_only: bool
) -> AsyncIterator["LogKeeper"]:
    """Open a database that may be damaged, to verify, seal or rebuild it, and for nothing else.

    Its views are not brought up to date, and with `read_only` nothing in it is changed. Raises
    as `open_trail` does, and `StoreError` when there is no database to read.
    """
    from .application.log_keeper import LogKeeper  # noqa: PLC0415 (start-up time)

    bodies = body_coding(settings)
    factory = _factory(settings.database, read_only=read_only, makes_database=False)
    runtime = _runtime(Batches(factory, as_it_is=True, bodies=bodies), None, actor)
    try:
        yield LogKeeper(runtime)
    finally:
        runtime.close()


@asynccontextmanager
async def open_new(settings: Settings, *, actor: str) -> AsyncIterator["LogKeeper"]:
    """Open a database to import a log into it, and for nothing else.

    A SQLite file that is not there yet comes to be at the end of the block, whole, and not at all
    when the block fails. Raises as `open_trail` does.
    """
    from .application.log_keeper import LogKeeper  # noqa: PLC0415 (start-up time)

    bodies = body_coding(settings)
    with ExitStack() as stack:
        if not is_postgresql(settings.database):
            from .adapters.sqlite import SQLiteBatchFactory, new_file  # noqa: PLC0415

            path = stack.enter_context(new_file(sqlite_path(settings.database)))
            factory: InfrastructureFactory = SQLiteBatchFactory(path)
        else:
            factory = _factory(settings.database, makes_database=True)
        runtime = _runtime(Batches(factory, as_it_is=True, bodies=bodies), None, actor)
        try:
            yield LogKeeper(runtime)
        finally:
            runtime.close()


def _runtime(batches: Batches, clock: "Clock | None", actor: str | None) -> Runtime:
    return Runtime(
        batches,
        clock or SystemClock(),
        actor=actor or f"library:{_user()}",
        software=f"batchtrail {__version__}",
    )


def _factory(
    url: str, *, makes_database: bool, read_only: bool = False, may_only_read: bool = False
) -> "InfrastructureFactory":
    """What makes the store at a database URL. Raises as `open_trail` does.

    PostgreSQL itself lets whoever may only read look back.
    """
    check_text("the database URL", url)
    if not is_postgresql(url):
        from .adapters.sqlite import SQLiteBatchFactory  # noqa: PLC0415 (start-up time)

        return SQLiteBatchFactory(
            sqlite_path(url),
            read_only=read_only,
            makes_database=makes_database,
            may_only_read=may_only_read,
        )
    try:
        from .adapters.postgres import PostgresBatchFactory  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise InputError(NO_POSTGRES) from error
    return PostgresBatchFactory(url, read_only=read_only, makes_database=makes_database)


def body_coding(settings: Settings) -> BodyCoding:
    """How bodies are stored; what is there can be read whatever the settings are for new ones.

    Raises `InputError` when what the settings want is not installed.
    """
    from .adapters.bodies import KeyRing, ZstdCompressor  # noqa: PLC0415 (start-up time)

    compressor, keys = ZstdCompressor(), settings.encryption_keys
    compresses = settings.compression == "zstd"
    if compresses:
        compressor.check()
    return BodyCoding(compressor, KeyRing(keys) if keys else None, compresses)


def price_book(settings: Settings) -> "PriceBook":
    """OpenAI's list prices, beneath the user's own where a setting names them.

    Raises `InputError` for a file of prices that cannot be used.
    """
    from .adapters.prices import GenaiPrices, read_prices  # noqa: PLC0415 (start-up time)

    listed = GenaiPrices()
    return listed if settings.prices is None else read_prices(settings.prices, listed)


def service_settings(settings: Settings) -> "ServiceSettings":
    """The part of the settings that the service needs."""
    from .application.leases import DEFAULT_LEASE  # noqa: PLC0415 (start-up time)
    from .application.lifecycle import DEFAULT_MAX_AGE, ServiceSettings  # noqa: PLC0415
    from .application.polling import DEFAULT_SCHEDULE  # noqa: PLC0415

    return ServiceSettings(
        poll_schedule=settings.poll_schedule or DEFAULT_SCHEDULE,
        reconcile_wait=_reconcile_wait(settings),
        create_timeout=_create_timeout(settings),
        max_age=settings.max_age or DEFAULT_MAX_AGE,
        lease=settings.lease or DEFAULT_LEASE,
    )


def _reconcile_wait(settings: Settings) -> float:
    return RECONCILE_WAIT if settings.reconcile_wait is None else settings.reconcile_wait


def _create_timeout(settings: Settings) -> float:
    """A create call is not waited for longer than its batch would be searched for."""
    return max(_LEAST_CREATE_TIMEOUT, min(CREATE_TIMEOUT, _reconcile_wait(settings)))


def limits(settings: Settings) -> Limits:
    """What one batch may hold at the provider that the settings name; needs no key."""
    return _openai_settings(settings).limits


def _openai_settings(settings: Settings) -> "OpenAISettings":
    from .adapters.openai import OpenAISettings  # noqa: PLC0415 (start-up time)

    options: dict[str, Any] = {} if settings.base_url is None else {"base_url": settings.base_url}
    try:
        return OpenAISettings(
            api_key=settings.api_key or "none",
            auth=settings.auth,
            dialect=settings.dialect,
            organization=settings.organization,
            project=settings.project,
            api_version=settings.api_version,
            create_timeout=_create_timeout(settings),
            **options,
        )
    except ValueError as error:
        raise InputError(f"the OpenAI settings cannot be used: {error}") from error


@asynccontextmanager
async def _openai(settings: Settings) -> AsyncIterator["BatchProvider"]:
    from .adapters.openai.provider import connect  # noqa: PLC0415 (start-up time)
    from .application.unreachable import unreachable  # noqa: PLC0415

    openai = _openai_settings(settings)
    if settings.api_key is None:
        yield unreachable(openai.name, openai.limits, NO_KEY)
        return
    if openai.is_unencrypted:
        _log.warning("%s is not encrypted: others can read the key; use https", openai.base_url)
    if (settings.max_age or _WINDOW) < _WINDOW and not openai.is_on_this_machine:
        _log.warning(
            "BATCHTRAIL_MAX_AGE is %g seconds: a batch that takes longer is canceled, and may take "
            "%g",
            settings.max_age,
            _WINDOW,
        )
    async with connect(openai) as provider:
        yield provider


def _user() -> str:
    """Who runs this process, and where."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        name = str(os.getuid())
    return storable(f"{name}@{socket.gethostname()}")


def command_line_actor() -> str:
    """The actor of a command typed in a terminal."""
    return f"cli:{_user()}"


def worker_actor() -> str:
    """The actor of a worker process."""
    return f"worker:{_user()}:{os.getpid()}"
