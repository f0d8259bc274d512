"""What the provider refuses, and what cannot be reached: its words, an exit status, a way on."""

import json
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.cli.conftest import KEY, Cli, Emulator, custom_ids, finish, sentence

from batchtrail.adapters.cli.exits import exiting_on_errors
from batchtrail.application.errors import (
    DatabaseRefusedError,
    HandlerError,
    InputError,
    NotFoundError,
    RefusedError,
    StoreError,
)

Hostile = Callable[[int, dict[str, Any]], str]
NOBODY = "http://127.0.0.1:9/v1"
ESCAPES = "\x1b[31mred\x1b]0;title\x07 \u009b2J\r\n\u202ehidden"


def test_wrong_key(cli: Cli, emulator: Emulator) -> None:
    """The provider's words and request id are shown, the key is not; the right key resumes."""
    path = cli.write()
    key = "sk-invalid-x"
    result = cli("run", path, "-o", "out.jsonl", OPENAI_API_KEY=key)
    assert result.status == 2
    last = result.err.splitlines()[-1]
    assert "Incorrect API key provided: " in last
    assert "You can find your API key at https://platform.openai.com/account/api-keys." in last
    assert "code invalid_api_key, HTTP 401" in last
    assert re.search(r"request id req_[0-9a-f]{32}", last)
    assert key not in result.err
    assert not (cli.home / "out.jsonl").exists()
    assert cli("run", path, "-o", "out.jsonl").status == 0
    assert len(cli.batches()) == 1
    assert emulator.applied("create") == 1


def test_key_that_a_server_repeats(cli: Cli, hostile: Hostile) -> None:
    """A server that quotes the whole key does not bring it onto the screen."""
    url = hostile(401, {"message": f"Bad key {KEY}", "code": f"bad_{KEY}"})
    result = cli("run", cli.write(), OPENAI_BASE_URL=url)
    assert result.status == 2
    assert "Bad key [key] (code bad_[key], HTTP 401, request id req_hostile)" in result.err
    assert KEY not in result.err


def test_refused_file(cli: Cli, hostile: Hostile) -> None:
    """A refused upload ends the batch with the provider's words, and is not tried again."""
    path = cli.write(2)
    url = hostile(400, {"message": "No space for your file.", "code": "quota", "param": "file"})
    for _ in range(2):
        result = cli("run", path, "-o", "out.jsonl", OPENAI_BASE_URL=url)
        assert result.status == 2
        assert "batchtrail: quota, field file: No space for your file.\n" in result.err
        lines = [json.loads(line) for line in (cli.home / "out.jsonl").read_text().splitlines()]
        assert [line["response"] for line in lines] == [None, None]
        assert all(line["error"]["code"] for line in lines)
    (batch,) = cli.batches()
    assert batch["status"] == "failed"
    assert "req_hostile" in cli("history", batch["id"]).out


def test_base_url_without_path(cli: Cli, emulator: Emulator) -> None:
    """The usual slip shows the provider's words, and the right URL then makes the batch."""
    path = cli.write()
    result = cli("run", path, OPENAI_BASE_URL=emulator.base_url.removesuffix("/v1"))
    assert result.status == 2
    assert "Invalid URL (POST /files)" in result.err
    assert "mend the input, or the base URL (OPENAI_BASE_URL), and run it again" in result.err
    assert cli("run", path).status == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {2: {"model": "llama-9"}, 1: {"model": "llama-9"}},
            "model_not_found, line 1, field body.model: The provided model 'llama-9' is not supp",
        ),
        ({2: {"input": None}}, "invalid_request, line 2, field body.input: Input parameter is"),
    ],
    ids=["unknown model", "no input"],
)
def test_validation(cli: Cli, emulator: Emulator, change: dict[int, Any], words: str) -> None:
    """A batch that fails as a whole: code, line and message as sent, and a line per request."""
    path = cli.write(2, change=change)
    for _ in range(2):
        result = cli("run", path, "-o", "out.jsonl")
        assert result.status == 2
        assert f"batchtrail: {words}" in result.err
        assert result.stdout == b""
        out = (cli.home / "out.jsonl").read_bytes()
        assert custom_ids(out) == custom_ids(path.read_bytes())
        lines = [json.loads(line) for line in out.splitlines()]
        assert [line["response"] for line in lines] == [None, None]
        assert all(line["error"]["code"] and line["error"]["message"] for line in lines)
    assert emulator.applied("create") == 1
    (batch,) = cli.batches()
    assert f"{batch['errors'][0]['code']}, line" in words.replace(": ", "")
    assert cli("submit", path).status == 2


def test_many_errors(cli: Cli) -> None:
    """Of many errors the first ten are shown, and where the others are."""
    path = cli.write(30, change={number: {"input": None} for number in range(1, 31)})
    result = cli("run", path)
    assert result.status == 2
    assert result.err.count("Input parameter is required.") == 10
    (batch,) = cli.batches()
    assert re.search(rf"more errors: 20; `.*{batch['id']}.*` shows", result.err)
    events = cli("history", batch["id"], "--json").out
    assert events.count("Input parameter is required.") == 30


def test_partly_failed(cli: Cli) -> None:
    """Failed requests among others: exit status 3, each with the provider's own line."""
    wish = {"metadata": {"please": "emulator:400:context_length_exceeded"}}
    path = cli.write(4, change={2: wish, 4: wish})
    result = cli("run", path)
    assert result.status == 3
    assert "ended: 2 succeeded, 2 failed" in result.err
    codes = [json.loads(line)["response"]["status_code"] for line in result.out.splitlines()]
    assert codes == [200, 400, 200, 400]
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert cli("run", path).status == 3
    assert cli("results", cli.batches()[0]["id"]).status == 3


def test_expired(cli: Cli, emulator: Emulator) -> None:
    """The finished rows of an expired batch are kept; the others have the provider's line."""
    emulator.arm({"op": "create", "kind": "expire", "fraction": 0.5})
    path = cli.write(4)
    result = cli("run", path)
    assert result.status == 3
    assert "expired: 2 succeeded, 2 expired" in result.err
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert [line["response"] is not None for line in lines] == [True, True, False, False]
    assert {line["error"]["code"] for line in lines[2:]} == {"batch_expired"}


def test_missing_lines(cli: Cli, emulator: Emulator) -> None:
    """A request that the provider forgot gets a null response and an error with a code."""
    emulator.arm({"op": "create", "kind": "drop_lines", "count": 2})
    path = cli.write(4)
    result = cli("run", path)
    assert result.status == 3
    assert "2 succeeded, 2 missing" in result.err
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    lost = [each for each in map(json.loads, result.out.splitlines()) if each["response"] is None]
    assert len(lost) == 2
    assert all(each["error"]["code"] for each in lost)


def test_unreachable(cli: Cli) -> None:
    """Nobody listens: the first attempts end within seconds, and the wait for more is told."""
    begin = time.monotonic()
    process = cli.start("run", cli.write(), OPENAI_BASE_URL=NOBODY)
    assert process.stderr is not None
    first = process.stderr.readline().decode()
    assert time.monotonic() - begin < 30
    assert first.startswith("batchtrail: cannot connect to 127.0.0.1:9 ")
    assert first.endswith("; again in 1.0 s\n")
    process.send_signal(signal.SIGINT)
    assert finish(process).status == 130


@pytest.mark.parametrize("command", ["run", "submit"])
def test_advice_after_an_outage(cli: Cli, hostile: Hostile, command: str) -> None:
    """The same command goes on, but for --new: with it, it would make another batch."""
    url = hostile(429, {"message": "No credit.", "code": "insufficient_quota"})
    path = cli.write()
    result = cli(command, path, OPENAI_BASE_URL=url)
    (first,) = cli.batches()
    assert result.status == 1
    assert result.err.endswith(f"; the same command goes on; {recorded(first)}\n")
    result = cli(command, path, "--new", OPENAI_BASE_URL=url)
    second = next(each for each in cli.batches() if each != first)
    assert result.status == 1
    assert result.err.endswith(f"; the same command, without --new, goes on; {recorded(second)}\n")
    cli(command, path, OPENAI_BASE_URL=url)
    assert len(cli.batches()) == 2


def recorded(batch: dict[str, Any]) -> str:
    """What is said of a batch that a command has begun and not submitted."""
    name = batch["id"]
    return (
        f"batch {name} is recorded: a worker goes on with it as well, and `cancel {name}` ends it"
    )


def test_advice_after_a_wrong_key(cli: Cli) -> None:
    """The batch is there and waits for the right key; --new would make another one."""
    result = cli("run", cli.write(), "--new", OPENAI_API_KEY="sk-invalid-x")
    (batch,) = cli.batches()
    advice = "; check OPENAI_API_KEY; the same command, without --new, goes on; "
    assert result.err.endswith(f"{advice}{recorded(batch)}\n")


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (StoreError("it is busy"), "it is busy; leave --new out once `status` lists the new batch"),
        (HandlerError("it raised"), "it raised; the same command, without --new, goes on"),
        (InputError("in.jsonl is empty"), "in.jsonl is empty"),
        (DatabaseRefusedError("it is too new"), "it is too new"),
        (RefusedError("No such endpoint."), "No such endpoint."),
    ],
)
def test_advice_after_new(
    capsys: pytest.CaptureFixture[str], error: Exception, advice: str
) -> None:
    """Whatever fails when a batch may have been made: a repeat makes no other one."""
    with pytest.raises(SystemExit), exiting_on_errors(new=True):
        raise error
    assert capsys.readouterr().err == f"batchtrail: {advice}\n"


def test_other_server(cli: Cli) -> None:
    """A command on a batch of another server says which one it wants, and calls nobody."""
    assert cli("submit", cli.write()).status == 0
    text = sentence(cli("cancel", cli.batches()[0]["id"], OPENAI_BASE_URL=NOBODY))
    assert text.endswith("set the base URL that the batch was submitted to")
    assert cli.base_url in text


def test_server_that_went_away(cli: Cli, emulator: Emulator) -> None:
    """A poll without an answer ends within seconds with exit status 1; later it goes on."""
    assert cli("submit", cli.write()).status == 0
    (batch,) = cli.batches()
    emulator.arm({"op": "retrieve", "kind": "reset_before", "times": None})
    begin = time.monotonic()
    text = sentence(cli("status", "--refresh", batch["id"]), 1)
    assert time.monotonic() - begin < 30
    assert "connection" in text
    emulator.begin()
    assert "completed" in cli("status", "--refresh", batch["id"]).out


def test_trouble_on_the_way(cli: Cli, emulator: Emulator) -> None:
    """Rate limits, gateways and resets are waited out, and make no second batch."""
    emulator.arm(
        {"op": "upload", "kind": "rate_limit", "retry_after": 0.1},
        {"op": "create", "kind": "rate_limit", "retry_after": 0.1},
        {"op": "retrieve", "kind": "bad_gateway"},
        {"op": "download", "kind": "reset_before"},
    )
    path = cli.write()
    result = cli("run", path)
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert emulator.applied("create") == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"op": "download", "kind": "break_after", "bytes": 5_000},
        {"op": "download", "kind": "short_after", "bytes": 5_000},
        {"op": "download", "kind": "short_after", "bytes": 0},
        {"op": "create", "kind": "duplicate_line", "count": 2},
        {"op": "create", "kind": "garbage_line"},
        {"op": "create", "kind": "unknown_custom_id"},
        {"op": "retrieve", "kind": "empty_file_ids", "times": 2},
        {"op": "retrieve", "kind": "capitalised_status", "times": None},
    ],
    ids=lambda fault: f"{fault['kind']} {fault.get('bytes', '')}".strip(),
)
def test_odd_results(cli: Cli, emulator: Emulator, fault: dict[str, Any]) -> None:
    """Downloads that break off or end short, and lines that fit nowhere, cost no result."""
    emulator.arm(fault)
    path = cli.write(6)
    result = cli("run", path, "-o", "out.jsonl")
    assert result.status == 0, result
    out = (cli.home / "out.jsonl").read_bytes()
    assert custom_ids(out) == custom_ids(path.read_bytes())
    assert b'"response": null' not in out


@pytest.mark.parametrize("command", ["run", "submit"])
def test_escapes_in_a_refusal(cli: Cli, hostile: Hostile, command: str) -> None:
    """What a provider writes cannot drive the terminal, today or from the log."""
    url = hostile(400, {"message": ESCAPES, "code": ESCAPES, "param": ESCAPES})
    result = cli(command, cli.write(1), OPENAI_BASE_URL=url)
    assert result.status == 2
    batch = str(cli.batches()[0]["id"])
    looks = (["status", batch], ["history", batch], ["status", batch, "--json"])
    said = [result.err, *(cli(*words).out for words in looks)]
    for text in said:
        assert "red" in text
        assert [line for line in text.splitlines() if not line.isprintable()] == []


def test_escapes_in_the_input(cli: Cli) -> None:
    """Neither do our own words: model, note and labels."""
    path = cli.write(2, change={number: {"model": ESCAPES} for number in (1, 2)})
    result = cli("run", path, "-o", "out.jsonl", "--why", ESCAPES, "--metadata", f"k{ESCAPES}=v")
    assert result.status == 2
    batch = str(cli.batches()[0]["id"])
    commands = (["status"], ["status", batch], ["history", batch, "--all"], ["cancel", batch])
    results = [result, *(cli(*words) for words in commands)]
    for text in (text for each in results for text in (each.out, each.err)):
        assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_escapes_in_a_bad_line(cli: Cli) -> None:
    """Nor does a value that is refused: the sentence shows it as an escape."""
    path = cli.home / "in.jsonl"
    line = {"custom_id": "a", "method": ESCAPES, "url": "/v1/responses", "body": {"model": "m"}}
    path.write_text(json.dumps(line))
    assert "\\x1b[31mred" in sentence(cli("run", path))


def test_plain_http_to_another_machine_is_warned_of(cli: Cli) -> None:
    """Before anything is sent, and as a sentence; the loopback is no other machine."""
    assert cli("worker", "--until-idle").status == 0  # which makes the database
    said = cli("cancel", "0000", OPENAI_BASE_URL="http://gateway.invalid:9/v1").err
    assert said.startswith(
        "batchtrail: http://gateway.invalid:9/v1 is not encrypted: others can read the key"
    )
    assert "not encrypted" not in cli("cancel", "0000").err


def test_an_age_below_the_window_is_warned_of(cli: Cli) -> None:
    """A batch may take a day, and would be canceled before; at an emulator here it does not."""
    assert cli("worker", "--until-idle").status == 0  # which makes the database
    away, words = (
        "https://gateway.invalid/v1",
        "a batch that takes longer is canceled, and may take",
    )
    said = cli("cancel", "0000", OPENAI_BASE_URL=away, BATCHTRAIL_MAX_AGE="26").err
    assert f"BATCHTRAIL_MAX_AGE is 26 seconds: {words} 86400\n" in said
    assert words not in cli("cancel", "0000", OPENAI_BASE_URL=away, BATCHTRAIL_MAX_AGE="86400").err
    assert words not in cli("cancel", "0000", OPENAI_BASE_URL=away).err
    assert words not in cli("cancel", "0000", BATCHTRAIL_MAX_AGE="26").err


def test_a_batch_of_another_key(capsys: pytest.CaptureFixture[str]) -> None:
    """That the provider does not have it, no repeat mends."""
    with pytest.raises(SystemExit) as left, exiting_on_errors():
        raise NotFoundError("No batch found with id 'batch_1'.", http_status=404)
    assert left.value.code == 1
    assert capsys.readouterr().err.endswith(
        "; either it was deleted there, or OPENAI_API_KEY and OPENAI_BASE_URL are not those it was "
        "submitted with\n"
    )


def test_an_input_file_that_is_not_taken_yet(capsys: pytest.CaptureFixture[str]) -> None:
    """It may have been uploaded just now, or long ago, and be gone or another's."""
    error = NotFoundError("The input file is in 'pending' state.", http_status=400)
    error.add_note("batch 3f2a is recorded")
    with pytest.raises(SystemExit) as left, exiting_on_errors():
        raise error
    assert left.value.code == 1
    told = (
        "pending' state. (HTTP 400); the same command goes on, unless it was deleted there, or "
        "OPENAI_API_KEY and OPENAI_BASE_URL are not those it was submitted with; batch 3f2a is "
        "recorded\n"
    )
    assert capsys.readouterr().err.endswith(told)


def test_a_queue_without_room(cli: Cli, emulator: Emulator) -> None:
    """The batch waits and is created again by itself; the upload stays, and the reason is shown."""
    emulator.arm({"op": "create", "kind": "queue_full", "times": 2})
    result = cli("run", cli.write(), "-o", "out.jsonl")
    assert result.status == 0, result
    assert "Enqueued token limit reached" in result.err
    assert (emulator.applied("create"), emulator.applied("upload")) == (3, 1)
    (batch,) = cli.batches()
    assert batch["deferral"] is None
    history = cli("history", batch["id"]).out
    assert history.count("TokenLimitReached") == 2
    assert "Enqueued token limit reached" in history


def test_status_says_why_a_batch_waits(cli: Cli, emulator: Emulator) -> None:
    """Until when, and the provider's own words; whoever does not want to wait cancels."""
    emulator.arm({"op": "create", "kind": "queue_full"})
    batch = cli("submit", cli.write(), BATCHTRAIL_POLL_SCHEDULE="600").out.strip()
    while cli("status", batch, "--refresh", "--json", BATCHTRAIL_POLL_SCHEDULE="600").json[
        "raw_status"
    ]:
        pass
    shown = cli("status", batch)
    assert re.search(r"\nwaits +until \S+ \S+: token_limit_exceeded: Enqueued", shown.out), shown
    assert cli("status", batch, "--json").json["deferral"]["times"] == 1
    assert cli("cancel", batch).status == 0
    assert cli("status", batch, "--json").json["status"] == "canceled"
    assert (emulator.applied("create"), emulator.applied("delete")) == (1, 1)
