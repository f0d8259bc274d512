"""Writes the reference pages that follow from the code: the command line and the events.

    make docs

A test compares the pages with what this writes.
"""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from click.testing import CliRunner

from batchtrail.adapters.cli.app import app
from batchtrail.domain.events import EVENTS

REFERENCE = Path(__file__).parent / "reference"

_BESIDE = {"originator_id", "originator_version", "timestamp", "by", "originator_topic"}
_CLI = """# The command line

What each command says of itself with `--help`; written by `make docs`.
"""
_EVENTS = """# Events

The log of a batch is a sequence of these. Topics and field names are permanent; a changed field
comes with a higher class version and an upcast. Every event also has `originator_id` (the batch),
`originator_version` (1, 2, …), `timestamp` (UTC) and `by`: actor, software, correlation id (one
typed command, call of the library or worker's step on a batch, with all that it led to) and
causation id (the one decision that the event comes from). The table is written by `make docs`.

| Event | Topic | Says | Fields |
| --- | --- | --- | --- |
"""
_STORED = """
## How they are stored

Table `events`: `position` (grows, never used twice), `originator_id` (hex), `originator_version`,
`topic`, `digest`, `state`, `body`. The state is a MessagePack map of the event's own fields; bytes
are raw, times are MessagePack timestamps, costs are decimal texts, `by` is an array in the order
above. Only a `ResultApplied` is an array, but for its first version: of the version and of these
values, in version 3 with arrays for `error` (code, message) and `usage` (input, cached, output,
reasoning, cache_write).

"""
_TABLES = """
Table `snapshots` is a cache of aggregate states; `projections` says how far users' own
projections have come. `batches`, `request_ids`, `completions` and `view_checkpoint` are views and
can be dropped. A row of `completions` is about up to a thousand requests that follow each other
from `first_number` on: the first letter of each one's outcome (pending, succeeded, failed, expired,
canceled, missing), and the position of the event that brought it (8 bytes, little-endian, or
zeros); their custom_ids are a JSON array in the row of `request_ids` with the same number.

**Bodies.** `RequestsAdded.lines`, `ResultApplied.line` and `ResultSkipped.line` stand in the column
`body`; the state holds an array of their SHA-256 (32 bytes) and their size in bytes. The SHA-256 of
`lines` is taken over the concatenated SHA-256s of the single lines, each with its newline. In place
of a line may stand `{"custom_id":"…","redacted":"sha256:<hex of that line's SHA-256>"}` and a
newline. A `body` that is NULL was removed; no state changes by that. On SQLite, one that takes
3,950 to 30,500 bytes as it is stored (compressed and encrypted, where that is set) is cut: the
column holds a zero byte, a byte that is the number of pieces and four, and the first 3,898 bytes;
what follows stands in table `pieces`, 4,000 bytes to a row, under the ids from `position` times 8
on. (Files whose `user_version` was 2 may hold bodies that were cut behind 3,600, without those two
bytes.)

**Beginnings.** On SQLite, what five or more events that were recorded together have in common
stands once. Where an event's `topic` is a number, it is the `id` of a row in table `beginnings`:
there stand its topic, and the bytes with which its state begins; the rest is in the column `state`.
(Before version 3 of the layout, the file's `user_version`, there is no such table.) These are the
events as they are everywhere else, but that long bodies lack their pieces:

```sql
SELECT position, originator_id, originator_version,
       coalesce(beginnings.topic, events.topic) AS topic, digest,
       CAST(coalesce(beginnings.state, '') || events.state AS BLOB) AS state, body
FROM events LEFT JOIN beginnings ON beginnings.id=events.topic
```

**Digests.** `digest` is the SHA-256 over these, one behind the other: the batch's id (16 bytes),
`originator_version` (8 bytes, big-endian), the length of the topic in bytes (2 bytes, big-endian),
the topic in UTF-8, and the state. A `body` that begins with a zero byte is stored in another way
than as it is: the second byte says by its bits whether it is compressed (1) with zstd and encrypted
(2) with AES-256-GCM after that, and the rest is what came of it. Encrypted, that begins with the
length of the key's name (1 byte), the name and the nonce (12 bytes). All digests are those of the
plain body.

**Seals.** The link behind an event is the SHA-256 over the link before it (32 bytes, zeros before
the first event), the event's `position` (8 bytes, big-endian) and its digest, recomputed from what
is stored. A seal is `POSITION:HEX`, the link behind that position; table `seals` keeps those that
were taken. `verify` compares, `seal` takes them: [verify the log](../how-to/verify-the-log.md).
"""


def cli_page() -> str:
    """Every command's help."""
    return "\n".join([_CLI, *_command_sections()])


def _command_sections() -> Iterator[str]:
    yield _section("batchtrail", [])
    for name in app.commands:
        yield _section(f"batchtrail {name}", [name])


def _section(title: str, command: list[str]) -> str:
    shown = CliRunner().invoke(
        app, [*command, "--help"], prog_name="batchtrail", env={"COLUMNS": "100"}
    )
    lines = [line.rstrip() for line in shown.output.strip().splitlines()]
    return "\n".join([f"## {title}", "", "```text", *lines, "```", ""])


def events_page() -> str:
    """Every event: its topic, what it says, and its fields."""
    rows = []
    for event in EVENTS:
        says = " ".join((event.__doc__ or "").split("\n\n")[0].split())
        names = [f"`{field.name}`" for field in fields(event) if field.name not in _BESIDE]
        rows.append(f"| {event.__name__} | `{event.TOPIC}` | {says} | {', '.join(names)} |")
    return "\n".join([_EVENTS + "\n".join(rows), _STORED + "\n".join(_orders()), _TABLES])


def _orders() -> Iterator[str]:
    for event in EVENTS:
        for version, names in event.IN_ORDER.items():
            listed = ", ".join(f"`{name}`" for name in (*names, event.BODY))
            yield f"- {event.__name__}, version {version}: {listed}."


PAGES = {"cli.md": cli_page, "events.md": events_page}


if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
