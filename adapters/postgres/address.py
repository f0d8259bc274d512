"""Where the database is, and what may be said about it: never the password."""

from typing import Any

import psycopg
from attrs import field, frozen
from psycopg.conninfo import conninfo_to_dict

from ...application.errors import InputError

_DEFAULTS = {
    "connect_timeout": "10",
    # A peer that vanished without a word is noticed within a minute, not after two hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    "fallback_application_name": "batchtrail",
}
_UNREADABLE = (
    "the database URL cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
    "special characters percent-encoded (%40 for @, %2F for /)"
)


@frozen
class Address:
    """The parameters of a connection. The text of one names the database, and no secret."""

    parameters: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Read a `postgresql://` URL as libpq does; what it leaves out comes from `PG...`.

        Raises `InputError`, which never quotes the URL: any part of one that was typed wrong may
        be a part of the password.
        """
        try:
            given = conninfo_to_dict(url)
        except (psycopg.Error, UnicodeDecodeError):
            raise InputError(_UNREADABLE) from None
        places = f"{given.get('host', '')}{given.get('hostaddr', '')}{given.get('dbname', '')}"
        ports = str(given.get("port", "")).replace(",", "")
        if "@" in places or not (ports.isdigit() or not ports):
            raise InputError(_UNREADABLE)
        return cls({**_DEFAULTS, **given})

    def __str__(self) -> str:
        host = self.parameters.get("host") or self.parameters.get("hostaddr")
        port = self.parameters.get("port")
        name = self.parameters.get("dbname") or "of the user's name"
        return (
            f"the database {name}" + (f" at {host}" if host else "") + (f":{port}" if port else "")
        )

    def sentence(self, error: Exception) -> str:
        """What the server or libpq says, on one line and without the password."""
        said = next(iter(str(error).splitlines()), type(error).__name__)
        password = self.parameters.get("password")
        return said.replace(password, "***") if password else said
