"""The commands and what their `--help` teaches; the work is imported when a command runs."""

import math
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from ...version import __version__
from . import options
from .exits import ExitStatus, exiting_on_errors
from .formats import Format
from .streams import speak_without_listeners
from .text import escape_unencodable

_MOST_LISTED = 1_000_000_000
"""Far beyond any list, and within what a database takes for a number."""

_STANDARD_OUTPUT = set(map(Path, ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")))

_HELP = """Run large sets of LLM requests through the OpenAI Batch API, from an event log.

Give a JSONL file of requests to `run`: it submits one batch, waits for it and writes one result
line for each request, in input order. Type the same command again, without --new, after any
interruption: it goes on where it was, and never submits or pays twice.

Settings come from options, then the environment, then a .env file: OPENAI_API_KEY,
OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_PROJECT_ID, BATCHTRAIL_DB, BATCHTRAIL_POLL_SCHEDULE
(seconds, comma-separated), BATCHTRAIL_RECONCILE_WAIT, BATCHTRAIL_MAX_AGE and BATCHTRAIL_LEASE
(seconds), BATCHTRAIL_HANDLERS (packages, comma-separated), BATCHTRAIL_PRICES (a file of your own
prices), BATCHTRAIL_COMPRESSION (zstd), and for Azure BATCHTRAIL_DIALECT (azure),
OPENAI_API_VERSION and BATCHTRAIL_AUTH (bearer or api-key). From the environment alone:
BATCHTRAIL_ENCRYPTION_KEYS, and BATCHTRAIL_DEBUG=1, which shows tracebacks. The page
docs/reference/settings.md tells what each is for.

Exit status: 0 every request succeeded; 3 the batch is over and some request has no success;
2 bad usage or bad input; 1 anything else, also what `verify` finds; 130 interrupted.
"""


_GOES_ON = "interrupted; a submitted batch goes on, and the same command, without --new, resumes"
_IS_KEPT = "interrupted; what was collected is kept, and the same command goes on"


class _Command(click.Command):
    """Ends with the status that its function gives, or with our sentence for what went wrong.

    Not only around the whole: click has its own idea of what an interrupt prints.
    """

    def __init__(self, *args: Any, interrupted: str = "interrupted", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._interrupted = interrupted

    def invoke(self, ctx: click.Context) -> NoReturn:
        new = bool(ctx.params.get("new"))
        with exiting_on_errors(new=new, interrupted=self._interrupted):
            status: ExitStatus = super().invoke(ctx)
        sys.exit(status)


class _InOrder(click.Group):
    """Lists the commands in the order of this module, which is that of their use."""

    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(
    cls=_InOrder,
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, message="batchtrail %(version)s", help="Print the version.")
def app() -> None:
    """Only what must come before a command."""


def _file(output: Path | None) -> Path | None:
    """The output file, None for standard output.

    As a file it could not be replaced: a pipe has no directory, and what it was appended to would
    be gone.
    """
    return None if output in _STANDARD_OUTPUT else output


def _run(work: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    import asyncio  # noqa: PLC0415 (start-up time)

    return asyncio.run(work)


@app.command(interrupted=_GOES_ON)
@options.input_file
@options.output
@options.submission
@options.place
@options.as_json
def run(
    *,
    input_path: Path,
    output: Path | None,
    new: bool,
    why: str | None,
    metadata: Sequence[str],
    handler: str | None,
    max_cost: str | None,
    database: str | None,
    base_url: str | None,
    as_json: bool,
) -> ExitStatus:
    """Submit a file, wait, and write the results.

    Progress goes to standard error; the results go to OUT.jsonl or to standard output, one line
    for each request in input order, as the provider sent it. Run it again, without --new, to
    resume; after the end, it writes the results again without asking the provider.

    With --json the summary goes to standard output, and results only to OUT.jsonl.

        batchtrail run requests.jsonl -o results.jsonl
    """
    from .batches import SubmitOptions, run_batch  # noqa: PLC0415 (start-up time)
    from .place import Place  # noqa: PLC0415

    place = Place(database, base_url)
    what = SubmitOptions(input_path, new, why, metadata, handler, max_cost)
    return _run(run_batch(what, place, _file(output), as_json=as_json))


@app.command(interrupted=_GOES_ON)
@options.input_file
@options.submission
@options.place
@options.as_json
def submit(
    *,
    input_path: Path,
    new: bool,
    why: str | None,
    metadata: Sequence[str],
    handler: str | None,
    max_cost: str | None,
    database: str | None,
    base_url: str | None,
    as_json: bool,
) -> ExitStatus:
    """Submit a file and print the batch id, without waiting.

    The same file is submitted once, however often this is typed without --new. `run` with the
    same file, or `results` with the batch id, fetches the results later.

        batchtrail submit requests.jsonl
    """
    from .batches import SubmitOptions, submit_batch  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    what = SubmitOptions(input_path, new, why, metadata, handler, max_cost)
    return _run(submit_batch(what, Place(database, base_url), as_json=as_json))


@app.command()
@options.input_file
@options.place
@options.as_json
def estimate(
    *, input_path: Path, database: str | None, base_url: str | None, as_json: bool
) -> ExitStatus:
    """Say what a file would cost, before it is sent.

    Checks it as `run` does with the same options, and needs neither a key nor a database. The
    price goes from that of the input tokens alone to that of all the output that the requests
    allow, too, at the batch price. Tokens are estimated.

        batchtrail estimate requests.jsonl
    """
    from .estimate import show_estimate  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return show_estimate(input_path, Place(database, base_url), as_json=as_json)


@app.command()
@click.argument(
    "batch", metavar="[BATCH]", required=False, help="A batch id, or its first characters."
)
@click.argument(
    "request",
    metavar="[REQUEST]",
    required=False,
    help="The custom_id of one request of the batch.",
)
@click.option(
    "--at",
    metavar="WHEN",
    help="Show it as it was then: a moment, as 2026-11-20T03:12Z (UTC where no zone is "
    "written), how long ago, as 2h or 3d, or the number of an event.",
)
@click.option("--refresh", is_flag=True, help="Ask the provider first, and record what it says.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1, max=_MOST_LISTED),
    default=20,
    help="How many batches to list at most.",
)
@options.place
@options.as_json
def status(
    *,
    batch: str | None,
    request: str | None,
    at: str | None,
    refresh: bool,
    limit: int,
    database: str | None,
    base_url: str | None,
    as_json: bool,
) -> ExitStatus:
    """Show one batch, one of its requests, or list the newest batches.

    Reads the log alone and needs no key, unless --refresh is given. With --at it prints what it
    would have printed then, from the events alone.

        batchtrail status 3f2a --at 2026-11-20T03:12Z
    """
    from .place import Place  # noqa: PLC0415
    from .status import Looked, show_status  # noqa: PLC0415

    what = Looked(batch, request, at, refresh, limit)
    return _run(show_status(what, Place(database, base_url), as_json=as_json))


@app.command(interrupted=_IS_KEPT)
@options.batch
@options.output
@click.option(
    "--format",
    "format_",
    metavar="FORMAT",
    type=click.Choice([each.value for each in Format]),
    default=Format.LINES.value,
    help="lines: as the provider sent them. jsonl, csv or parquet: a row for each "
    "request with text, value, finish reason, tokens, cost (USD) and error.",
)
@click.option(
    "--only",
    metavar="OUTCOME",
    multiple=True,
    help="Write only the requests with this outcome: succeeded, failed, expired, "
    "canceled or missing. May be repeated, or name several with commas.",
)
@options.place
def results(
    *,
    batch: str,
    output: Path | None,
    format_: str,
    only: Sequence[str],
    database: str | None,
    base_url: str | None,
) -> ExitStatus:
    """Write the results of a batch.

    One line for each request, in input order. A batch that is over at the provider is collected
    first. A request for which the provider has no line gets one of ours, with a null response and
    an error with a code.

        batchtrail results 3f2a --format csv -o results.csv
    """
    from .place import Place  # noqa: PLC0415
    from .results import write_batch_results  # noqa: PLC0415

    place = Place(database, base_url)
    return _run(
        write_batch_results(batch, place, _file(output), format_=Format(format_), only=only)
    )


@app.command(interrupted=_IS_KEPT)
@options.batch
@click.option(
    "--as-is",
    is_flag=True,
    help="Take what can be fetched now, and do not wait for result files that are out of reach "
    "or cut short. Requests without a result line are then settled as missing, or as expired or "
    "canceled with their batch.",
)
@options.place
@options.as_json
def collect(
    *, batch: str, as_is: bool, database: str | None, base_url: str | None, as_json: bool
) -> ExitStatus:
    """Fetch the results of a batch that is over.

    `run`, `results` and the worker do so by themselves. Use this to ask once more for results
    that were missing, as those of a batch that was given up, or, with --as-is, to settle a batch
    whose result file the provider has deleted.

        batchtrail collect 3f2a
    """
    from .batches import collect_batch  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(collect_batch(batch, Place(database, base_url), as_is=as_is, as_json=as_json))


@app.command(interrupted=_GOES_ON)
@options.batch
@click.option(
    "--only",
    metavar="OUTCOME",
    multiple=True,
    help="Take every request with this outcome instead: failed, expired, canceled, "
    "missing or succeeded. May be repeated, or name several with commas.",
)
@click.option(
    "--new",
    is_flag=True,
    help="Make another batch (and pay for it), even if the same requests were retried before. To "
    "go on with the newest retry, leave this out.",
)
@options.max_cost
@options.place
@options.as_json
def retry(
    *,
    batch: str,
    only: Sequence[str],
    new: bool,
    max_cost: str | None,
    database: str | None,
    base_url: str | None,
    as_json: bool,
) -> ExitStatus:
    """Submit the requests of a batch that had no success once more.

    They become a batch of their own, whose id is printed. Taken are those that expired, were
    canceled or are missing, and those that failed because of the server (HTTP 408, 429 or 5xx, a
    time-out); a request that is wrong itself would fail again.

        batchtrail retry 3f2a
    """
    from .batches import RetryOptions, retry_batch  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    what = RetryOptions(batch, only, new, max_cost)
    return _run(retry_batch(what, Place(database, base_url), as_json=as_json))


@app.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is left to do.")
@click.option(
    "--parallel",
    metavar="N",
    type=click.IntRange(min=1),
    default=8,
    help="How many batches to submit or collect at once.",
)
@click.option("--log-json", is_flag=True, help="Log one JSON object a line, for programs.")
@click.option("-v", "--verbose", is_flag=True, help="Log every detail.")
@options.place
def worker(
    *,
    until_idle: bool,
    parallel: int,
    log_json: bool,
    verbose: bool,
    database: str | None,
    base_url: str | None,
) -> ExitStatus:
    """Keep all open batches going.

    Goes on with submissions that were interrupted, polls, collects results and calls completion
    handlers, until Ctrl-C or SIGTERM. Any number of workers may run. With --until-idle the exit
    status is 1 when something could not be finished.

        batchtrail worker --log-json
    """
    from .place import Place  # noqa: PLC0415
    from .work import run_worker  # noqa: PLC0415

    place = Place(database, base_url)
    work = run_worker(
        place, until_idle=until_idle, parallel=parallel, log_json=log_json, verbose=verbose
    )
    return _run(work)


@app.command()
@options.batch
@options.place
@options.as_json
def cancel(*, batch: str, database: str | None, base_url: str | None, as_json: bool) -> ExitStatus:
    """Ask the provider to stop a batch.

    Finished requests keep their results, and have to be paid. The provider may take ten minutes. A
    batch that was never submitted is canceled at once, and one that is over not at all, unless the
    provider shows it as at work again.

        batchtrail cancel 3f2a
    """
    from .batches import cancel_batch  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(cancel_batch(batch, Place(database, base_url), as_json=as_json))


@app.command()
@options.batch
@click.argument(
    "request",
    metavar="[REQUEST]",
    required=False,
    help="The custom_id of a request: show that one alone, with its retries in other batches.",
)
@click.option("--all", "every", is_flag=True, help="Show every applied result, not only how many.")
@click.option(
    "--event",
    metavar="EVENT",
    multiple=True,
    help="Show only this kind of event, for example WorkFailed. May be repeated, or "
    "name several with commas.",
)
@click.option(
    "--without",
    metavar="EVENT",
    multiple=True,
    help="Leave this kind of event out, for example ResultApplied. May be repeated, or name "
    "several with commas.",
)
@click.option(
    "--since",
    metavar="WHEN",
    help="Show only what was recorded then or later: a moment, as 2026-11-20T03:12Z (UTC where no "
    "zone is written), or how long ago, as 2h or 3d.",
)
@click.option("--until", metavar="WHEN", help="Show only what was recorded then or earlier.")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on with new events, whichever process records them, until Ctrl-C.",
)
@options.database
@options.as_json
def history(
    *,
    batch: str,
    request: str | None,
    every: bool,
    event: Sequence[str],
    without: Sequence[str],
    since: str | None,
    until: str | None,
    follow: bool,
    database: str | None,
    as_json: bool,
) -> ExitStatus:
    """Show all that happened to a batch, or to one of its requests.

    A line for each event: when, what, the provider's request ids, and who did it. All that one
    command led to has the same mark (#). With --json the events are complete but for the texts of
    requests and results; for one request, there is a line for each batch that had it, with what
    was asked and what came back.

        batchtrail history 3f2a --since 2h --without ResultApplied
    """
    from .history import HistoryOptions, Selection, show_history  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    selection = Selection.parse(event, without, since, until)
    what = HistoryOptions(batch, request, selection, every, follow, as_json)
    return _run(show_history(what, Place(database)))


@app.command()
@click.option(
    "--against",
    metavar="POSITION:HEX",
    help="A seal that `seal` printed earlier: check that nothing before it was changed since.",
)
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=100,
    help="How many differences to print at most.",
)
@options.database
@options.as_json
def verify(*, against: str | None, limit: int, database: str | None, as_json: bool) -> ExitStatus:
    """Check that the database holds what was recorded.

    Recomputes every digest, looks for gaps, and compares inputs, totals and each row of the views
    with the events. Changes nothing, and may run while others work. Prints a line for each
    difference, with its batch, event and position.

    Exit status: 0 nothing differs; 1 something does, or the database cannot be read on; 2 there
    is no database, or none of ours.

        batchtrail verify --against 1234:9f86d0…
    """
    from .evidence import verify_log  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(verify_log(Place(database), against=against, limit=limit, as_json=as_json))


@app.command()
@click.option("--full", is_flag=True, help="Begin at the first event, not at the last seal.")
@options.database
@options.as_json
def seal(*, full: bool, database: str | None, as_json: bool) -> ExitStatus:
    """Print one digest of the whole log, as POSITION:HEX.

    Begins at the last seal, and looks only at what was stored since, unless --full is given. Keep
    what it prints elsewhere: `verify --against` proves later that nothing before it was changed,
    removed or reordered.

        batchtrail seal >> seals.txt
    """
    from .evidence import seal_log  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(seal_log(Place(database), full=full, as_json=as_json))


@app.command()
@options.database
@options.as_json
def rebuild(*, database: str | None, as_json: bool) -> ExitStatus:
    """Write the tables for look-ups, the views, anew from the log.

    Goes batch by batch and may run beside workers: nothing that they save is lost. A damaged batch
    keeps the rows that it has, and the exit status is then 1.

        batchtrail rebuild --db sqlite:///batches.db
    """
    from .evidence import rebuild_views  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(rebuild_views(Place(database), as_json=as_json))


@app.command("export")
@click.argument(
    "batches",
    metavar="[BATCH]...",
    nargs=-1,
    help="Batch ids, or their first characters. Default: the whole log.",
)
@click.option(
    "-o",
    "--output",
    metavar="LOG.jsonl",
    type=options.PATH,
    help="A new file for the lines, written whole or not at all. Default: standard output.",
)
@options.database
def export_(*, batches: Sequence[str], output: Path | None, database: str | None) -> ExitStatus:
    """Write the log as JSON lines.

    For `import` and other programs: one event a line with everything that it holds, and checksums
    at the end. Changes nothing, and may run while others work. The same log gives the same bytes
    from any database. A damaged log is not exported.

        batchtrail export -o log.jsonl
    """
    from .moving import export_log  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(export_log(batches, _file(output), Place(database)))


@app.command("import")
@click.argument(
    "path",
    metavar="LOG.jsonl",
    type=options.PATH,
    help="What `export` wrote; a dash reads standard input.",
)
@options.database
@options.as_json
def import_(*, path: Path, database: str | None, as_json: bool) -> ExitStatus:
    """Fill an empty database with an exported log.

    Every line is checked, and either all of them are imported or none. `verify`, `seal`
    and `results` then say what they said before, and `run` with the same input finds its batch.
    Go on with one of the two databases only: two would submit and pay twice.

        batchtrail import log.jsonl --db postgresql://localhost/batches
    """
    from .moving import import_log  # noqa: PLC0415
    from .place import Place  # noqa: PLC0415

    return _run(import_log(path, Place(database), as_json=as_json))


@app.command()
@click.option(
    "--older-than",
    metavar="AGE",
    required=True,
    help="Take the batches to which nothing has happened for so long, as 90d or 12w, or since a "
    "moment, as 2026-01-31.",
)
@click.option(
    "--export",
    "export_path",
    metavar="LOG.jsonl",
    type=options.PATH,
    help="A new file, to which these batches are exported first, whole or not at all.",
)
@click.option("--no-export", is_flag=True, help="Remove the texts without keeping a copy.")
@options.database
@options.as_json
def prune(
    *,
    older_than: str,
    export_path: Path | None,
    no_export: bool,
    database: str | None,
    as_json: bool,
) -> ExitStatus:
    """Remove the texts of old batches, and keep what happened.

    Only of batches that are done. Events, counts, costs and digests stay, and seals that were
    taken before still hold. The log tells who pruned what, when, and the SHA-256 of the export.
    Only the export has the texts then.

        batchtrail prune --older-than 90d --export 2026.jsonl
    """
    from .place import Place  # noqa: PLC0415
    from .removal import prune_batches  # noqa: PLC0415

    return _run(
        prune_batches(older_than, export_path, Place(database), keep=not no_export, as_json=as_json)
    )


@app.command()
@options.batch
@click.argument("request", metavar="REQUEST", help="The custom_id of the request.")
@click.option("--why", metavar="TEXT", help="The reason, for the log.")
@options.database
def redact(*, batch: str, request: str, why: str | None, database: str | None) -> ExitStatus:
    """Remove what one request asked and got, for good.

    The batch must be done. The request keeps its custom_id, its outcome, its cost and the
    provider's error if it failed, and the log tells who redacted it and when; all else can still be
    verified. A retry is a batch of its own: `history BATCH REQUEST` lists them. Files at the
    provider and exports are not touched.

        batchtrail redact 3f2a order-17 --why "asked by the customer"
    """
    from .place import Place  # noqa: PLC0415
    from .removal import redact_one  # noqa: PLC0415

    return _run(redact_one(batch, request, why, Place(database)))


def _finite(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):
        raise click.BadParameter(f"{seconds} is no number of seconds.")
    return seconds


def _seconds(name: str, default: float, what: str) -> Callable[[options.Command], options.Command]:
    return click.option(
        name,
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        callback=_finite,
        default=default,
        help=what,
    )


@app.command()
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(min=0, max=65_535),
    default=0,
    help="Port to listen on; 0 takes a free one.",
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--data-dir",
    metavar="DIRECTORY",
    type=options.PATH,
    help="Keep files and batches here. Default: a temporary directory.",
)
@_seconds("--validating", 1.0, "Time to check the input.")
@_seconds("--in-progress", 3.0, "Time to answer the requests.")
@_seconds("--finalizing", 0.5, "Time to write the result files.")
@_seconds("--cancelling", 1.0, "Time a cancel takes.")
@_seconds("--completion-window", 86_400.0, "Time until an unfinished batch expires.")
@click.option(
    "--answer-bytes",
    metavar="N",
    type=click.IntRange(min=0),
    help="Bytes of text in each answer. Default: a few lines.",
)
@click.option(
    "--fail-every",
    metavar="N",
    type=click.IntRange(min=1),
    help="Let each N-th request fail with HTTP 500.",
)
@click.option(
    "--dialect",
    type=click.Choice(["openai", "azure"]),
    default="openai",
    help="Whose variant of the API it serves.",
)
@click.option(
    "--deployment",
    metavar="NAME=MODEL",
    multiple=True,
    help="A deployment and the model behind it. May be repeated.",
)
@click.option(
    "--fault",
    metavar="JSON",
    multiple=True,
    help='Something that goes wrong, for example {"op": "create", "kind": "reset_after"}. '
    "May be repeated.",
)
def emulator(
    *,
    port: int,
    host: str,
    data_dir: Path | None,
    validating: float,
    in_progress: float,
    finalizing: float,
    cancelling: float,
    completion_window: float,
    answer_bytes: int | None,
    fail_every: int | None,
    dialect: str,
    deployment: Sequence[str],
    fault: Sequence[str],
) -> ExitStatus:
    """Serve a stand-in for OpenAI's batch API.

    It runs on this machine and costs nothing. It prints its base URL when it listens, and stops on
    Ctrl-C or SIGTERM. Every request is answered with invented text; pictures are one pixel, videos
    have no clip, and both are answered in batches only. Any key is good but one that begins with
    sk-invalid.

        batchtrail emulator --port 8080
    """
    from ..emulator import Dialect, EmulatorSettings  # noqa: PLC0415
    from .emulate import parse_deployments, parse_faults, serve  # noqa: PLC0415

    settings = EmulatorSettings(
        dialect=Dialect(dialect),
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
    return _run(serve(settings))


def run_command_line() -> None:
    """Run the command that was typed."""
    speak_without_listeners()
    escape_unencodable(sys.stdout, sys.stderr)
    with exiting_on_errors():
        app()
