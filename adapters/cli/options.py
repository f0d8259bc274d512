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
    help="A file for the results, written whole or not at all. Default: standard output.",
)
database = click.option(
    "--db",
    "database",
    metavar="URL",
    help="The database: sqlite:///FILE (relative path), sqlite:////FILE (absolute path) or "
    "postgresql://HOST/NAME. Default: BATCHTRAIL_DB, else sqlite:///batchtrail.db.",
)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output, for programs."
)

_base_url = click.option(
    "--base-url",
    metavar="URL",
    help="Where the API is. Default: OPENAI_BASE_URL, else https://api.openai.com/v1.",
)
_new = click.option(
    "--new",
    is_flag=True,
    help="Make another batch (and pay for it), even if this input was submitted before. To go on "
    "with the newest batch of this input, leave this out.",
)
_why = click.option(
    "--why",
    metavar="TEXT",
    help="What the batch is for: a description in the log. A batch that was begun before keeps "
    "the description that it has.",
)
_metadata = click.option(
    "--metadata",
    metavar="KEY=VALUE",
    multiple=True,
    help="A label for the batch in the log; not sent to the provider. May be repeated. A batch "
    "that was begun before keeps the labels that it has.",
)
_handler = click.option(
    "--handler",
    metavar="PACKAGE.MODULE:NAME",
    help="A class to call when every request has its outcome; BATCHTRAIL_HANDLERS must name its "
    "package for the command or worker that calls it. If it names it here, the class is looked "
    "for before anything is sent. A batch that was begun before keeps the class that it has, and "
    "another one is refused.",
)
max_cost = click.option(
    "--max-cost",
    metavar="USD",
    help="Refuse what may cost more than this, or for which no highest cost is known; see "
    "`estimate`. What the provider may have a batch of already goes on.",
)


def place(command: Command) -> Command:
    """Which database and which API: `database` and `base_url`."""
    return database(_base_url(command))


def submission(command: Command) -> Command:
    """What to note about a submission: `new`, `why`, `metadata`, `handler` and `max_cost`."""
    return _new(_why(_metadata(_handler(max_cost(command)))))
