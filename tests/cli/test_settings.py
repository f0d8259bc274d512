"""Options, environment, .env file, output path and database: what is wrong, and who wins."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.conftest import KEY, Cli, Emulator, custom_ids, recorded, sentence


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("folder", "the output path folder is a directory; name a file"),
        ("no/out.jsonl", "the output directory no does not exist; make it first"),
        ("in.jsonl/out.jsonl", "the output directory in.jsonl does not exist; make it first"),
        ("in.jsonl", "the output path in.jsonl is the input; name another file"),
        ("./folder/../in.jsonl", "is the input; name another file"),
        ("soft", "the output path soft is the input; name another file"),
        ("hard", "the output path hard is the input; name another file"),
        ("dangling", "does not exist; make it first"),
    ],
)
def test_output_path(cli: Cli, emulator: Emulator, output: str, words: str) -> None:
    """A place where results cannot go is refused before anything is sent."""
    path = cli.write()
    content = path.read_bytes()
    (cli.home / "folder").mkdir()
    (cli.home / "soft").symlink_to(path)
    (cli.home / "hard").hardlink_to(path)
    (cli.home / "dangling").symlink_to("no/out.jsonl")
    assert words in sentence(cli("run", "in.jsonl", "-o", output))
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0
    assert path.read_bytes() == content


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_output_where_nobody_can_make_a_file(cli: Cli, emulator: Emulator) -> None:
    """Its superuser may do anything there, as the system says; but not this, for what is paid."""
    refused = sentence(cli("run", cli.write(), "-o", "/proc/out.jsonl"))
    assert "/proc" in refused
    assert emulator.received() == {}


@pytest.mark.parametrize("output", ["trail.db", "link"])
def test_output_is_the_database(cli: Cli, emulator: Emulator, output: str) -> None:
    """The log of a batch that was paid for is not overwritten by its results."""
    cli.write()
    (cli.home / "link").symlink_to("trail.db")
    result = cli("run", "in.jsonl", "-o", output, BATCHTRAIL_DB="sqlite:///trail.db")
    assert "is the database" in sentence(result)
    assert emulator.received() == {}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///no/trail.db", "no/trail.db: No such file or directory"),
        ("sqlite:////no/such/trail.db", "/no/such/trail.db: No such file or directory"),
        ("sqlite:///folder", "the database path folder is a directory; name a file"),
        ("sqlite:///in.jsonl", "the input in.jsonl is the database; name a JSONL file"),
        ("sqlite:///other.db", "other.db is a database of another program; name another file"),
        ("sqlite:///newer.db", "newer.db was made by a newer version of batchtrail (schema 99"),
        ("trail.db", "the database URL is not understood; write sqlite:///batchtrail.db for"),
        ("sqlite://trail.db", "names no file; write three slashes"),
        ("sqlite:///", "names no file; write three slashes"),
        ("mysql://me:hidden@host/db", "the database URL is not understood; write sqlite:///"),
        ("postgresql:/me:hidden@host/db", "or postgresql://HOST/DATABASE"),
        ("sqlite:///batchtrail.db?mode=ro", "the database URL has a ?, and SQLite's takes no opt"),
        ("sqlite:///:memory:", "a database in memory ends with the command, and the next"),
        ("sqlite:///.//:memory:", "a database in memory ends with the command, and the next"),
    ],
)
def test_database(cli: Cli, emulator: Emulator, url: str, words: str) -> None:
    """A database that cannot be ours is named and left as it is."""
    cli.write()
    (cli.home / "folder").mkdir()
    with closing(sqlite3.connect(cli.home / "other.db")) as other:
        other.execute("CREATE TABLE people (name TEXT)")
    with closing(sqlite3.connect(cli.home / "newer.db")) as newer:
        newer.execute(f"PRAGMA application_id={0x62747261}")
        newer.execute("PRAGMA user_version=99")
    before = contents(cli.home)
    text = sentence(cli("run", "in.jsonl", "--db", url))
    assert words in text
    assert "hidden" not in text
    assert emulator.received() == {}
    assert contents(cli.home) == before


@pytest.mark.parametrize("line", ["worker --until-idle", "submit in.jsonl", "estimate in.jsonl"])
def test_a_database_in_memory(cli: Cli, emulator: Emulator, line: str) -> None:
    """No command has one: each would begin its own, and pay again."""
    cli.write()
    told = sentence(cli(*line.split(), BATCHTRAIL_DB="sqlite:///:memory:"))
    assert told.endswith("would pay again; write sqlite:///batchtrail.db for a file")
    assert emulator.received() == {}


def contents(directory: Path) -> dict[Path, bytes]:
    """Read every file of a directory."""
    return {path: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def test_no_key(cli: Cli, emulator: Emulator) -> None:
    """Without a key the sentence names the variable and the emulator, and no database is made."""
    cli.write()
    text = sentence(cli("run", "in.jsonl", OPENAI_API_KEY=None))
    assert "set OPENAI_API_KEY in the environment or in a .env file" in text
    assert "start `batchtrail emulator --port 8080`" in text
    assert "OPENAI_BASE_URL=http://127.0.0.1:8080/v1" in text
    assert emulator.received() == {}
    assert not (cli.home / "batchtrail.db").exists()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("BATCHTRAIL_POLL_SCHEDULE", "soon", "a number of seconds, at most a year"),
        ("BATCHTRAIL_POLL_SCHEDULE", "1,,2", "BATCHTRAIL_POLL_SCHEDULE is"),
        ("BATCHTRAIL_POLL_SCHEDULE", "60,0", "write seconds above 0, for example 60,120,300"),
        ("BATCHTRAIL_POLL_SCHEDULE", "-1", "BATCHTRAIL_POLL_SCHEDULE is '-1'; write"),
        ("BATCHTRAIL_POLL_SCHEDULE", "nan", "BATCHTRAIL_POLL_SCHEDULE is 'nan'; write"),
        ("BATCHTRAIL_RECONCILE_WAIT", "2 minutes", "is '2 minutes'; write a number of seconds"),
        ("BATCHTRAIL_RECONCILE_WAIT", "inf", "BATCHTRAIL_RECONCILE_WAIT is 'inf'; write"),
        ("OPENAI_BASE_URL", "api.openai.com/v1", "must begin with http:// or https://"),
        ("OPENAI_BASE_URL", "ftp://host/v1", "must begin with http:// or https://"),
        ("OPENAI_BASE_URL", "http://me:hidden@host/v1", "must not hold a user name or password"),
        ("OPENAI_BASE_URL", "http://host:port/v1", "the base URL cannot be read as a URL"),
        ("OPENAI_API_KEY", "sk-hidden-\u00fc", "api_key holds characters that no HTTP header can"),
        ("BATCHTRAIL_AUTH", "basic", "BATCHTRAIL_AUTH is 'basic'; write bearer or api-key"),
        (
            "BATCHTRAIL_DIALECT",
            "Azure",
            "BATCHTRAIL_DIALECT is 'Azure'; write auto, openai or azur",
        ),
        ("OPENAI_BASE_URL", "https://r.openai.azure.com", "must end with /openai/v1"),
    ],
)
def test_environment(cli: Cli, emulator: Emulator, variable: str, value: str, words: str) -> None:
    """A malformed setting is named with its value, unless that may be a secret."""
    cli.write()
    text = sentence(cli("run", "in.jsonl", **{variable: value}))
    assert words in text
    assert "hidden" not in text
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0


@pytest.mark.parametrize("label", ["campaign", "=42", ""])
def test_metadata(cli: Cli, emulator: Emulator, label: str) -> None:
    """A label without a key or a value is refused."""
    cli.write()
    text = sentence(cli("run", "in.jsonl", "--metadata", label))
    assert text == f"--metadata {label!r} is no label; write KEY=VALUE"
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0


def test_a_label_with_two_values(cli: Cli, emulator: Emulator) -> None:
    """Neither of them may be lost without a word."""
    cli.write()
    text = sentence(cli("submit", "in.jsonl", "--metadata", "a=1", "--metadata", "a=2"))
    assert text == "--metadata has 'a' more than once; give each key one value"
    assert emulator.received() == {}
    assert recorded(cli.home / "batchtrail.db") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Usage: batchtrail [OPTIONS] COMMAND"),
        (["run"], "Missing argument 'INPUT.jsonl'"),
        (["run", "in.jsonl", "--fast"], "No such option '--fast'"),
        (["run", "in.jsonl", "more"], "unexpected extra argument"),
        (["run", "in.jsonl", "-o"], "requires an argument"),
        (["launch"], "No such command 'launch'"),
        (["status", "--limit", "0"], "'--limit'"),
        (["results"], "Missing argument 'BATCH'"),
        (["results", "a", "--format", "xml"], "'xml' is not one of 'lines', 'jsonl', 'csv', 'parq"),
        (["emulator", "--port", "99999"], "'--port'"),
        (["emulator", "--dialect", "latin"], "'latin' is not one of 'openai', 'azure'"),
        (["emulator", "--fault", "{}"], "--fault '{}' is no fault"),
        (["emulator", "--fault", "{"], "--fault '{' is no fault: Input data was truncated"),
        (["emulator", "--fault", "[]"], "is no fault: Expected `object`, got `array`"),
        (["emulator", "--fault", '{"op": "create", "kind": "fire"}'], "value 'fire' - at `$.kind`"),
        (
            ["emulator", "--fault", '{"op": "list", "kind": "rate_limit", "retry_after": "soon"}'],
            "is no fault: Expected `float | null`, got `str` - at `$.retry_after`; write for",
        ),
        (
            ["emulator", "--fault", '{"op": "list", "kind": "delay", "times": "x"}'],
            "is no fault: Expected `int | null`, got `str` - at `$.times`; write for example",
        ),
        (
            ["emulator", "--fault", '{"op": "list", "kind": "delay", "second": 1}'],
            "is no fault: it has no 'second', but op, kind, times, skip, seconds, retry_after,",
        ),
    ],
    ids=" ".join,
)
def test_usage(cli: Cli, emulator: Emulator, arguments: list[str], words: str) -> None:
    """What no command understands is named on standard error, with exit status 2."""
    result = cli(*arguments)
    assert result.status == 2
    assert words in result.err
    assert result.stdout == b""
    assert "Traceback" not in result.err
    assert emulator.received() == {}


@pytest.mark.parametrize(
    ("in_file", "in_environment", "as_option"),
    [("right", None, None), ("wrong", "right", None), ("wrong", "wrong", "right")],
    ids=[".env is read", "environment wins", "option wins"],
)
def test_precedence(
    cli: Cli,
    emulator: Emulator,
    in_file: str,
    in_environment: str | None,
    as_option: str | None,
) -> None:
    """Options come first, then the environment, then the .env file."""
    path = cli.write()
    url = {"right": emulator.base_url, "wrong": "http://127.0.0.1:9/v1", None: None}
    database = {name: f"sqlite:///{name}.db" for name in ("right", "wrong")}
    (cli.home / ".env").write_text(
        f'OPENAI_API_KEY="{KEY}"\n'
        f"export OPENAI_BASE_URL={url[in_file]}\n"
        f"BATCHTRAIL_DB={database[in_file]}  # a comment\n"
    )
    options = ["--base-url", url[as_option], "--db", database[as_option]] if as_option else []
    result = cli(
        "run",
        path,
        *[str(option) for option in options],
        OPENAI_API_KEY=None,
        OPENAI_BASE_URL=url[in_environment],
        BATCHTRAIL_DB=database[in_environment] if in_environment else None,
    )
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert [each.name for each in cli.home.glob("*.db")] == ["right.db"]


def test_env_file_without_sense(cli: Cli) -> None:
    """A .env file that is not UTF-8, or has a line that is no setting, is named."""
    cli.write()
    (cli.home / ".env").write_bytes(b"OPENAI_API_KEY=\xff\n")
    assert sentence(cli("run", "in.jsonl")).startswith(".env cannot be read: ")
    (cli.home / ".env").write_bytes(b"OPENAI_API_KEY=k\nOPENAI_BASE_URL http://host/v1\n")
    assert sentence(cli("run", "in.jsonl")).startswith(".env: line 2 is no NAME=VALUE; mend it")


def test_database_is_private(cli: Cli) -> None:
    """Prompts and answers are for the owner's eyes, whatever the umask."""
    cli.write()
    old = os.umask(0)
    try:
        result = cli.cold("run", "in.jsonl", "-o", "out.jsonl")
    finally:
        os.umask(old)
    assert result.status == 0, result
    modes = {path.name: path.stat().st_mode & 0o777 for path in cli.home.glob("batchtrail.db*")}
    assert modes == {"batchtrail.db": 0o600}


def test_key_is_nowhere(cli: Cli) -> None:
    """The key is in no file, and on no stream, after success and after a refusal."""
    cli.write()
    said = []
    for key, status in (("sk-invalid-8d2f61c03e", 2), (KEY, 0)):
        result = cli("run", "in.jsonl", "-o", "out.jsonl", OPENAI_API_KEY=key)
        assert result.status == status, result
        batch = str(cli.batches()[0]["id"])
        history = cli("history", batch, "--all")
        said += [result.stdout, result.stderr, history.stdout, *contents(cli.home).values()]
        assert not [text for text in said if key.encode() in text]
