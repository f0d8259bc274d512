"""Costs from outside: estimated before, refused above a limit, shown and provable after."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Cli, Emulator, sentence

RESPONSES = "/v1/responses"


def write(cli: Cli, *bodies: dict[str, Any], name: str = "in.jsonl", url: str = RESPONSES) -> Path:
    path = cli.home / name
    lines = [
        {"custom_id": f"r{number}", "method": "POST", "url": url, "body": body}
        for number, body in enumerate(bodies)
    ]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def body(text: str = "x" * 400, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5-nano", "input": text, "max_output_tokens": 1_000, **fields}


def by_hand(line: dict[str, Any]) -> Decimal:
    """gpt-5-nano in a batch: 0.025 in, 0.0025 cached, 0.2 out, for a million tokens."""
    usage = line["response"]["body"]["usage"]
    cached = usage["input_tokens_details"]["cached_tokens"]
    cost = (usage["input_tokens"] - cached) * Decimal("0.025")
    cost += cached * Decimal("0.0025") + usage["output_tokens"] * Decimal("0.2")
    return Decimal(cost / 1_000_000)


def test_the_batch_costs_what_its_answers_cost(cli: Cli) -> None:
    """The summary, the log and a sum by hand agree to the last digit."""
    path = write(cli, *(body("x" * number) for number in range(1, 30)))
    result = cli("run", path, "-o", "out.jsonl", "--json")
    lines = [json.loads(line) for line in (cli.home / "out.jsonl").read_text().splitlines()]
    total = sum(by_hand(line) for line in lines)
    cost = result.json["cost"]
    assert total > 0
    assert (Decimal(cost["usd"]), cost["requests_without_price"]) == (total, 0)
    assert cost["usd"] in result.err
    log = cli("history", result.json["id"], "--json").jsonl
    assert sum(Decimal(e["cost"]) for e in log if e["event"] == "ResultApplied") == total
    (used,) = [event for event in log if event["event"] == "PricesUsed"]
    assert used["source"] == cost["prices"]
    assert "OpenAI batch prices of 20" in used["source"]
    shown = cli("status", result.json["id"]).out
    assert f"cost       ${cost['usd']}\n" in shown
    assert f"prices     {cost['prices']}\n" in shown
    told = cli("history", result.json["id"]).out
    assert f"cost ${cost['usd']}" in told
    assert f"PricesUsed        {cost['prices']}" in told


def test_unknown_model_has_no_price(cli: Cli) -> None:
    """Shown as unknown everywhere, never as nothing."""
    path = write(cli, body(model="gpt-unlisted"), body(model="gpt-unlisted"))
    result = cli("run", path, "-o", "out.jsonl", "--json")
    assert result.status == 0, result
    assert result.json["cost"]["usd"] is None
    assert result.json["cost"]["requests_without_price"] == 2
    assert "cost: unknown; requests without a known price: 2" in result.err
    assert "cost       unknown; " in cli("status", result.json["id"]).out


@pytest.mark.parametrize(("count", "known"), [(1, "at least $0.0"), (2, "unknown; ")])
def test_missing_results_may_be_paid(cli: Cli, emulator: Emulator, count: int, known: str) -> None:
    """What nobody knows is not counted as nothing."""
    emulator.arm({"op": "create", "kind": "drop_lines", "count": count})
    result = cli("run", write(cli, body(), body()), "-o", "out.jsonl", "--json")
    cost = result.json["cost"]
    assert (cost["usd"], cost["requests_without_price"]) == (None, 0)
    assert (cost["at_least_usd"] == "0") == (count == 2)
    shown = cli("status", result.json["id"]).out
    for text in (result.err, shown, cli("history", result.json["id"]).out):
        (line,) = [line for line in text.splitlines() if "missing, and may be paid" in line]
        assert known in line
        assert f"; results that are missing, and may be paid: {count}" in line


def test_own_prices(cli: Cli) -> None:
    """A file that the environment names prices what no list does."""
    (cli.home / "prices.toml").write_text('["gpt-unl*"]\ninput = 0.5\noutput = 0\n')
    path = write(cli, body(model="gpt-unlisted"))
    result = cli("run", path, "-o", "out.jsonl", "--json", BATCHTRAIL_PRICES="prices.toml")
    assert result.status == 0, result
    given = result.json["usage"]["input_tokens"]
    assert Decimal(result.json["cost"]["usd"]) == given * Decimal("0.0000005")
    assert result.json["cost"]["prices"].startswith("prices.toml (sha256 ")


def test_mistake_in_own_prices(cli: Cli, emulator: Emulator) -> None:
    """One sentence, before anything is sent."""
    (cli.home / "prices.toml").write_text('["m"]\ninput = "cheap"\noutput = 1\n')
    for command in ("run", "estimate"):
        said = sentence(cli(command, write(cli, body()), BATCHTRAIL_PRICES="prices.toml"), 2)
        assert "the prices file prices.toml: m.input is cheap; write USD" in said
    assert not emulator.received().get("upload")


def test_estimate(cli: Cli, emulator: Emulator) -> None:
    """What, how much, how counted, by which prices; no key, no call and no database."""
    path = write(cli, body(), body())
    result = cli("estimate", path, "--json", OPENAI_API_KEY=None)
    assert result.status == 0
    assert result.json["cost"] == {"least_usd": "0.0000052", "most_usd": "0.0004052"}
    facts = ("requests", "endpoint", "model", "input_tokens", "max_output_tokens", "no_upper_bound")
    assert [result.json[name] for name in facts] == [2, RESPONSES, "gpt-5-nano", 208, 2_000, None]
    assert result.json["input_bytes"] == path.stat().st_size
    shown = cli("estimate", path, OPENAI_API_KEY=None).out
    for part in (
        "requests   2 of 50,000",
        " of 209.7 MB",
        "about 208 tokens (UTF-8 bytes of the prompt texts / 4, and 4 for each message)",
        "at most 2,000 tokens",
        "from $0.0000052 to $0.0004052",
        "OpenAI batch prices of 20",
        "enqueued tokens",
    ):
        assert part in shown
    assert not emulator.received()
    assert [each.name for each in cli.home.iterdir() if each.suffix == ".db"] == []


def test_estimate_without_an_upper_end(cli: Cli) -> None:
    """It says why there is none, and what to do."""
    shown = cli("estimate", write(cli, body(max_output_tokens=None), body())).out
    assert "no upper bound: requests without a maximum of output tokens: 1" in shown
    assert "at most 1,000 tokens where a maximum is named" in shown
    shown = cli("estimate", write(cli, body(max_output_tokens=None))).out
    assert "no request names a maximum" in shown
    shown = cli("estimate", write(cli, body(model="m"))).out
    assert "unknown: no batch price is known of m" in shown


def test_estimate_of_limits(cli: Cli) -> None:
    """Too many texts to embed are told; the file rules are those of `run`."""
    many = {"model": "text-embedding-3-small", "input": ["x"] * 2_049}
    shown = cli("estimate", write(cli, many, url="/v1/embeddings")).out
    assert "would be hit: 2,049 texts in one request; a request takes 2,048" in shown
    path = write(cli, body(), name="twice.jsonl")
    path.write_text(path.read_text() * 2)
    refused = sentence(cli("estimate", path), 2)
    assert refused == sentence(cli("run", path), 2)
    assert "line 2, field custom_id" in refused
    assert "does not exist" in sentence(cli("estimate", "nothing.jsonl"), 2)


def test_estimate_for_another_place(cli: Cli) -> None:
    """The limits are those of the API that `run` would use with the same options."""
    azure = ["--base-url", "https://r.openai.azure.com/openai/v1"]
    shown = cli("estimate", write(cli, body()), *azure, "--db", "sqlite:///other.db")
    assert "requests   1 of 100,000 that one batch takes" in shown.out, shown
    refused = sentence(cli("estimate", "in.jsonl", "--db", "sqlite:///in.jsonl"))
    assert "the input in.jsonl is the database" in refused


def test_estimate_of_a_pipe(cli: Cli) -> None:
    """What can be read only once is read once."""
    result = cli.shell("estimate", "/dev/stdin", "--json", redirect=f"< {write(cli, body())}")
    piped = cli.shell("estimate", "/dev/stdin", "--json", before=f"cat {cli.home}/in.jsonl |")
    assert result.status == piped.status == 0
    assert result.json["requests"] == piped.json["requests"] == 1


@pytest.mark.parametrize("command", ["run", "submit"])
def test_max_cost(cli: Cli, emulator: Emulator, command: str) -> None:
    """Above it nothing is sent or recorded; what was submitted below it goes on."""
    path = write(cli, body(), body())
    refused = sentence(cli(command, path, "--max-cost", "0.0004"), 2)
    assert "may cost up to $0.0004052, more than the $0.0004 allowed; nothing was sent" in refused
    unbounded = write(cli, body(max_output_tokens=None), name="unbounded.jsonl")
    refused = sentence(cli(command, unbounded, "--max-cost", "1000"), 2)
    assert "cannot be promised to cost at most $1000: requests without a maximum" in refused
    assert not emulator.received().get("upload")
    assert cli.batches() == []
    assert cli(command, path, "--max-cost", "$0.0004052").status == 0
    assert cli(command, path, "--max-cost", "0").status == 0
    assert emulator.received()["create"] == 1
    assert sentence(cli(command, path, "--new", "--max-cost", "0"), 2)


@pytest.mark.parametrize("amount", ["", "much", "-1", "nan", "inf", "1,5"])
def test_amounts_that_are_none(cli: Cli, emulator: Emulator, amount: str) -> None:
    """A limit that is not understood is not taken for none."""
    assert "is no amount" in sentence(cli("run", write(cli, body()), "--max-cost", amount), 2)
    assert not emulator.received()
    assert not (cli.home / "batchtrail.db").exists()
