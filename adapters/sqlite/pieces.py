"""Bodies of some kilobytes are cut into pieces that fill the pages of the file.

A row does not go on on the next page unless it is longer than one: of rows of 12 kB two stand on a
page of 32 kB, of 17 kB one, and up to half of the file stays empty. So the head of such a body
stands in its event's row, behind a mark that tells the number of the pieces, and the rest in rows
beside it of which many fit a page. Shorter bodies fill pages well enough as they are, and longer
ones are cut by SQLite itself.
"""

import sqlite3
from collections.abc import Sequence

from eventsourcing.sqlite import SQLiteCursor

from ...application.body_coding import MARK, UNUSED

CREATE = "CREATE TABLE IF NOT EXISTS pieces (id INTEGER PRIMARY KEY, piece BLOB NOT NULL)"

HEAD = 3_900
"""Bytes with the mark: eight rows of events that have so much of a body fill a page."""

_PIECE = 4_000
_SHORTEST, _LONGEST = 3_950, 30_500
"""Bytes. In between, whole rows may leave a tenth of a page empty and more; one of 30,500 fills it
well enough alone.
"""

_MARK_BYTES = len(MARK) + 1
"""A head begins with `MARK` and a byte that is `UNUSED` and the number of pieces; no body that is
stored whole does.
"""

_OLD_HEAD = 3_600
"""Files of layout 2 cut bodies here and without a mark."""

_IDS = 8
"""So many ids each position has for its pieces: one more than the longest body needs."""

_ADD = "INSERT INTO pieces VALUES (?, ?)"
_THOSE = f"FROM pieces WHERE id BETWEEN {_IDS} * :position AND {_IDS} * :position + {_IDS - 1}"
_SELECT = f"SELECT coalesce(CAST(piece AS BLOB), x'') {_THOSE} ORDER BY id"
_DROP = f"DELETE {_THOSE}"


class Pieces:
    """The rests of bodies, by the positions of their events.

    In the transaction of a cursor, which may be in the midst of something else.
    """

    def __init__(self, cursor: sqlite3.Cursor | SQLiteCursor) -> None:
        raw = cursor.sqlite_cursor if isinstance(cursor, SQLiteCursor) else cursor
        self._connection = raw.connection

    def whole(self, position: int, head: bytes | None) -> bytes | None:
        """A body, from what stands in its event's row; where pieces are missing, that as it is."""
        if not isinstance(head, bytes):
            return head
        wanted = head[len(MARK)] - UNUSED if head.startswith(MARK) and len(head) == HEAD else 0
        if wanted <= 0 and len(head) != _OLD_HEAD:
            return head
        pieces = [piece for (piece,) in self._connection.execute(_SELECT, {"position": position})]
        if wanted <= 0:
            return b"".join([head, *pieces])
        return b"".join([head[_MARK_BYTES:], *pieces]) if len(pieces) == wanted else head

    def keep(self, position: int, body: bytes | None) -> bytes | None:
        """What stands in its event's row of a body, as it is stored; the rest is kept here."""
        if body is None or not (_SHORTEST <= len(body) <= _LONGEST or len(body) == _OLD_HEAD):
            return body
        self.drop(position)  # pieces that damage left there would be taken for those of this body
        if len(body) == _OLD_HEAD:
            return body
        begin = HEAD - _MARK_BYTES
        pieces = [body[at : at + _PIECE] for at in range(begin, len(body), _PIECE)]
        self._connection.executemany(_ADD, enumerate(pieces, _IDS * position))
        return MARK + bytes((UNUSED + len(pieces),)) + body[:begin]

    def keep_all(
        self, positions: Sequence[int], bodies: Sequence[bytes | None]
    ) -> Sequence[bytes | None]:
        """The same of several; most are shorter than any that is looked at more closely."""
        return [
            body if body is None or len(body) < _OLD_HEAD else self.keep(position, body)
            for position, body in zip(positions, bodies, strict=True)
        ]

    def drop(self, position: int) -> None:
        """Remove the rest of a body."""
        self._connection.execute(_DROP, {"position": position})
