"""The commands and what their `--help` teaches; the work is imported when a command runs."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from .exits import ExitStatus, exiting_on_errors

_HELP = """Run large sets of LLM requests through the OpenAI Batch API, from an event log.

Give a JSONL file of requests to `run`: it submits one batch, waits for it and writes one result
line for each request, in input order. Type the same command again after any interruption: it
goes on where it was, and never submits or pays twice.

Settings come from options, then the environment, then a .env file: OPENAI_API_KEY,
OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID, BATCHTRAIL_DB, BATCHTRAIL_POLL_SCHEDULE
(seconds, comma-separated), BATCHTRAIL_RECONCILE_WAIT and BATCHTRAIL_MAX_AGE (seconds),
BATCHTRAIL_HANDLERS (packages, comma-separated), BATCHTRAIL_PRICES (a file of your own prices), and
for Azure OPENAI_API_VERSION and BATCHTRAIL_AUTH (bearer or api-key). BATCHTRAIL_DEBUG=1 shows
tracebacks.

Exit status: 0 every request succeeded; 3 the batch is over and some request has no success;
2 bad usage or bad input; 1 anything else, also what `verify` finds; 130 interrupted.
"""

app = typer.Typer(
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="Database, as sqlite:///FILE (relative), sqlite:////FILE (absolute) or "
        "postgresql://HOST/NAME. "
        "Default: BATCHTRAIL_DB, else sqlite:///batchtrail.db.",
    ),
]
_BaseURL = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Where the API is. Default: OPENAI_BASE_URL, else https://api.openai.com/v1.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program on standard output.")]
_Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT.jsonl",
        help='One request a line: {"custom_id": "a", "method": "POST", '
        '"url": "/v1/responses", "body": {"model": …, "input": …}}.',
    ),
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "-o",
        "--output",
        metavar="OUT.jsonl",
        help="Where the results go, written whole or not at all. Default: standard output.",
    ),
]
_Batch = Annotated[
    str, typer.Argument(metavar="BATCH", help="A batch id, or its first characters.")
]
_New = Annotated[
    bool,
    typer.Option(
        "--new", help="Make a new batch, even though this input was submitted before (and paid)."
    ),
]
_Why = Annotated[
    str | None, typer.Option("--why", metavar="TEXT", help="A note for the log: what this is for.")
]
_MaxCost = Annotated[
    str | None,
    typer.Option(
        "--max-cost",
        metavar="USD",
        help="Refuse an input that may cost more, or of which nobody can say; see `estimate`. "
        "What was submitted before goes on.",
    ),
]
_Handler = Annotated[
    str | None,
    typer.Option(
        "--handler",
        metavar="PACKAGE.MODULE:NAME",
        help="A class to call when every request has its outcome; BATCHTRAIL_HANDLERS must "
        "name its package where it runs.",
    ),
]
_Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        metavar="KEY=VALUE",
        help="A label for the batch in the log; not sent to the provider. May be repeated.",
    ),
]


def _file(output: Path | None) -> Path | None:
    """The output file; a dash stands for standard output, as everywhere."""
    return None if output == Path("-") else output


def _run(work: Coroutine[Any, Any, ExitStatus]) -> None:
    # Here and not only around the whole: typer has its own idea of what an interrupt prints.
    with exiting_on_errors():
        status = asyncio.run(work)
    raise typer.Exit(status)


@app.command()
def run(
    input_path: _Input,
    output: _Output = None,
    new: _New = False,
    why: _Why = None,
    metadata: _Metadata = None,
    handler: _Handler = None,
    max_cost: _MaxCost = None,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Submit a file, wait, and write the results.

    Progress goes to standard error; the results go to OUT.jsonl or to standard output, one line
    for each request in input order, as the provider sent it. Run it again to resume; after the
    end, it writes the results again without asking the provider.

    With --json the summary goes to standard output, and results only to OUT.jsonl.

        batchtrail run requests.jsonl -o results.jsonl
    """
    from .batches import Place, SubmitOptions, run_batch  # noqa: PLC0415 (start-up time)

    place = Place(database, base_url)
    what = SubmitOptions(input_path, new, why, metadata, handler, max_cost)
    _run(run_batch(what, place, _file(output), as_json=json))


@app.command()
def submit(
    input_path: _Input,
    new: _New = False,
    why: _Why = None,
    metadata: _Metadata = None,
    handler: _Handler = None,
    max_cost: _MaxCost = None,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Submit a file and print the batch id, without waiting.

    The same file is submitted once, however often this is typed. `run` with the same file, or
    `results` with the batch id, fetches the results later.

        batchtrail submit requests.jsonl
    """
    from .batches import Place, SubmitOptions, submit_batch  # noqa: PLC0415

    what = SubmitOptions(input_path, new, why, metadata, handler, max_cost)
    _run(submit_batch(what, Place(database, base_url), as_json=json))


@app.command()
def estimate(input_path: _Input, json: _Json = False) -> None:
    """Say what a file would cost, before it is sent.

    Checks it as `run` does and needs no key. The price goes from the input tokens alone to all
    the output that the requests allow, at the batch price. Tokens are estimated.

        batchtrail estimate requests.jsonl
    """
    from .estimate import show_estimate  # noqa: PLC0415

    with exiting_on_errors():
        show_estimate(input_path, as_json=json)


@app.command()
def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="[BATCH]", help="A batch id, or its first characters.")
    ] = None,
    request: Annotated[
        str | None,
        typer.Argument(metavar="[REQUEST]", help="The custom_id of one request of the batch."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="WHEN",
            help="As it was then: 2026-11-20T03:12Z (without a zone, UTC is meant), 2h or 3d "
            "(ago), or the number of an event.",
        ),
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask the provider first, and record what it says.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many batches to list at most.")] = 20,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Show one batch, one of its requests, or list the newest batches.

    Reads the log alone and needs no key, unless --refresh is given. With --at it prints what it
    would have printed then, from the events alone.

        batchtrail status 3f2a --at 2026-11-20T03:12Z
    """
    from .batches import Place  # noqa: PLC0415
    from .status import Looked, show_status  # noqa: PLC0415

    what = Looked(batch, request, at, refresh, limit)
    _run(show_status(what, Place(database, base_url), as_json=json))


@app.command()
def results(
    batch: _Batch,
    output: _Output = None,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="lines: as the provider sent them. jsonl, csv or parquet: a row for each "
            "request with text, value, finish reason, tokens, cost (USD) and error.",
        ),
    ] = "lines",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="OUTCOME",
            help="Write the requests with this outcome alone: succeeded, failed, expired, "
            "canceled or missing. May be repeated, or name several with commas.",
        ),
    ] = None,
    database: _Database = None,
    base_url: _BaseURL = None,
) -> None:
    """Write the results of a batch.

    One line for each request, in input order. A batch that is over at the provider is collected
    first. A request without a provider line gets a null response and an error with a code.

        batchtrail results 3f2a --format csv -o results.csv
    """
    from .batches import Place, write_batch_results  # noqa: PLC0415

    place = Place(database, base_url)
    _run(write_batch_results(batch, place, _file(output), format_=format_, only=only))


@app.command()
def collect(
    batch: _Batch,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is", help="Do not wait for result files that are out of reach or cut short."
        ),
    ] = False,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Fetch the results of a batch that is over.

    `run`, `results` and the worker do so by themselves. This asks once more for the rows of
    requests that had none, such as those of a batch that was given up, or settles with --as-is
    a batch whose result file the provider has deleted.

        batchtrail collect 3f2a
    """
    from .batches import Place, collect_batch  # noqa: PLC0415

    _run(collect_batch(batch, Place(database, base_url), as_is=as_is, as_json=json))


@app.command()
def retry(
    batch: _Batch,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="OUTCOME",
            help="Take every request with this outcome instead: failed, expired, canceled, "
            "missing or succeeded. May be repeated, or name several with commas.",
        ),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Make another batch, even though one was made before.")
    ] = False,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Submit the requests of a batch that had no success once more.

    They become a batch of their own, whose id is printed. Taken are those that expired, were
    canceled or are missing, and those that failed for the server's sake (HTTP 408, 429 or 5xx);
    what is wrong with a request itself would be wrong again.

        batchtrail retry 3f2a
    """
    from .batches import Place, retry_batch  # noqa: PLC0415

    _run(retry_batch(batch, Place(database, base_url), only=only, new=new, as_json=json))


@app.command()
def worker(
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when nothing is left to do.")
    ] = False,
    parallel: Annotated[
        int, typer.Option(min=1, help="How many batches to submit or collect at once.")
    ] = 8,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Log a JSON object a line, for programs.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Log every detail.")] = False,
    database: _Database = None,
    base_url: _BaseURL = None,
) -> None:
    """Keep all open batches going.

    Goes on with submissions that were interrupted, polls, collects results and calls completion
    handlers, until Ctrl-C or SIGTERM. Any number of workers may run. With --until-idle the exit
    status is 1 when something could not be finished.

        batchtrail worker --log-json
    """
    from .batches import Place  # noqa: PLC0415
    from .work import run_worker  # noqa: PLC0415

    place = Place(database, base_url)
    work = run_worker(
        place, until_idle=until_idle, parallel=parallel, log_json=log_json, verbose=verbose
    )
    _run(work)


@app.command()
def cancel(
    batch: _Batch,
    database: _Database = None,
    base_url: _BaseURL = None,
    json: _Json = False,
) -> None:
    """Ask the provider to stop a batch.

    Finished requests keep their results, and are paid. The provider may take ten minutes. A
    batch that was never submitted is canceled at once.

        batchtrail cancel 3f2a
    """
    from .batches import Place, cancel_batch  # noqa: PLC0415

    _run(cancel_batch(batch, Place(database, base_url), as_json=json))


@app.command()
def history(
    batch: _Batch,
    request: Annotated[
        str | None,
        typer.Argument(
            metavar="[REQUEST]",
            help="The custom_id of one request: it alone, with its retries in other batches.",
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show every applied result, not only how many.")
    ] = False,
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="EVENT",
            help="Show this kind of event alone, for example WorkFailed. May be repeated, or "
            "name several with commas.",
        ),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="EVENT",
            help="Leave this kind of event out, for example ResultApplied.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="Show what was recorded then or later: 2026-11-20T03:12Z (without a zone, UTC "
            "is meant), or 2h or 3d (ago).",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="WHEN", help="Show what was recorded then or earlier."),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on with what any process records, until Ctrl-C."),
    ] = False,
    database: _Database = None,
    json: _Json = False,
) -> None:
    """Show everything that happened to a batch, or to one of its requests.

    Read from the log: when, what, the provider's request ids, and who did it; what one command
    led to bears the same mark (#). With --json, one event a line, complete but for the bodies; of
    a request, one batch a line, with what was asked and what came back.

        batchtrail history 3f2a --since 2h --without ResultApplied
    """
    from .batches import Place  # noqa: PLC0415
    from .history import HistoryOptions, Selection, show_history  # noqa: PLC0415

    with exiting_on_errors():
        selection = Selection.parse(event, without, since, until)
    what = HistoryOptions(batch, request, selection, every, follow, json)
    _run(show_history(what, Place(database)))


@app.command()
def verify(
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="POSITION:HEX",
            help="A seal that `seal` printed: the log up to there must still bear it.",
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=0, help="Print so many differences.")
    ] = 100,
    database: _Database = None,
    json: _Json = False,
) -> None:
    """Check that the database is what was recorded.

    Every digest, every stream and position for gaps, inputs, totals and each row of the views.
    Reads only, in constant memory, beside whoever is at work. One line for each difference, with
    its batch, event and position.

    Exit status: 0 nothing differs; 1 something does, or the database cannot be read.

        batchtrail verify --against 1234:9f86d0…
    """
    from .batches import Place  # noqa: PLC0415
    from .evidence import verify_log  # noqa: PLC0415

    _run(verify_log(Place(database), against=against, limit=limit, as_json=json))


@app.command()
def seal(
    full: Annotated[
        bool, typer.Option("--full", help="Begin at the first event, not at the last seal.")
    ] = False,
    database: _Database = None,
    json: _Json = False,
) -> None:
    """Print one digest of the whole log, as POSITION:HEX.

    Computed from everything that is stored up to now. Keep it elsewhere: `verify --against`
    proves later that nothing before it was changed, removed or reordered.

        batchtrail seal >> seals.txt
    """
    from .batches import Place  # noqa: PLC0415
    from .evidence import seal_log  # noqa: PLC0415

    _run(seal_log(Place(database), full=full, as_json=json))


@app.command()
def rebuild(database: _Database = None, json: _Json = False) -> None:
    """Write the views anew from the log.

    Beside running workers: batch by batch, and nothing that they save is lost. A damaged batch
    keeps what the views say of it, and the exit status is 1.

        batchtrail rebuild --db sqlite:///batches.db
    """
    from .batches import Place  # noqa: PLC0415
    from .evidence import rebuild_views  # noqa: PLC0415

    _run(rebuild_views(Place(database), as_json=json))


@app.command("export")
def export_(
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BATCH]...",
            help="Batch ids, or their first characters. Default: the whole log.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="LOG.jsonl",
            help="Where the lines go, written whole or not at all. Default: standard output.",
        ),
    ] = None,
    database: _Database = None,
) -> None:
    """Write the log as JSON lines that `import` and other programs can read.

    One event a line with everything that it holds, and checksums at the end. Reads only, beside
    whoever is at work. The same log gives the same bytes from any database. A damaged log is not
    exported.

        batchtrail export -o log.jsonl
    """
    from .batches import Place  # noqa: PLC0415
    from .moving import export_log  # noqa: PLC0415

    _run(export_log(batches or [], _file(output), Place(database)))


@app.command("import")
def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="LOG.jsonl", help="What `export` wrote; a dash reads standard input."
        ),
    ],
    database: _Database = None,
    json: _Json = False,
) -> None:
    """Make the log of an empty database from an export.

    Every line is checked, and all of them become the log at once, or none does. `verify`, `seal`
    and `results` then say what they said before, and `run` with the same input finds its batch.
    Go on with one of the two databases only: two would submit and pay twice.

        batchtrail import log.jsonl --db postgresql://localhost/batches
    """
    from .batches import Place  # noqa: PLC0415
    from .moving import import_log  # noqa: PLC0415

    _run(import_log(path, Place(database), as_json=json))


_SECONDS = {"metavar": "SECONDS", "min": 0.0}


@app.command()
def emulator(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free port.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Keep files and batches here. Default: a temporary directory."),
    ] = None,
    validating: Annotated[float, typer.Option(help="Time to check the input.", **_SECONDS)] = 1.0,
    in_progress: Annotated[float, typer.Option(help="Time to answer it.", **_SECONDS)] = 3.0,
    finalizing: Annotated[float, typer.Option(help="Time to write files.", **_SECONDS)] = 0.5,
    cancelling: Annotated[float, typer.Option(help="Time a cancel takes.", **_SECONDS)] = 1.0,
    completion_window: Annotated[
        float, typer.Option(help="Time until an unfinished batch expires.", **_SECONDS)
    ] = 86_400.0,
    answer_bytes: Annotated[
        int | None, typer.Option(min=0, help="Bytes of text in each answer. Default: a few lines.")
    ] = None,
    fail_every: Annotated[
        int | None, typer.Option(min=1, help="Let each N-th request fail with HTTP 500.")
    ] = None,
    dialect: Annotated[
        str, typer.Option(metavar="openai|azure", help="Whose spelling of the API it speaks.")
    ] = "openai",
    deployment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MODEL", help="A deployment and the model behind it. May be repeated."
        ),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON",
            help='Something that goes wrong, for example {"op": "create", "kind": "reset_after"}. '
            "May be repeated.",
        ),
    ] = None,
) -> None:
    """Serve a stand-in for OpenAI's batch API.

    It runs on this machine and costs nothing. Prints its base URL when it listens, and stops on
    Ctrl-C or SIGTERM. It answers every
    request with invented text. Any key but one that begins with sk-invalid is good.

        batchtrail emulator --port 8080
    """
    from ..emulator import EmulatorSettings  # noqa: PLC0415
    from .emulate import parse_deployments, parse_dialect, parse_faults, serve  # noqa: PLC0415

    settings = EmulatorSettings(
        dialect=parse_dialect(dialect),
        deployments=parse_deployments(deployment),
        host=host,
        port=port,
        data_dir=data_dir,
        validating=validating,
        in_progress=in_progress,
        finalizing=finalizing,
        cancelling=cancelling,
        completion_window=completion_window,
        answer_bytes=answer_bytes,
        fail_every=fail_every,
        faults=parse_faults(fault),
    )
    _run(serve(settings))


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        print(f"batchtrail {version('batchtrail')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Only what must come before a command."""
    del version


def run_command_line() -> None:
    """Run the command that was typed."""
    with exiting_on_errors():
        app()
