"""`make golden`: golden files for the versions of events that have none; no file is changed."""

import sys

from batchtrail.domain.events import EVENTS

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


if __name__ == "__main__":
    main()
