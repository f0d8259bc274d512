"""Typing `retry` and `collect`: what is sent, what is refused, and how it ends."""

import json
import re
from typing import Any
from urllib.request import Request, urlopen

import pytest
from tests.cli.conftest import Cli, Emulator, custom_ids, sentence


def status(cli: Cli, batch: str) -> Any:
    return cli("status", batch, "--json").json


def test_retry(cli: Cli, emulator: Emulator) -> None:
    """Typed twice it is one batch of what failed for the server's sake, linked both ways."""
    path = cli.write(
        4,
        change={
            2: {"user": "emulator:429:rate_limit_exceeded"},
            3: {"user": "emulator:400:invalid_prompt"},
        },
    )
    done = cli("run", path, "-o", "out.jsonl")
    (parent,) = [each["id"] for each in cli.batches()]
    assert done.status == 3
    assert done.err.endswith(
        f"`results {parent} --only failed` tells why; "
        f"`retry {parent}` submits once more what failed for the server's sake\n"
    )
    first, again = cli("retry", parent[:12]), cli("retry", parent)
    retry = first.out.strip()
    assert (first.status, again.status, again.out.strip()) == (0, 0, retry)
    assert first.err.endswith(f"batchtrail: asked once more of batch {parent}; requests: 1\n")
    assert re.fullmatch(
        rf"batchtrail: this retry of batch {parent} was submitted before, at \S+ \S+Z; "
        r"nothing was sent\n",
        again.err,
    )
    assert emulator.applied("create") == 2
    other = cli("retry", parent, "--new")
    assert (other.status, other.out.strip() == retry) == (0, False)
    assert emulator.applied("create") == 3
    told = sentence(cli("retry", retry))
    assert f"not collected yet; `results {retry}` collects them when it is over" in told
    assert cli("worker", "--until-idle").status == 0
    results = cli("results", retry)
    assert (results.status, custom_ids(results.stdout)) == (3, custom_ids(path.read_bytes())[1:2])
    assert f"retried    {retry}" in cli("status", parent).out
    assert f"retry of   {parent}" in cli("status", retry).out
    assert f"batch {retry}; requests: 1;" in cli("history", parent).out
    assert f"retry of batch {parent}" in cli("history", retry).out


def test_max_cost(cli: Cli, emulator: Emulator) -> None:
    """The one guard of those that pay: of what may cost more, nothing is sent."""
    cli("run", cli.write())
    (batch,) = cli.batches()
    retry = ("retry", batch["id"], "--only", "succeeded", "--max-cost")
    assert "cannot be promised to cost at most $0.01" in sentence(cli(*retry, "0.01"))
    assert "is no amount" in sentence(cli(*retry, "much"))
    assert emulator.applied("create") == len(cli.batches()) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "nothing to retry"),
        (["--only", "failed"], "no request is failed (3 succeeded)"),
        (["--only", "pending"], "'pending' is no outcome"),
        (["--only", ","], "names no outcome"),
    ],
)
def test_nothing_to_retry(cli: Cli, emulator: Emulator, options: list[str], problem: str) -> None:
    """Refused in one sentence, without a call."""
    cli("run", cli.write(), "-o", "out.jsonl")
    before = emulator.received()
    assert problem in sentence(cli("retry", cli.batches()[0]["id"], *options))
    assert emulator.received() == before


def test_collect(cli: Cli, emulator: Emulator) -> None:
    """A result file that was deleted: settled as it is, by command; nothing more can be had."""
    batch = cli("submit", cli.write()).out.strip()
    _delete(emulator, _completed(cli, emulator, batch)["output_file_id"])
    result = cli("collect", batch, "--as-is", "--json")
    assert (result.status, result.json["outcomes"]["missing"]) == (3, 3)
    assert "3 missing" in result.err
    results = cli("results", batch)
    errors = [json.loads(line)["error"]["code"] for line in results.stdout.splitlines()]
    assert errors == ["result_file_lost"] * 3
    assert cli("collect", batch, "--as-is").status == 3


@pytest.mark.parametrize(
    ("change", "status"), [({}, 0), ({1: {"user": "emulator:400:too_long"}}, 3)]
)
def test_collected_by_a_worker_before(cli: Cli, change: dict[int, Any], status: int) -> None:
    """A script that collects once more goes on: nothing is wrong with what is there."""
    batch = cli("submit", cli.write(2, change=change)).out.strip()
    assert cli("worker", "--until-idle").status == 0
    again = cli("collect", batch, "--json")
    assert (again.status, again.json["results_collected"]) == (status, True)
    told = f"nothing more to collect of batch {batch}: every request has its result line"
    assert again.err.startswith(f"batchtrail: there is {told}\nbatchtrail: batch {batch} ended: ")


def _completed(cli: Cli, emulator: Emulator, batch: str) -> Any:
    """The provider's batch at its end, of which we do not know yet."""
    provider_batch_id = status(cli, batch)["provider_batch_id"]
    seen: dict[str, Any] = {"status": None}
    while seen["status"] != "completed":
        seen = json.loads(emulator.get(f"batches/{provider_batch_id}"))
    return seen


@pytest.mark.parametrize(("failed", "exit_status"), [(1, 3), (0, 0)])
def test_failed_with_results(cli: Cli, emulator: Emulator, failed: int, exit_status: int) -> None:
    """It has run all the same: to submit the input once more would pay for all of it again."""
    change = {2: {"user": "emulator:429:rate_limit_exceeded"}} if failed else {}
    path = cli.write(3, change=change)
    batch = cli("submit", path).out.strip()
    _completed(cli, emulator, batch)
    emulator.arm({"op": "retrieve", "kind": "unknown_status", "word": "failed", "times": None})
    done = cli("run", path, "-o", "out.jsonl")
    assert f"batch {batch} failed: {3 - failed} succeeded" in done.err
    assert "mend the input" not in done.err
    assert ("`retry " in done.err) == bool(failed)
    assert (done.status, cli("submit", path).status) == (exit_status, exit_status)


def test_failed_with_results_to_collect(cli: Cli, emulator: Emulator) -> None:
    """Before it is known what succeeded, what the provider counts as completed says that it ran."""
    path = cli.write()
    batch = cli("submit", path).out.strip()
    _completed(cli, emulator, batch)
    emulator.arm({"op": "retrieve", "kind": "unknown_status", "word": "failed", "times": None})
    cli("status", "--refresh", batch)
    assert status(cli, batch)["outcomes"]["pending"] == 3
    again = cli("submit", path)
    assert "mend the input" not in again.err
    assert again.status == 3


def _delete(emulator: Emulator, file_id: str) -> None:
    call = Request(  # noqa: S310 (our own loopback server)
        f"{emulator.base_url}/files/{file_id}",
        method="DELETE",
        headers={"Authorization": "Bearer x"},
    )
    with urlopen(call, timeout=60):  # noqa: S310
        pass


def test_given_up(cli: Cli, emulator: Emulator) -> None:
    """No bad input: the exit status is that of requests without success, and `retry` the remedy."""
    emulator.arm(
        {"op": "create", "kind": "slow_finalizing", "seconds": 900},
        {"op": "cancel", "kind": "stuck_cancelling"},
    )
    path = cli.write()
    result = cli("run", path, "-o", "out.jsonl", BATCHTRAIL_MAX_AGE="0.5")
    (batch,) = cli.batches()
    assert (batch["status"], batch["given_up"]) == ("failed", True)
    assert (result.status, batch["outcomes"]["failed"]) == (3, 3)
    assert "given_up: The batch was not over" in result.err
    assert "`retry " in result.err.splitlines()[-1]
    assert "mend the input" not in result.err
    assert cli("submit", path).status == 3
