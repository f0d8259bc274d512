"""Fifty batches at different points of life, through stops and an outage, to every end there is."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import frozen
from tests.cli.conftest import KEY, Cli, emulating, finish
from tests.laboratory.forks import Fork, Forks

from batchtrail import open_trail
from batchtrail.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Emulator

REQUESTS = 4
TIMES = ("--validating", "0.5", "--in-progress", "0.3")
HANDLER = """
class Noted:
    def on_batch_completion(self, batch, completions):
        with open("calls.log", "a+") as file:
            file.seek(0)
            called = file.read().count(f"{batch.id} called")
            print(batch.id, "called", file=file)
        if called < 1:
            raise RuntimeError("not yet")

    async def on_batch_success(self, batch, completions):
        self.note(batch, "success", [each.outcome async for each in completions])

    def on_batch_failure(self, batch, completions):
        self.note(batch, "failure", [each.outcome for each in completions])

    def note(self, batch, word, outcomes):
        with open("calls.log", "a") as file:
            print(batch.id, word, *outcomes, file=file)
"""


@frozen
class Kind:
    """So many batches that come to one end, and what is then expected of each."""

    count: int
    status: str
    outcomes: dict[str, int]
    fault: dict[str, Any] | None = None
    model: str = "gpt-5-nano"
    cancel_when: str | None = None
    given_up: bool = False
    skipped: int = 0


KINDS = {
    "done": Kind(14, "ended", {"succeeded": 4}),
    "expired": Kind(
        8,
        "expired",
        {"succeeded": 2, "expired": 2},
        {"op": "create", "kind": "expire", "fraction": 0.5},
    ),
    "failed": Kind(5, "failed", {"failed": 4}, model="nobody-knows-it"),
    "canceled": Kind(3, "canceled", {"canceled": 4}, cancel_when="validating"),
    "canceled late": Kind(
        2,
        "canceled",
        {"succeeded": 4},
        {"op": "create", "kind": "slow_finalizing", "seconds": 900},
        cancel_when="finalizing",
    ),
    "given up": Kind(
        4,
        "failed",
        {"succeeded": 4},
        {"op": "create", "kind": "slow_finalizing", "seconds": 900},
        given_up=True,
    ),
    "all failed": Kind(3, "ended", {"failed": 4}, {"op": "create", "kind": "all_failed"}),
    "short": Kind(
        3, "ended", {"succeeded": 3, "missing": 1}, {"op": "create", "kind": "drop_lines"}
    ),
    "garbage": Kind(
        3, "ended", {"succeeded": 4}, {"op": "create", "kind": "garbage_line"}, skipped=1
    ),
    "repeated": Kind(
        3, "ended", {"succeeded": 4}, {"op": "create", "kind": "duplicate_line"}, skipped=1
    ),
    "unknown": Kind(
        2, "ended", {"succeeded": 4}, {"op": "create", "kind": "unknown_custom_id"}, skipped=1
    ),
}
assert sum(kind.count for kind in KINDS.values()) == 50


async def begin(cli: Cli, emulator: Emulator, name: str) -> None:
    """Submit the batches of one kind, as a user's program would."""
    kind = KINDS[name]
    if kind.fault is not None:
        emulator.arm({**kind.fault, "times": kind.count})
    settings = Settings(
        database=f"sqlite:////{cli.home}/batchtrail.db", api_key=KEY, base_url=emulator.base_url
    )
    async with open_trail(settings=settings) as trail:
        for number in range(kind.count):
            body = {"model": kind.model, "input": f"{name} {number}"}
            batch = await trail.submit(
                [
                    {"custom_id": f"{each}", "method": "POST", "url": "/v1/responses", "body": body}
                    for each in range(REQUESTS)
                ],
                metadata={"kind": name},
                completion_handler="shop:Noted" if number == 0 else None,
            )
            if kind.cancel_when is not None:
                while (await trail.refresh(batch)).raw_status != kind.cancel_when:
                    pass
                await trail.cancel(batch)


async def test_fifty_batches(tmp_path: Path, warm: Forks) -> None:
    """One worker is stopped, another killed, the emulator restarted: all end as they should."""
    data = ("--data-dir", str(tmp_path / "emulator"))
    cli = Cli(
        tmp_path,
        "",
        warm,
        {
            "BATCHTRAIL_POLL_SCHEDULE": "0.3",
            "BATCHTRAIL_MAX_AGE": "5",
            "BATCHTRAIL_LEASE": "8",
            "BATCHTRAIL_HANDLERS": "shop",
        },
    )
    (tmp_path / "shop.py").write_text(HANDLER)
    kinds = list(KINDS)
    with emulating(*TIMES, *data, warm=warm) as emulator:
        cli.base_url = emulator.base_url
        for name in kinds[:5]:
            await begin(cli, emulator, name)
        process = cli.start("worker")
        wait_for(process, b"the worker starts")
        for name in kinds[5:]:
            await begin(cli, emulator, name)
        process.send_signal(signal.SIGTERM)
        assert finish(process).status == 0
        process = cli.start("worker", "--log-json")
    wait_for(process, b"repeated in")
    process.kill()
    finish(process)

    port = emulator.base_url.removesuffix("/v1").rpartition(":")[2]
    with emulating(*TIMES, *data, "--port", port, warm=warm) as emulator:
        emulator.arm(
            {"op": "list", "kind": "unavailable"},
            {"op": "download", "kind": "bad_gateway", "times": 3},
            {"op": "list", "kind": "unknown_status", "word": "pond\x1bering", "skip": 1},
        )
        result = cli("worker", "--until-idle", "--log-json")
        assert result.status == 0
        assert [json.loads(line) for line in result.err.splitlines()]
        assert emulator.control("GET", "calls")["create"]["received"] == 0
        check(cli)
    await check_results(cli, emulator)


def wait_for(process: Fork, words: bytes) -> None:
    """Read the log of a worker until it says something."""
    assert process.stderr is not None
    while words not in process.stderr.readline():
        assert process.poll() is None


def check(cli: Cli) -> None:
    """Check every batch's end and totals, and what its handler was told."""
    batches = cli("status", "--json", "--limit", "60").jsonl
    found = Counter(batch["metadata"]["kind"] for batch in batches)
    assert found == {name: kind.count for name, kind in KINDS.items()}
    calls = (cli.home / "calls.log").read_text().splitlines()
    for batch in batches:
        kind = KINDS[batch["metadata"]["kind"]]
        outcomes = {name: count for name, count in batch["outcomes"].items() if count}
        assert (batch["status"], outcomes) == (kind.status, kind.outcomes), batch
        assert (batch["given_up"], batch["skipped_lines"]) == (kind.given_up, kind.skipped)
        assert (batch["next_step"], batch["trouble"]) == (None, None)
        if batch["completion_handler"]:
            told = [call.split()[1:] for call in calls if call.startswith(batch["id"])]
            assert told[:-1] == [["called"]] * (len(told) - 1)
            assert len(told) > 2
            word = "success" if kind.status == "ended" else "failure"
            assert (told[-1][0], Counter(told[-1][1:])) == (word, kind.outcomes)


async def check_results(cli: Cli, emulator: Emulator) -> None:
    """Check that each batch has a line for each request, in input order, without the provider."""
    settings = Settings(
        database=f"sqlite:////{cli.home}/batchtrail.db", api_key=KEY, base_url=emulator.base_url
    )
    async with open_trail(settings=settings) as trail:
        for batch in await trail.batches():
            found = [each async for each in trail.completions(batch.id)]
            assert [each.custom_id for each in found] == [f"{each}" for each in range(REQUESTS)]
            kind = KINDS[batch.metadata["kind"]]
            assert Counter(each.outcome.value for each in found) == kind.outcomes
            for each in found:
                assert (each.outcome == "succeeded") == (each.body is not None and not each.error)
