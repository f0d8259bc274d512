"""Standard streams that were closed before the command began."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).parent / "batchtrail"


def run(home: Path, arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the command through a shell, which closes what `arguments` say."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OPENAI_API_KEY": "k"}
    return subprocess.run(
        ["/bin/sh", "-c", f"exec {COMMAND} {arguments}"],
        cwd=home,
        env=environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run in.jsonl", b"standard output is closed; name a file for the results with -o"),
        ("run in.jsonl -o out.jsonl", b"in.jsonl does not exist"),
        ("run in.jsonl --json", b"in.jsonl does not exist"),
    ],
)
def test_results_have_nowhere_to_go(tmp_path: Path, arguments: str, words: bytes) -> None:
    """Nothing is sent, and nothing paid for, when the results would be lost."""
    done = run(tmp_path, f"{arguments} >&-")

    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"batchtrail: " + words)


@pytest.mark.parametrize("arguments", ["status >&-", "status 2>&-", "status >&- 2>&-"])
def test_command_without_streams_does_its_work(tmp_path: Path, arguments: str) -> None:
    """Whoever closes a stream does not want to hear; that is no error."""
    assert run(tmp_path, arguments).returncode == 0


def test_database_file_does_not_take_the_place_of_a_stream(tmp_path: Path) -> None:
    """A message must not be written into whatever was opened first."""
    run(tmp_path, "worker --until-idle >&- 2>&-")
    run(tmp_path, "status >&- 2>&-")

    content = (tmp_path / "batchtrail.db").read_bytes()
    assert content[:16] == b"SQLite format 3\0"
    assert b"no batches" not in content


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run in.jsonl -o loop", b"cannot be used: Too many levels of symbolic links"),
        ("run loop -o out.jsonl", b"loop cannot be read"),
        (f"run in.jsonl -o {'b' * 300}", b"cannot be used: File name too long"),
        (f"status --db sqlite:///{'b' * 300}", b"cannot open the database"),
        (f"cancel a --db sqlite:///{'b' * 300}", b"cannot open the database"),
        (f"verify --db sqlite:///{'b' * 300}", b"cannot open the database"),
        ("run in.jsonl -o batchtrail.db-journal", b"is the database; name another file"),
    ],
)
def test_names_that_cannot_be_used(tmp_path: Path, arguments: str, words: bytes) -> None:
    """One sentence and no traceback, before anything is sent."""
    (tmp_path / "in.jsonl").write_bytes(b"{}\n")
    (tmp_path / "loop").symlink_to("loop")

    done = run(tmp_path, arguments)

    assert done.returncode == 2
    assert done.stderr.startswith(b"batchtrail: ")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
