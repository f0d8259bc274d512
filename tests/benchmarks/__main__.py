"""`make bench`: whole processes in alternation, ours against a floor and a script on the SDK.

Each round runs each program once on the same input, with an emulator of its own, and then the
stages of a run apart; what is printed are medians over the rounds. A ratio is the median of those
of the rounds, with the lowest and the highest: within a round a machine is more like itself.
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
from statistics import median
from tempfile import TemporaryDirectory

from tests.benchmarks.inputs import ANSWER_BYTES, LINE_BYTES, write_requests
from tests.benchmarks.measuring import (
    APPLY,
    KEPT_LOOP,
    LOOPS,
    Cost,
    measured,
    median_of,
    warm_pages,
)

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).parent / "batchtrail")
OURS, COMPRESSED = "batchtrail run", "batchtrail run, zstd"
SCRIPTS = {
    "floor": HERE / "floor.py",
    "plain floor": HERE / "plain_floor.py",
    "floor that keeps": HERE / "kept_floor.py",
    "SDK script": HERE / "sdk_script.py",
}
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
        costs: dict[str, list[Cost]] = {each: [] for each in (OURS, *SCRIPTS, COMPRESSED)}
        stages: list[Mapping[str, Sequence[float]]] = []
        for number in range(1, options.rounds + 1):
            for program, each in costs.items():
                each.append(_run(program, _place(folder, program), source, options))
                line = f"round {number}: {program}: {each[-1].cpu:.2f} s CPU"
                print(line, file=sys.stderr, flush=True)
            stages.append(_stages(folder / "stages", source, options))
        later = _asked_later(_place(folder, OURS), options.rounds)
        parts = (
            _programs(options, source, folder, costs),
            _stage_table(options.requests, stages),
            _later_table(later),
        )
        report = "\n".join(line for part in parts for line in part)
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


def _place(folder: Path, program: str) -> Path:
    return folder / program.replace(",", "").replace(" ", "-")


def _cleared(place: Path) -> Path:
    for left in place.glob("*") if place.is_dir() else ():
        left.unlink()
    place.mkdir(exist_ok=True)
    return place


def _run(program: str, place: Path, source: Path, options: argparse.Namespace) -> Cost:
    """One run from nothing: a new folder, a new emulator and a new database."""
    _cleared(place)
    warm_pages(place, source)
    with _emulator(options.answer_bytes) as base_url:
        environment = _environment(base_url)
        if program in SCRIPTS:
            command = [sys.executable, str(SCRIPTS[program]), str(source)]
            command += ["out.jsonl", "results.db", base_url]
        else:
            command = [COMMAND, "run", str(source), "-o", "out.jsonl"]
            environment["BATCHTRAIL_COMPRESSION"] = "zstd" if program == COMPRESSED else "none"
        cost = measured(command, place, environment)
    _check(place / "out.jsonl", options.requests)
    return cost


def _stages(
    place: Path, source: Path, options: argparse.Namespace
) -> Mapping[str, Sequence[float]]:
    """The stages of one run: CPU and wall time, in seconds."""
    _cleared(place)
    with _emulator(options.answer_bytes) as base_url:
        command = [sys.executable, "-m", "tests.benchmarks.stages", str(source), ".", base_url]
        measured(command, place, _environment(base_url))
    told: dict[str, list[float]] = json.loads((place / "said.txt").read_bytes())
    return told


def _environment(base_url: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HERE.parents[1]),
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


def _programs(
    options: argparse.Namespace, source: Path, folder: Path, costs: Mapping[str, Sequence[Cost]]
) -> Iterator[str]:
    results = _place(folder, OURS) / "out.jsonl"
    up, down = source.stat().st_size, results.stat().st_size
    yield (
        f"{options.requests:,} requests, {up / _MB:.1f} MB up and {down / _MB:.1f} MB down; medians"
        f" of {options.rounds} rounds in alternation; {datetime.now(UTC):%Y-%m-%d},"
        f" Python {platform.python_version()}, {platform.system()} {platform.machine()},"
        f" {os.cpu_count()} processors."
    )
    heads = " | ".join(f"÷ {name}" for name in SCRIPTS)
    yield f"\n| Program | CPU s | {heads} | Wall s | Peak MB | Database ÷ data |"
    yield f"| --- | --- |{' --- |' * len(SCRIPTS)} --- | --- | --- |"
    for program, each in costs.items():
        cost = median_of(each)
        ratios = " | ".join(_beside(program, name, costs) for name in SCRIPTS)
        database = _place(folder, program) / "batchtrail.db"
        size = f"{database.stat().st_size / (up + down):.3f}" if database.exists() else ""
        yield (
            f"| {program} | {cost.cpu:.2f} | {ratios} | {cost.wall:.1f} | {cost.peak_mb:.0f} |"
            f" {size} |"
        )


def _beside(program: str, other: str, costs: Mapping[str, Sequence[Cost]]) -> str:
    if program == other:
        return "1.00"
    return _ratio(*([cost.cpu for cost in costs[name]] for name in (program, other)))


def _ratio(costs: Sequence[float], others: Sequence[float]) -> str:
    """The median of the rounds' ratios, and how far they lie apart."""
    ratios = [cost / other for cost, other in zip(costs, others, strict=True)]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _stage_table(requests: int, stages: Sequence[Mapping[str, Sequence[float]]]) -> Iterator[str]:
    yield "\n| Stage | CPU s | CPU µs a request | Wall s |\n| --- | --- | --- | --- |"
    for name in stages[0]:
        cpu, wall = (median(each[name][which] for each in stages) for which in (0, 1))
        yield f"| {name} | {cpu:.3f} | {cpu / requests * 1e6:.1f} | {wall:.3f} |"
    yield f"\n| Loop | Applying ÷ loop | {KEPT_LOOP} ÷ loop |\n| --- | --- | --- |"
    cpus = {name: [each[name][0] for each in stages] for name in (APPLY, *LOOPS)}
    for name in LOOPS:
        ours, kept = (_ratio(cpus[other], cpus[name]) for other in (APPLY, KEPT_LOOP))
        yield f"| {name} | {ours} | {'' if name == KEPT_LOOP else kept} |"


def _later_table(later: Mapping[str, Cost]) -> Iterator[str]:
    yield "\n| Afterwards | CPU s | Wall s | Peak MB |\n| --- | --- | --- | --- |"
    for name, cost in later.items():
        yield f"| {name} | {cost.cpu:.3f} | {cost.wall:.3f} | {cost.peak_mb:.0f} |"


if __name__ == "__main__":
    main()
