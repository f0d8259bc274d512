"""The installed command against the emulator in Azure's dialect."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import FAST, Cli, Emulator, custom_ids, emulating, sentence
from tests.laboratory.forks import Forks

OLDER = "2024-10-21"


@pytest.fixture(scope="module")
def azure_emulator(warm: Forks) -> Iterator[Emulator]:
    dialect = ("--dialect", "azure", "--deployment", "nightly=gpt-4o-mini")
    with emulating(*FAST, *dialect, warm=warm) as emulator:
        yield emulator


@pytest.fixture
def azure(tmp_path: Path, azure_emulator: Emulator, warm: Forks) -> Cli:
    """The command with what a user of Azure sets."""
    azure_emulator.begin()
    return Cli(tmp_path, azure_emulator.base_url, warm, {"BATCHTRAIL_DIALECT": "azure"})


def write(cli: Cli, *urls: str, name: str = "in.jsonl") -> Path:
    """Write one request for each url."""
    body = {"model": "nightly", "messages": [{"role": "user", "content": f"Hi from {cli.home}."}]}
    lines = [
        {"custom_id": f"r{number}", "method": "POST", "url": url, "body": body}
        for number, url in enumerate(urls)
    ]
    path = cli.home / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/chat/completions"])
def test_run(azure: Cli, azure_emulator: Emulator, url: str) -> None:
    """It submits, waits and writes the answers of the model behind the deployment."""
    result = azure("run", write(azure, url, url, url), "-o", "out.jsonl")
    assert result.status == 0, result
    rows = [json.loads(row) for row in (azure.home / "out.jsonl").read_text().splitlines()]
    assert [row["custom_id"] for row in rows] == ["r0", "r1", "r2"]
    models = {row["response"]["body"]["model"] for row in rows}
    assert models == {"gpt-4o-mini-2024-07-18"}
    assert azure_emulator.applied("create") == 1


def test_run_at_an_older_address(azure: Cli, azure_emulator: Emulator) -> None:
    """With a version in every address; without one Azure's 404 is shown."""
    path = write(azure, "/chat/completions", "/chat/completions")
    older = azure_emulator.base_url.removesuffix("/v1")
    result = azure("run", path, OPENAI_BASE_URL=older)
    assert result.status == 2
    assert "404: Resource not found" in result.err
    result = azure("run", path, "--new", OPENAI_BASE_URL=older, OPENAI_API_VERSION=OLDER)
    assert result.status == 0, result
    assert custom_ids(result.stdout) == ["r0", "r1"]
    assert azure_emulator.applied("create") == 1


def test_wrong_header(azure: Cli) -> None:
    """A bearer token is refused in Azure's words."""
    result = azure("run", write(azure, "/chat/completions"), BATCHTRAIL_AUTH="bearer")
    assert result.status == 2
    assert "Access denied due to invalid subscription key" in result.err


def test_endpoint_without_v1_at_openai(cli: Cli, emulator: Emulator) -> None:
    """Elsewhere the spelling is refused before anything is sent."""
    path = write(cli, "/chat/completions")
    assert "'/chat/completions' is no batch endpoint" in sentence(cli("run", path))
    assert emulator.received() == {}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--deployment", "nightly", "--deployment is 'nightly'; write a name and a model"),
        ("--deployment", "=gpt-4o", "--deployment is '=gpt-4o'; write a name and a model"),
    ],
)
def test_emulator_options(cli: Cli, option: str, value: str, words: str) -> None:
    """A slip is named with its value."""
    assert words in sentence(cli("emulator", option, value))
