"""Arguments and options that several commands have, each told once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)

batch = click.argument("batch", metavar="BATCH", help="A batch id, or its first characters.")
input_file = click.argument(
    "input_path",
    metavar="INPUT.jsonl",
    type=PATH,
    help='One request a line: {"custom_id": "a", "method": "POST", '
    '"url": "/v1/responses", "body": {"model": …, "input": …}}.',
)
output = click.option(
    "-o",
    "--output",
    metavar="OUT.jsonl",
    type=PATH,
    help="Where the results go, written whole or not at all. Default: standard output.",
)
database = click.option(
    "--db",
    "database",
    metavar="URL",
    help="Database, as sqlite:///FILE (relative), sqlite:////FILE (absolute) or "
    "postgresql://HOST/NAME. "
    "Default: BATCHTRAIL_DB, else sqlite:///batchtrail.db.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for a program on standard output."
)

_base_url = click.option(
    "--base-url",
    metavar="URL",
    help="Where the API is. Default: OPENAI_BASE_URL, else https://api.openai.com/v1.",
)
_new = click.option(
    "--new",
    is_flag=True,
    help="Make a new batch, even though this input was submitted before (and paid); to go "
    "on with it, leave this out.",
)
_why = click.option(
    "--why",
    metavar="TEXT",
    help="A description for the log: what this is for. One that a batch has stays.",
)
_metadata = click.option(
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    help="A label for the batch in the log; not sent to the provider. May be repeated. Those "
    "that a batch was begun with stay.",
)
_handler = click.option(
    "--handler",
    metavar="PACKAGE.MODULE:NAME",
    help="A class to call when every request has its outcome; BATCHTRAIL_HANDLERS must "
    "name its package where it runs. A batch that goes on has the one it was begun with.",
)
_max_cost = click.option(
    "--max-cost",
    metavar="USD",
    help="Refuse an input that may cost more, or of which nobody can say; see `estimate`. "
    "What was submitted before goes on.",
)


def place(command: Command) -> Command:
    """Which database and which API: `database` and `base_url`."""
    return database(_base_url(command))


def submission(command: Command) -> Command:
    """What to note about a submission: `new`, `why`, `metadata`, `handler` and `max_cost`."""
    return _new(_why(_metadata(_handler(_max_cost(command)))))
