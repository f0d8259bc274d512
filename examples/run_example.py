"""Run the example requests: on the emulator, or at OpenAI with LIVE=1 and a key.

`make run` calls it. Results and database go into `out/`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUESTS = ROOT / "examples" / "requests.jsonl"
OUT = ROOT / "out"
BATCHTRAIL = str(Path(sys.executable).parent / "batchtrail")
SHOWN = 5
WIDTH = 90


def main() -> int:
    """Run the batch, show some results, and return the exit status of `batchtrail run`."""
    OUT.mkdir(exist_ok=True)
    if os.environ.get("LIVE") == "1":
        print("Running the example at OpenAI: this costs a few cents.", flush=True)
        return run("live", dict(os.environ))
    print("Running the example on the built-in emulator (LIVE=1 goes to OpenAI).", flush=True)
    for left in OUT.glob("emulator.db*"):
        left.unlink()
    with emulator() as base_url:
        environment = {
            **without_settings(os.environ),
            "OPENAI_API_KEY": "emulator",
            "OPENAI_BASE_URL": base_url,
            "BATCHTRAIL_POLL_SCHEDULE": "0.5",
        }
        return run("emulator", environment)


def without_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment without what is meant for batches at OpenAI, or for the way there."""
    ours = ("BATCHTRAIL_", "OPENAI_")
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }


@contextmanager
def emulator() -> Iterator[str]:
    """Serve the emulator on a free port; gives its base URL."""
    process = subprocess.Popen([BATCHTRAIL, "emulator"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        if not base_url:
            sys.exit("the emulator did not start; see above")
        yield base_url
    finally:
        process.terminate()
        process.communicate()


def run(name: str, environment: dict[str, str]) -> int:
    """Run the batch with a database and a results file of this name."""
    database, results = OUT / f"{name}.db", OUT / f"{name}-results.jsonl"
    command = [
        BATCHTRAIL,
        "run",
        str(REQUESTS),
        "-o",
        str(results),
        "--db",
        f"sqlite:///{database}",
    ]
    status = subprocess.run(command, env=environment, check=False).returncode
    if results.is_file():
        show(results)
    print(f"\nTo look back: {BATCHTRAIL} status --db sqlite:///{database}")
    return status


def show(results: Path) -> None:
    """Print the first results: the custom_id and the answer's text."""
    print(f"\nThe first {SHOWN} of the results in {results}:")
    with results.open(encoding="utf-8") as lines:
        for line in islice(lines, SHOWN):
            result = json.loads(line)
            print(f"  {result['custom_id']:<28} {text_of(result)}")


def text_of(result: dict[str, object]) -> str:
    """The text of an answer, or why there is none."""
    match result:
        case {"response": {"body": {"output": [*_, {"content": [{"text": str(text)}, *_]}]}}}:
            words = " ".join(text.split())
            return words if len(words) <= WIDTH else f"{words[:WIDTH]}…"
        case {"error": {"message": str(message)}}:
            return message
        case _:
            return "no text"


if __name__ == "__main__":
    sys.exit(main())
