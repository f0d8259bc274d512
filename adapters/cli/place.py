"""Where the commands work: which database, which API, and how both are opened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from ... import bootstrap
from ...application.errors import InputError
from ...application.log_reader import LogReader
from ...settings import DEFAULT_DATABASE, Settings, is_in_memory, is_postgresql, sqlite_path
from .logs import warnings_to_stderr

if TYPE_CHECKING:
    from ...application.log_keeper import LogKeeper
    from ...application.service import BatchService

_DATABASE_FILES = ("", "-wal", "-shm", "-journal")


@frozen
class Place:
    """Which database and which API; None leaves it to the settings."""

    database: str | None = None
    base_url: str | None = None

    def settings(self) -> Settings:
        """The settings, with these before all others.

        Raises `InputError` as `Settings.load` does, and for a database of this command alone.
        """
        settings = Settings.load(database=self.database, base_url=self.base_url)
        if is_in_memory(settings.database):
            raise InputError(
                "a database in memory ends with the command, and the next one would pay again; "
                f"write {DEFAULT_DATABASE} for a file"
            )
        return settings

    def taken(self) -> dict[Path, str]:
        """The files that hold the log, and what to call them."""
        url = self.settings().database
        if is_postgresql(url):
            return {}
        path = sqlite_path(url)
        return {Path(f"{path}{suffix}"): "the database" for suffix in _DATABASE_FILES}


@asynccontextmanager
async def log_at(place: Place, *, looks_on: bool = False) -> AsyncIterator[LogReader]:
    """The log alone; it needs no key and knows of no provider.

    Who `looks_on` waits for what comes, which a file that may only be read never shows.
    """
    with warnings_to_stderr():
        async with bootstrap.open_log(
            place.settings(), actor=bootstrap.command_line_actor(), looks_on=looks_on
        ) as log:
            yield log


@asynccontextmanager
async def log_as_it_is(place: Place, *, read_only: bool) -> AsyncIterator["LogKeeper"]:
    """The log of a database that may be damaged, to look after and for nothing else."""
    with warnings_to_stderr():
        async with bootstrap.open_as_it_is(
            place.settings(), actor=bootstrap.command_line_actor(), read_only=read_only
        ) as log:
            yield log


@asynccontextmanager
async def trail_at(
    place: Place, *, needs_key: bool = True, makes_database: bool = False
) -> AsyncIterator["BatchService"]:
    """The service; a missing key is an error before anything else where one is surely needed.

    With `makes_database` one that is not there yet is made; no other command makes one, as a
    mistyped name must not become a new, empty one.
    """
    from ...application.correlation import correlated  # noqa: PLC0415 (start-up time)

    settings = place.settings()
    is_new = makes_database and new_file(settings) is not None
    if settings.api_key is None and (needs_key or is_new):
        raise InputError(bootstrap.NO_KEY)
    with warnings_to_stderr(), correlated():
        async with bootstrap.open_trail(
            settings=settings,
            actor=bootstrap.command_line_actor(),
            makes_database=makes_database,
        ) as trail:
            yield trail


def new_file(settings: Settings) -> Path | None:
    """The full path of a database that is not there yet; on a server nobody can tell.

    To be told when one was made, as somebody may believe to be where his old one is.
    """
    if is_postgresql(settings.database):
        return None
    path = Path(sqlite_path(settings.database)).absolute()
    try:
        return None if path.exists() else path
    except OSError:
        return None  # whoever opens it says why it cannot be there
