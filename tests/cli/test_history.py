"""`history`: filters, following, who did what, and one request in all its batches."""

import json
import signal
from datetime import datetime
from typing import Any

import pytest
from tests.cli.conftest import Cli, custom_ids, finish, sentence


@pytest.fixture
def batch(cli: Cli) -> str:
    """A batch that is over, whose second request failed for the server's sake."""
    path = cli.write(4, change={2: {"user": "emulator:429:rate_limit_exceeded"}})
    batch_id: str = cli("run", path, "--json", "-o", "out.jsonl").json["id"]
    return batch_id


def names(cli: Cli, batch: str, *options: str) -> list[str]:
    """Name the events that are shown."""
    return [event["event"] for event in cli("history", batch, "--json", *options).jsonl]


def test_filters_by_event(cli: Cli, batch: str) -> None:
    """Some kinds alone, or all but some, by name in either case; results by name are not summed."""
    every = names(cli, batch)
    assert names(cli, batch, "--event", "submitted", "--event", "Drafted, GivenUp,") == [
        "Drafted",
        "Submitted",
    ]
    assert names(cli, batch, "--event", "ResultApplied") == ["ResultApplied"] * 4
    rest = names(cli, batch, "--without", "ResultApplied,Drafted")
    assert rest == [name for name in every if name not in {"ResultApplied", "Drafted"}]
    assert len(cli("history", batch, "--event", "ResultApplied").out.splitlines()) == 4
    summed = cli("history", batch, "--event", "ResultApplied,Submitted").out.splitlines()
    assert [" results: 4; " in line for line in summed] == [False, True]
    assert "ResultApplied" not in cli("history", batch, "--without", "resultapplied").out


@pytest.mark.parametrize("option", ["--event", "--without"])
@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("Nothing", "'Nothing' is no event"),
        ("Drafted,Nothing,", "'Nothing' is no event"),
        ("", "names no event"),
        (",", "names no event"),
    ],
)
def test_unknown_events(cli: Cli, batch: str, option: str, word: str, problem: str) -> None:
    """A word that is no event is refused, and the events are listed."""
    text = sentence(cli("history", batch, option, word))
    assert text.startswith(f"{option} {problem}; write some of Drafted, RequestsAdded, ")


def test_filters_by_time(cli: Cli, batch: str) -> None:
    """What was recorded since one moment and until another, both included."""
    events = cli("history", batch, "--json").jsonl
    middle = events[5]["at"]
    times = [datetime.fromisoformat(event["at"]) for event in events]
    since = [at >= times[5] for at in times].count(True)
    until = [at <= times[5] for at in times].count(True)
    assert 0 < since < len(events)
    assert len(names(cli, batch, "--since", middle)) == since
    assert len(names(cli, batch, "--until", middle)) == until
    both = names(cli, batch, "--since", middle, "--until", middle)
    assert len(both) == since + until - len(events)
    assert names(cli, batch, "--since", "1h") == [event["event"] for event in events]
    assert names(cli, batch, "--until", "1h") == []
    assert sentence(cli("history", batch, "--since", "x")).startswith("--since 'x' is no moment")


def test_printed_times_can_be_typed(cli: Cli, batch: str) -> None:
    """With a time as it was printed, the event of that line is in."""
    line = cli("history", batch, "--event", "Submitted").out
    moment = " ".join(line.split()[1:3])
    assert names(cli, batch, "--since", moment, "--until", moment)[-1] == "Submitted"


def test_who_and_why(cli: Cli) -> None:
    """Each line says who; what one command led to bears one mark, and programs see the ids."""
    path = cli.write()
    batch = cli("submit", path).out.strip()
    assert cli("worker", "--until-idle").status == 0
    events = cli("history", batch, "--json").jsonl
    submitted = [event for event in events if event["actor"].startswith("cli:")]
    worked = events[len(submitted) :]
    assert (submitted[-1]["event"], worked[-1]["event"]) == ("Submitted", "ResultsCollected")
    assert all(event["actor"].startswith("worker:") for event in worked)
    assert len({event["correlation_id"] for event in submitted}) == 1
    assert {event["correlation_id"] for event in worked}.isdisjoint(
        event["correlation_id"] for event in submitted
    )
    assert {event["software"].split()[0] for event in events} == {"batchtrail"}
    applied = [event for event in events if event["event"] == "ResultApplied"]
    assert len({event["causation_id"] for event in applied}) == 1
    assert {event["batch_id"] for event in events} == {batch}
    lines = cli("history", batch, "--all").out.splitlines()
    for line, event in zip(lines, events, strict=True):
        assert line.endswith(f" by {event['actor']} #{event['correlation_id'][:8]}")


def test_one_command_is_one_mark(cli: Cli, batch: str) -> None:
    """A `run` from the draft to the last result has one correlation id; a retry has another."""
    (run,) = {event["correlation_id"] for event in cli("history", batch, "--json").jsonl}
    retry = cli("retry", batch).out.strip()
    (child,) = {event["correlation_id"] for event in cli("history", retry, "--json").jsonl}
    (retried,) = cli("history", batch, "--event", "Retried", "--json").jsonl
    assert retried["correlation_id"] == child != run


def second_id(cli: Cli) -> str:
    """Read the custom_id of the request that failed."""
    return custom_ids((cli.home / "in.jsonl").read_bytes())[1]


def test_one_request_across_its_batches(cli: Cli, batch: str) -> None:
    """From whichever batch one looks, all lives of the request are there, oldest first."""
    custom_id = second_id(cli)
    first = cli("retry", batch).out.strip()
    assert cli("worker", "--until-idle").status == 0
    second = cli("retry", first).out.strip()
    others = cli("retry", batch, "--only", "succeeded").out.strip()
    told = [cli("history", each, custom_id, "--json").jsonl for each in (batch, first, second)]
    assert told[0] == told[1] == told[2]
    lives: list[Any] = told[0]
    assert [life["batch_id"] for life in lives] == [batch, first, second]
    assert [life["retry_of"] for life in lives] == [None, batch, first]
    assert [life["outcome"] for life in lives] == ["failed", "failed", "pending"]
    assert len({life["request"] for life in lives}) == 1
    facts = [[event["event"] for event in life["events"]] for life in lives]
    assert facts == [
        ["Drafted", "RequestsAdded", "Submitted", "StatusChanged", "ResultApplied", "Retried"],
        ["Drafted", "RequestsAdded", "Submitted", "StatusChanged", "ResultApplied", "Retried"],
        ["Drafted", "RequestsAdded", "Submitted"],
    ]
    assert lives[0]["events"][-1]["retry_id"] == first
    assert {event["custom_id"] for life in lives[:2] for event in life["events"][4:5]} == {
        custom_id
    }
    assert others not in json.dumps(lives)
    results = [life["result"] for life in lives]
    assert results[2] is None
    assert results[0] in (cli.home / "out.jsonl").read_text()


def test_one_request_for_people(cli: Cli, batch: str) -> None:
    """A block for each batch: what was asked, the outcome, and the events; filters hold."""
    custom_id = second_id(cli)
    retry = cli("retry", batch).out.strip()
    shown = cli("history", batch, custom_id)
    parent, child = shown.out.split("\n\n")
    assert f"request    {custom_id}, number 2 of 4\n" in parent
    assert "outcome    failed (HTTP 429)\n" in parent
    assert f" Retried           batch {retry}; requests: 1; by cli:" in parent
    assert f"retry of   {batch}\n" in child
    assert "outcome    pending\n" in child
    succeeded = cli("history", batch, custom_ids((cli.home / "in.jsonl").read_bytes())[0]).out
    assert "\ntokens     " in succeeded
    assert "\ncost       $0.0000" in succeeded
    few = cli("history", batch, custom_id, "--event", "ResultApplied", "--json").jsonl
    assert [[event["event"] for event in life["events"]] for life in few] == [["ResultApplied"], []]


def test_a_request_that_is_not_there(cli: Cli, batch: str) -> None:
    """Refused in one sentence, also when a batch of the same family has it."""
    text = sentence(cli("history", batch, "nobody"))
    assert text == f"batch {batch} has no request with the custom_id 'nobody'"
    retry = cli("retry", batch).out.strip()
    first = json.loads((cli.home / "in.jsonl").read_bytes().splitlines()[0])["custom_id"]
    assert "has no request" in sentence(cli("history", retry, first))


@pytest.mark.parametrize(
    ("options", "words"),
    [(["a", "--follow"], "leave the request out"), (["--follow", "--until", "1h"], "--until")],
)
def test_what_cannot_be_followed(cli: Cli, batch: str, options: list[str], words: str) -> None:
    """Options that do not go together are refused."""
    assert words in sentence(cli("history", batch, *options))


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_follow(cli: Cli, store: str, request: pytest.FixtureRequest) -> None:
    """New events of another process come as they are recorded; Ctrl-C is the end."""
    if store == "postgresql":
        cli.environment = {"BATCHTRAIL_DB": request.getfixturevalue("postgres_url")}
    batch = cli("submit", cli.write()).out.strip()
    process = cli.start("history", batch, "--follow", "--json")
    assert process.stdout is not None
    seen: list[Any] = []

    def read_until(name: str) -> None:
        assert process.stdout is not None
        while not seen or seen[-1]["event"] != name:
            seen.append(json.loads(process.stdout.readline()))

    read_until("Submitted")
    assert cli("worker", "--until-idle").status == 0
    read_until("ResultsCollected")
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert (result.status, result.stdout, result.stderr) == (130, b"", b"")
    assert seen == cli("history", batch, "--json").jsonl


def test_follow_sums_results(cli: Cli) -> None:
    """People who follow see how many results came since the last look."""
    batch = cli("submit", cli.write()).out.strip()
    process = cli.start("history", batch, "-f", "--event", "ResultApplied,Submitted")
    assert process.stdout is not None
    assert b" Submitted " in process.stdout.readline()
    assert cli("worker", "--until-idle").status == 0
    applied = 0
    while applied < 3:
        applied += int(process.stdout.readline().split(b" results: ")[1].split(b";")[0])
    assert applied == 3
    process.send_signal(signal.SIGINT)
    assert finish(process).status == 130
