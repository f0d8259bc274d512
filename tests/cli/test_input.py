"""Request files: what is wrong is said in one sentence before anything is sent."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli, Emulator, custom_ids, finish, recorded, request, sentence

MISSING = object()
LIMIT = 209_715_200


def line(field: str | None = None, value: Any = None) -> bytes:
    """Write a request line with another value in one field; `MISSING` leaves it out."""
    whole: dict[str, Any] = json.loads(request("bad"))
    if field is not None:
        *parents, name = field.split(".")
        part = whole[parents[0]] if parents else whole
        part[name] = value
        if value is MISSING:
            del part[name]
    return json.dumps(whole).encode()


def refused(cli: Cli, emulator: Emulator, content: bytes) -> str:
    """Run a bad file; give the sentence, and check that nothing was sent or recorded."""
    (cli.home / "bad.jsonl").write_bytes(content)
    text = sentence(cli("run", "bad.jsonl", "-o", "out.jsonl"))
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0
    assert not (cli.home / "out.jsonl").exists()
    return text


@pytest.mark.parametrize(
    ("bad", "where", "words"),
    [
        pytest.param(b'{"custom_id": ', "line 2", "not valid JSON", id="no JSON"),
        pytest.param(b"hello", "line 2", "not valid JSON", id="text"),
        pytest.param(b"[1]", "line 2", "not a JSON object; write", id="array"),
        pytest.param(b"\xff\xfe{}", "line 2", "not UTF-8 (byte 1", id="UTF-16"),
        pytest.param(b'{"custom_id": "caf\xe9"}', "line 2", "save the file as UTF-8", id="latin-1"),
        pytest.param(b"", "line 2", "is blank; remove it", id="blank line"),
        pytest.param(line("custom_id", MISSING), "line 2, field custom_id", "is missing", id="-id"),
        pytest.param(line("custom_id", ""), "line 2, field custom_id", "blank; give", id="id ''"),
        pytest.param(
            line("custom_id", " \t"), "line 2, field custom_id", "blank; give", id="id ' '"
        ),
        pytest.param(
            line("custom_id", 7), "line 2, field custom_id", "must be a string", id="id 7"
        ),
        pytest.param(line("custom_id", "good"), "line 2, field custom_id", "line 1", id="id twice"),
        pytest.param(line("method", MISSING), "line 2, field method", "is missing", id="-method"),
        pytest.param(line("method", "GET"), "line 2, field method", "only 'POST'", id="GET"),
        pytest.param(line("method", ""), "line 2, field method", "only 'POST'", id="method ''"),
        pytest.param(line("method", None), "line 2, field method", "must be a", id="method null"),
        pytest.param(line("url", MISSING), "line 2, field url", "is missing", id="-url"),
        pytest.param(line("url", ["/v1/responses"]), "line 2, field url", "must be a", id="url []"),
        pytest.param(line("url", ""), "line 2, field url", "is blank", id="url ''"),
        pytest.param(
            line("url", "/v1/chat/completions"),
            "line 2, field url",
            "differs from the batch's endpoint '/v1/responses'; put requests",
            id="two urls",
        ),
        pytest.param(line("body", MISSING), "line 2, field body", "is missing", id="-body"),
        pytest.param(
            line("body", "{}"), "line 2, field body", "must be a JSON object", id="body ''"
        ),
        pytest.param(line("body", None), "line 2, field body", "must be a", id="body null"),
        pytest.param(line("body", {}), "line 2, field body.model", "name the model", id="body {}"),
        pytest.param(line("body.model", 5), "line 2, field body.model", "string", id="model 5"),
        pytest.param(
            line("body.model", "gpt-4.1"),
            "line 2, field body.model",
            "'gpt-4.1' differs from the batch's model 'gpt-5-nano'; put requests",
            id="two models",
        ),
        pytest.param(
            line("body.stream", value=True), "line 2, field body.stream", "remove it", id="stream"
        ),
        pytest.param(
            line("body.stream", "yes"), "line 2, field body.stream", "true or false", id="stream ''"
        ),
    ],
)
def test_bad_second_line(cli: Cli, emulator: Emulator, bad: bytes, where: str, words: str) -> None:
    """The sentence names the file, the line, the field and the way out."""
    text = refused(cli, emulator, b"\n".join([request("good"), bad, request("third")]) + b"\n")
    assert text.startswith(f"bad.jsonl: {where}: ")
    assert words in text


@pytest.mark.parametrize("first", [b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"])
def test_a_compressed_file(cli: Cli, emulator: Emulator, first: bytes) -> None:
    """It is told from a text in another encoding."""
    text = refused(cli, emulator, first)
    assert text == "bad.jsonl: line 1: is compressed; unpack the file first"


@pytest.mark.parametrize(
    ("bad", "field", "words"),
    [
        (line("url", "/v1/images"), "url", "is no batch endpoint; use one of /v1/chat/completions"),
        (line("url", "https://api.openai.com/v1/responses"), "url", "is no batch endpoint; use"),
        (line("body.model", MISSING), "body.model", "name the model"),
        (line("body.model", ""), "body.model", "name the model"),
    ],
    ids=["unknown url", "whole url", "no model", "empty model"],
)
def test_bad_first_line(cli: Cli, emulator: Emulator, bad: bytes, field: str, words: str) -> None:
    """What only the provider's rules forbid is refused here too."""
    text = refused(cli, emulator, bad)
    assert text.startswith(f"bad.jsonl: line 1, field {field}: ")
    assert words in text


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf\r\n \n\n"], ids=repr)
def test_nothing_in_it(cli: Cli, emulator: Emulator, content: bytes) -> None:
    """A file without requests is said to be empty."""
    assert refused(cli, emulator, content) == "bad.jsonl is empty; write one request a line"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.jsonl", "nowhere.jsonl does not exist; name a JSONL file of requests"),
        (".", ". is a directory; name a JSONL file"),
    ],
)
def test_no_file(cli: Cli, emulator: Emulator, name: str, words: str) -> None:
    """A path without a file behind it is named."""
    assert sentence(cli("run", name)) == words
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0


def test_too_many_lines(cli: Cli, emulator: Emulator) -> None:
    """The 50,001st request is one too many."""
    text = refused(cli, emulator, b"".join(request(f"{n}") + b"\n" for n in range(50_001)))
    assert text == (
        "bad.jsonl: line 50001: is past the limit of 50,000 requests in one batch; split the input"
    )


def test_too_many_bytes(cli: Cli, emulator: Emulator) -> None:
    """The line that passes 209,715,200 bytes is one too many."""
    filling = "x" * (LIMIT // 40)
    lines = [request(f"{number}", input=filling) + b"\n" for number in range(40)]
    text = refused(cli, emulator, b"".join(lines))
    (cli.home / "bad.jsonl").unlink()  # 200 MB need not outlive the test
    assert text == (
        "bad.jsonl: line 40: is past the limit of 209,715,200 bytes in one batch; split the input"
    )


def test_endless_line(cli: Cli, emulator: Emulator) -> None:
    """A huge file without a newline is refused before it fills the memory."""
    megabyte = 1 << 20
    with (cli.home / "bad.jsonl").open("wb") as file:
        file.truncate(1024 * megabyte)
    process = cli.start("run", "bad.jsonl")
    resource.prlimit(process.pid, resource.RLIMIT_AS, (500 * megabyte, 500 * megabyte))
    text = sentence(finish(process))
    assert text.startswith("bad.jsonl")
    assert "write one request a line" in text
    assert emulator.received() == {}


@pytest.mark.parametrize(
    "shape",
    [
        lambda lines: b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n\r\n \n\n",
        b"\n".join,
    ],
    ids=["BOM, CRLF, blank lines at the end", "no newline at the end"],
)
def test_accepted(cli: Cli, shape: Callable[[list[bytes]], bytes]) -> None:
    """What editors do to a file changes nothing: a result for each request."""
    whole = cli.write(4)
    ids = custom_ids(whole.read_bytes())
    whole.write_bytes(shape(whole.read_bytes().splitlines()))
    result = cli("run", whole)
    assert result.status == 0, result
    assert custom_ids(result.stdout) == ids


def test_what_is_allowed(cli: Cli) -> None:
    """Unusual but right: any text as custom_id, `stream` false, fields that nobody knows."""
    ids = ["ü", "\u2028", "a" * 512, '"quoted"', "\x1b[31m"]
    path: Path = cli.home / "in.jsonl"
    lines = [request(custom_id + cli.home.name, stream=False, user="me") for custom_id in ids]
    path.write_bytes(b"\n".join(lines))
    result = cli("run", path)
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
