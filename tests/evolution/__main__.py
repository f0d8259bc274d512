"""`make golden`: files for versions of events, and for a release, that have none; none is changed.

Before a release the log of the coming version may be removed, and is then written anew.
"""

import sys

from batchtrail.domain.events import EVENTS

from . import logs
from .goldens import Golden, examples, goldens, shape_of, version_of


def main() -> None:
    """Write what is missing, and name it."""
    found = examples()
    for event_class in EVENTS:
        version = version_of(event_class)
        if version not in goldens(event_class.TOPIC):
            golden = Golden(event_class.TOPIC, version, shape_of(event_class), found[event_class])
            golden.write()
            sys.stdout.write(f"{golden.path.name}\n")
    for path in logs.write():
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
