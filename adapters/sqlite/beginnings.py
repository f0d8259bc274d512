"""What events that are recorded together have in common is stored once.

The states of a chunk's results begin alike: with the version of their layout, when they were
recorded and by whom, and mostly with their outcome. With their topic that is some 140 bytes of
each. So the topic and that beginning stand in a row of their own; the events' rows have its id for
their topic, and the rest of their state. Events that are recorded alone, or some few together,
stand in their rows whole.
"""

from collections.abc import Sequence
from operator import methodcaller

from eventsourcing.sqlite import SQLiteCursor

CREATE = (
    "CREATE TABLE IF NOT EXISTS beginnings "
    "(id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, state BLOB NOT NULL)"
)

JOIN = (
    "LEFT JOIN beginnings "
    "ON beginnings.id=events.topic AND CAST(beginnings.id AS TEXT)=events.topic"
)
"""Behind `events` in a statement that reads whole ones: no topic is a number but such an id.

Found by its number and compared as a text: SQLite takes ' 1.0' for a number, too.
"""

TOPIC = "CAST(coalesce(beginnings.topic, events.topic) AS TEXT)"
STATE = "CAST(coalesce(beginnings.state, '') || events.state AS BLOB)"

_FEWEST = 5
"""Fewer events stand whole: a row that is read beside theirs costs more than it saves."""

_SHORTEST = 40
"""Bytes. What is shorter was not recorded together: when and by whom alone is more."""

_ADD = "INSERT INTO beginnings (topic, state) VALUES (?, ?)"


class Beginnings:
    """Writes what events have in common, in the transaction of a cursor."""

    def __init__(self, cursor: SQLiteCursor) -> None:
        self._cursor = cursor
        self._topic, self._id, self._state = "", 0, b""

    def of(self, topic: str, states: Sequence[bytes]) -> tuple[str, int]:
        """What stands as the topic of events, and how many bytes of their states are left out."""
        if len(states) < _FEWEST:
            return topic, 0
        # What was common to the events before these is nearly always common to these, too.
        if topic != self._topic or not all(map(methodcaller("startswith", self._state), states)):
            common = _common(states)
            if len(common) < _SHORTEST:
                return topic, 0
            self._cursor.execute(_ADD, (topic, common))
            self._topic, self._id, self._state = topic, self._cursor.lastrowid, common
        return str(self._id), len(self._state)


def _common(states: Sequence[bytes]) -> bytes:
    """The bytes with which all begin: what the least and the greatest share, all share."""
    least, greatest = min(states), max(states)
    pairs = enumerate(zip(least, greatest, strict=False))
    return least[: next((place for place, (one, other) in pairs if one != other), len(least))]
