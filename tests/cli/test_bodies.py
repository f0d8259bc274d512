"""Compressed and encrypted bodies, through the command."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Cli, Emulator, custom_ids, recorded, sentence

OLD, NEW = (f"k{number}:{base64.b64encode(bytes([number] * 32)).decode()}" for number in (1, 2))
ENCRYPTED = {"BATCHTRAIL_COMPRESSION": "zstd", "BATCHTRAIL_ENCRYPTION_KEYS": OLD}
INPUT = "Say hello to the needle."
REPLY = b"output_text"
"""What every result line of the emulator has."""

UrlOf = Callable[[str], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of a new database."""
    if request.param == "sqlite":
        return "sqlite:///batchtrail.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_whole_life(cli: Cli, database: str) -> None:
    """Results, checks and seals are those of a plain log; without the key nothing is told."""
    cli.environment["BATCHTRAIL_DB"] = database
    path = cli.write(3, change={1: {"input": INPUT}})
    done = cli("run", "in.jsonl", "-o", "out.jsonl", **ENCRYPTED)
    assert done.status == 0, done.err
    results = (cli.home / "out.jsonl").read_bytes()
    assert custom_ids(results) == custom_ids(path.read_bytes())
    assert REPLY in results
    assert INPUT.encode() not in b"".join(each.read_bytes() for each in cli.home.glob("*.db*"))

    (batch,) = cli("status", "--json").jsonl  # what happened can be read without the key
    assert cli("history", batch["id"]).status == 0
    refused = cli("results", batch["id"])
    assert refused.status == 1
    assert "its body is encrypted, and no key is set; set BATCHTRAIL_ENCRYPTION_KEYS" in refused.err
    assert refused.stdout == b""
    wrong = cli("results", batch["id"], BATCHTRAIL_ENCRYPTION_KEYS=NEW)
    assert "BATCHTRAIL_ENCRYPTION_KEYS has no key 'k1'" in wrong.err
    assert cli("verify").status == 1

    rotated = {"BATCHTRAIL_ENCRYPTION_KEYS": f"{NEW},{OLD}"}
    assert cli("verify", **rotated).status == 0
    seal = cli("seal", "--full", **rotated).out.strip()
    exported = cli("export", "-o", "log.jsonl", **rotated)
    assert exported.status == 0, exported.err
    new = {"BATCHTRAIL_ENCRYPTION_KEYS": NEW, "BATCHTRAIL_DB": "sqlite:///new.db"}
    imported = cli("import", "log.jsonl", **new)
    assert imported.status == 0, imported.err
    assert cli("verify", "--against", seal, **new).status == 0
    assert cli("results", batch["id"], **new).stdout == results
    again = cli("run", "in.jsonl", "-o", "again.jsonl", **new)
    assert again.status == 0
    assert (cli.home / "again.jsonl").read_bytes() == results
    for said in (done, refused, wrong, exported, imported):
        for key in (OLD, NEW):
            assert key[3:].encode() not in said.stdout + said.stderr


def test_settings_may_change_at_any_time(cli: Cli) -> None:
    """Old and new batches stand side by side, and each is read."""
    runs = [{}, {"BATCHTRAIL_COMPRESSION": "zstd"}, ENCRYPTED, {}]
    for number, settings in enumerate(runs):
        cli.write(2, f"in{number}.jsonl")
        done = cli("run", f"in{number}.jsonl", "-o", f"out{number}.jsonl", **settings)
        assert done.status == 0, done.err
    found = cli("verify", BATCHTRAIL_ENCRYPTION_KEYS=OLD)
    assert found.status == 0, found.out


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("needle", "key 1: write NAME:KEY, of letters, digits, - and _"),
        (f"{OLD},:bmVlZGxl", "key 2: write NAME:KEY"),
        (f"{OLD},k 2:bmVlZGxl", "key 2: write NAME:KEY"),
        ("k1:needle", "key 1: after the name come 32 random bytes in base64; make them with"),
        (f"{OLD},k2:bmVlZGxl", "key 2: after the name come 32 random bytes"),
        (f"{OLD},{OLD}", "key 2: each has another name"),
        (f"{'k' * 33}:bmVlZGxl", "key 1: each has another name, of at most 32 letters"),
    ],
)
def test_keys_that_are_none(cli: Cli, emulator: Emulator, keys: str, words: str) -> None:
    """They are refused without a word of what may be a key, and before anything happens."""
    cli.write()
    told = sentence(cli("run", "in.jsonl", BATCHTRAIL_ENCRYPTION_KEYS=keys))
    assert f"BATCHTRAIL_ENCRYPTION_KEYS, {words}" in told
    assert not [secret for secret in ("needle", "bmVlZGxl", OLD[3:]) if secret in told]
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0


def test_keys_in_a_file(cli: Cli) -> None:
    """A key beside the database would protect nothing."""
    Path(cli.home / ".env").write_text(f"BATCHTRAIL_ENCRYPTION_KEYS={OLD}\n", encoding="utf-8")
    told = sentence(cli("status"))
    assert told == ".env holds BATCHTRAIL_ENCRYPTION_KEYS; set it in the environment alone"


def test_another_compression(cli: Cli) -> None:
    """One of those that there are."""
    told = sentence(cli("status", BATCHTRAIL_COMPRESSION="gzip"))
    assert told == "BATCHTRAIL_COMPRESSION is 'gzip'; write none or zstd"
