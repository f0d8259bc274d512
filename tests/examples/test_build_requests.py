import json
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPT = EXAMPLES / "build_requests.py"
COMMITTED = EXAMPLES / "requests.jsonl"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def main(script: dict[str, Any]) -> Callable[[list[str]], None]:
    entry: Callable[[list[str]], None] = script["main"]
    return entry


@pytest.fixture(scope="module")
def requests() -> list[dict[str, Any]]:
    return [json.loads(line) for line in COMMITTED.read_bytes().splitlines()]


def test_the_committed_file_is_what_the_script_builds(tmp_path: Path) -> None:
    """Run from anywhere, the script writes the committed bytes again."""
    built = tmp_path / "built.jsonl"
    subprocess.run([sys.executable, SCRIPT, "-o", built], cwd=tmp_path, check=True)
    assert COMMITTED.read_bytes() == built.read_bytes()


def test_the_batch_is_large_and_the_file_small(requests: list[dict[str, Any]]) -> None:
    """At least a thousand requests in less than a megabyte."""
    assert len(requests) >= 1_000
    assert COMMITTED.stat().st_size < 1_000_000


def test_custom_ids_are_unique_and_short(requests: list[dict[str, Any]]) -> None:
    """No two requests share a custom_id, and each fits the strictest compatible server."""
    custom_ids = [request["custom_id"] for request in requests]
    assert len(custom_ids) == len(set(custom_ids))
    assert max(map(len, custom_ids)) <= 64


def test_one_url_and_one_model(requests: list[dict[str, Any]]) -> None:
    """A batch has one endpoint and one model."""
    assert {("POST", "/v1/responses", "gpt-5-nano")} == {
        (request["method"], request["url"], request["body"]["model"]) for request in requests
    }


def test_every_line_is_compact_json(requests: list[dict[str, Any]]) -> None:
    """Each line is one JSON object without padding, with the fields of a Responses request."""
    compact = [json.dumps(request, separators=(",", ":")) for request in requests]
    assert compact == COMMITTED.read_text(encoding="ascii").splitlines()
    assert {("model", "instructions", "input", "max_output_tokens")} == {
        tuple(request["body"]) for request in requests
    }


def test_the_model_may_choose_every_right_answer(requests: list[dict[str, Any]]) -> None:
    """Each custom_id holds a topic that the instructions name, and no topic is rare."""
    topics = Counter(request["custom_id"].split("-")[1] for request in requests)
    assert len(topics) == 12
    assert min(topics.values()) >= 50
    instructions = requests[0]["body"]["instructions"]
    assert all(f" {topic}" in instructions for topic in topics)


def test_limit_and_model(main: Callable[[list[str]], None], tmp_path: Path) -> None:
    """A limited run is the head of the whole one, holds every topic and takes another model."""
    few = tmp_path / "few.jsonl"
    main(["--limit", "12", "-o", str(few)])
    assert COMMITTED.read_bytes().splitlines()[:12] == few.read_bytes().splitlines()
    main(["--limit", "12", "--model", "gpt-4.1-nano", "-o", str(few)])
    requests = [json.loads(line) for line in few.read_bytes().splitlines()]
    assert {"gpt-4.1-nano"} == {request["body"]["model"] for request in requests}
    assert len({request["custom_id"].split("-")[1] for request in requests}) == 12


@pytest.mark.parametrize("limit", ["0", "-3", "many"])
def test_a_limit_is_a_positive_number(main: Callable[[list[str]], None], limit: str) -> None:
    """A limit that would build nothing is bad usage."""
    with pytest.raises(SystemExit, match="2"):
        main(["--limit", limit])


def test_an_output_that_cannot_be_written(
    main: Callable[[list[str]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence says which file and why."""
    with pytest.raises(SystemExit, match="2"):
        main(["-o", str(tmp_path / "none" / "requests.jsonl")])
    assert capsys.readouterr().err.endswith("requests.jsonl: No such file or directory\n")


def test_the_licence_travels_with_the_text(script: dict[str, Any]) -> None:
    """The source opens with WordNet's licence, which LICENSE.wordnet repeats word for word."""
    text = script["SOURCE"].read_text(encoding="ascii")
    header = [line.split()[1:] for line in text.splitlines() if line.startswith(" ")]
    licence = (EXAMPLES / "LICENSE.wordnet").read_text(encoding="ascii")
    assert header == [line.split() for line in licence.splitlines()]
    assert "WordNet 3.0 Copyright 2006 by Princeton University." in licence
