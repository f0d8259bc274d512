"""`make bench`: whole processes in alternation, ours against a floor and a script on the SDK.

Each round runs each program once on the same input, with an emulator of its own; what is printed
are medians over the rounds, and ratios of these medians.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.inputs import ANSWER_BYTES, LINE_BYTES, write_requests
from tests.benchmarks.measuring import Cost, measured, median_of

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).parent / "batchtrail")
SCRIPTS = {"floor": HERE / "floor.py", "SDK script": HERE / "sdk_script.py"}
LATER: Mapping[str, Sequence[str]] = {
    "`batchtrail --help`": ("--help",),
    "`status` of all": ("status",),
    "`status BATCH`": ("status", "BATCH"),
    "`results`": ("results", "BATCH", "-o", "again.jsonl"),
    "`seal`": ("seal",),
    "`verify`": ("verify",),
    "`rebuild`": ("rebuild",),
}
"""What is asked of the database of the last round, in this order."""
_MB = 1_000_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    options = _options(arguments)
    with TemporaryDirectory(prefix="batchtrail-bench-") as name:
        folder = Path(name)
        source = folder / "in.jsonl"
        write_requests(source, options.requests, options.line_bytes)
        costs: dict[str, list[Cost]] = {"batchtrail run": [], **{each: [] for each in SCRIPTS}}
        for number in range(1, options.rounds + 1):
            for program, each in costs.items():
                place = folder / program.replace(" ", "-")
                each.append(_run(program, place, source, options))
                line = f"round {number}: {program}: {each[-1].cpu:.2f} s CPU"
                print(line, file=sys.stderr, flush=True)
        ours = folder / "batchtrail-run"
        later = _asked_later(ours, options.rounds)
        report = "\n".join(_report(options, source, ours, costs, later))
    print(report)
    if options.report:
        options.report.write_text(report + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--requests", type=int, default=50_000, help="lines of the input")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program")
    parser.add_argument("--line-bytes", type=int, default=LINE_BYTES, help="of each request")
    parser.add_argument("--answer-bytes", type=int, default=ANSWER_BYTES, help="of each answer")
    parser.add_argument("--report", type=Path, help="write the tables there as well")
    return parser.parse_args(arguments)


def _run(program: str, place: Path, source: Path, options: argparse.Namespace) -> Cost:
    """One run from nothing: a new folder, a new emulator and a new database."""
    for left in place.glob("*") if place.is_dir() else ():
        left.unlink()
    place.mkdir(exist_ok=True)
    with _emulator(options.answer_bytes) as base_url:
        if program in SCRIPTS:
            command = [sys.executable, str(SCRIPTS[program]), str(source)]
            command += ["out.jsonl", "results.db", base_url]
        else:
            command = [COMMAND, "run", str(source), "-o", "out.jsonl"]
        cost = measured(command, place, _environment(base_url))
    _check(place / "out.jsonl", options.requests)
    return cost


def _environment(base_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": base_url,
        "BATCHTRAIL_POLL_SCHEDULE": "0.1",
    }


@contextmanager
def _emulator(answer_bytes: int) -> Iterator[str]:
    """An emulator whose batches end as soon as it has the answers; gives its base URL."""
    command = [COMMAND, "emulator", "--validating", "0", "--in-progress", "0"]
    command += ["--finalizing", "0", "--answer-bytes", str(answer_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def _check(results: Path, requests: int) -> None:
    """A program that did not do the job is not measured."""
    number = 0
    with results.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if json.loads(line)["custom_id"] != f"request-{number - 1:06}":
                sys.exit(f"{results}: line {number} is not that of the input")
    if number != requests:
        sys.exit(f"{results} has {number} lines and should have {requests}")


def _asked_later(place: Path, rounds: int) -> dict[str, Cost]:
    """What commands on the finished batch cost; the base URL leads nowhere and is not needed."""
    environment = _environment("http://127.0.0.1:9/v1")
    listed = subprocess.run(
        [COMMAND, "status", "--json"], cwd=place, env=environment, capture_output=True, check=True
    )
    batch_id = json.loads(listed.stdout.splitlines()[0])["id"]
    costs: dict[str, list[Cost]] = {name: [] for name in LATER}
    for _ in range(rounds):
        for name, words in LATER.items():
            command = [batch_id if word == "BATCH" else word for word in words]
            costs[name].append(measured([COMMAND, *command], place, environment))
    return {name: median_of(each) for name, each in costs.items()}


def _report(
    options: argparse.Namespace,
    source: Path,
    ours: Path,
    costs: Mapping[str, Sequence[Cost]],
    later: Mapping[str, Cost],
) -> Iterator[str]:
    results, database = (ours / name for name in ("out.jsonl", "batchtrail.db"))
    up, down, kept = (each.stat().st_size for each in (source, results, database))
    yield (
        f"{options.requests:,} requests, {up / _MB:.1f} MB up and {down / _MB:.1f} MB down; medians"
        f" of {options.rounds} rounds in alternation; {datetime.now(UTC):%Y-%m-%d},"
        f" Python {platform.python_version()}, {platform.system()} {platform.machine()},"
        f" {os.cpu_count()} processors."
    )
    floor = median_of(costs["floor"])
    yield "\n| Program | CPU s | CPU ÷ floor | Wall s | Peak MB |\n| --- | --- | --- | --- | --- |"
    for program, each in costs.items():
        cost = median_of(each)
        figures = f"{cost.cpu:.2f} | {cost.cpu / floor.cpu:.2f}"
        yield f"| {program} | {figures} | {cost.wall:.1f} | {cost.peak_mb:.0f} |"
    yield "\n| Afterwards | CPU s | Wall s | Peak MB |\n| --- | --- | --- | --- |"
    for name, cost in later.items():
        yield f"| {name} | {cost.cpu:.3f} | {cost.wall:.3f} | {cost.peak_mb:.0f} |"
    yield f"\nThe database has {kept / (up + down):.3f} of the bytes of requests and results."


if __name__ == "__main__":
    main()
