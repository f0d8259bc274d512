"""What a command imports: nothing heavy that it does not use; and how it ends."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import FAST, emulating

from batchtrail import open_trail
from batchtrail.adapters.fake import FakeBatchProvider, VirtualClock

HEAVY = {
    "aiohttp",
    "asyncio",
    "backports.zstd",
    "cryptography",
    "eventsourcing",
    "genai_prices",
    "html",
    "httpx2",
    "hypothesis",
    "importlib.metadata",
    "openai",
    "psycopg",
    "pyarrow",
    "pydantic",
    "rich",
    "sqlite3",
    "tiktoken",
    "tomllib",
    "typer",
    "batchtrail.adapters.prices",
    "batchtrail.application.endpoints",
    "batchtrail.application.estimation",
    "batchtrail.application.sealing",
    "batchtrail.application.service",
}
LOG = {"asyncio", "eventsourcing", "sqlite3"}
SEALS = {*LOG, "batchtrail.application.sealing"}
ROWS = {*LOG, "batchtrail.application.endpoints"}
PRICES = {
    "asyncio",
    "batchtrail.adapters.prices",
    "batchtrail.application.estimation",
    "eventsourcing",
    "tiktoken",
}
ASKED = {
    *PRICES,
    "backports.zstd",  # httpx2 takes it where it is installed, and so does aiohttp
    "genai_prices",
    "httpx2",
    "importlib.metadata",
    "pydantic",
}
PROVIDER = {
    *LOG,
    "aiohttp",
    "backports.zstd",
    "batchtrail.adapters.prices",
    "batchtrail.application.service",
}
REQUEST = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/responses",
    "body": {"model": "gpt-5-nano", "input": "Say hello."},
}
UNLISTED = {**REQUEST, "body": {"model": "my-own", "input": "Say hello."}}
CODE = """
import gc, json, sys
from batchtrail.adapters.cli import main
heavy, sys.argv = json.loads(sys.argv[1]), ["batchtrail", *sys.argv[2:]]
try:
    main()
except SystemExit as end:
    loaded = [name for name in heavy if name in sys.modules]
    print(json.dumps([end.code or 0, loaded, gc.get_freeze_count()]), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where an emulator answers."""
    with emulating(*FAST) as emulator:
        yield emulator.base_url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an input file, a database that has its finished batch, and its export."""
    directory = tmp_path_factory.mktemp("home")
    path = directory / "in.jsonl"
    path.write_text(json.dumps(REQUEST) + "\n", encoding="utf-8")
    path.with_name("unlisted.jsonl").write_text(json.dumps(UNLISTED) + "\n", encoding="utf-8")
    asyncio.run(_finish_batch(path))
    return directory


async def _finish_batch(path: Path) -> None:
    url = f"sqlite:///{path.with_name('batchtrail.db')}"
    provider = FakeBatchProvider(auto=True)
    async with open_trail(url, provider=provider, clock=VirtualClock()) as trail:
        batch_id = await trail.submit(path)
        await trail.wait(batch_id)
        with path.with_name("log.jsonl").open("wb") as file:
            await trail.export_log(file)
    path.with_name("id").write_text(str(batch_id), encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "used"),
    [
        ("--help", set()),
        ("--version", set()),
        ("run --help", set()),
        ("status --help", set()),
        ("status", LOG),
        ("status BATCH", LOG),
        ("status BATCH --at 5", LOG),
        ("history BATCH", LOG),
        ("history BATCH a", LOG),
        ("results BATCH", LOG),
        ("verify", SEALS),
        ("seal", SEALS),
        ("rebuild", SEALS),
        ("export", SEALS),
        ("prune --older-than 3000w --no-export", SEALS),
        ("import log.jsonl --db sqlite:///other.db", SEALS),
        ("status BATCH a", ROWS),
        ("results BATCH --format csv", ROWS),
        ("results BATCH --format parquet -o out.parquet", {*ROWS, "pyarrow"}),
        ("estimate in.jsonl", PRICES),
        ("estimate unlisted.jsonl", ASKED),
        ("run in.jsonl -o out.jsonl --db sqlite:///run.db", PROVIDER),
        ("status --refresh", PROVIDER),
    ],
)
def test_nothing_is_imported_in_vain(
    home: Path, base_url: str, command: str, used: set[str]
) -> None:
    """Each command loads the heavy modules that it uses, and no other; its end looks at none."""
    words = command.replace("BATCH", (home / "id").read_text(encoding="utf-8")).split()
    keyless = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI")}
    settings = {"OPENAI_BASE_URL": base_url, "BATCHTRAIL_POLL_SCHEDULE": "0.02"}

    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(sorted(HEAVY)), *words],
        cwd=home,
        env={**keyless, **settings, "OPENAI_API_KEY": "none"},
        capture_output=True,
        text=True,
        check=True,
    )

    status, loaded, frozen = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr
    assert set(loaded) <= used
    assert frozen > 0


@pytest.mark.parametrize("name", ["Settings", "InputError", "NewBatch"])
def test_a_small_name_brings_nothing_large(name: str) -> None:
    """What stands first in the list of homes is looked at for every name behind it."""
    code = f"from batchtrail import {name}; import sys; print(*sys.modules, sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())
