"""Completion handlers in the installed command: what they do to the process is no harm to it."""

import pytest
from tests.cli.conftest import Cli, custom_ids
from tests.cli.test_terminal import terminal


def with_handler(cli: Cli, body: str) -> Cli:
    """Put a handler `shop:Done` into the working directory, and allow it."""
    (cli.home / "shop.py").write_text(
        "import os, sys\n"
        "class Done:\n"
        "    def on_batch_completion(self, batch, completions):\n"
        f"        {body}\n"
    )
    cli.environment["BATCHTRAIL_HANDLERS"] = "shop"
    return cli


def test_a_handler_that_changes_the_directory(cli: Cli) -> None:
    """The results are written where they were asked for, and the database stays where it is."""
    elsewhere = cli.home / "elsewhere"
    elsewhere.mkdir()
    path = with_handler(cli, "os.chdir('elsewhere')").write()
    result = cli("run", path, "-o", "out.jsonl", "--handler", "shop:Done")
    assert result.status == 0, result
    assert " -> out.jsonl\n" in result.err
    assert custom_ids((cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())
    assert list(elsewhere.iterdir()) == []
    (batch,) = cli.batches()
    assert batch["handler_dispatched"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_handler_that_prints(cli: Cli, as_json: bool) -> None:
    """Standard output holds the results, or the summary, and nothing else."""
    path = with_handler(cli, "print('a line of mine')").write()
    result = cli("run", path, "--handler", "shop:Done", *(["--json"] if as_json else []))
    assert result.status == 0, result
    assert "\na line of mine\n" in result.err
    if as_json:
        assert result.json["handler_dispatched"]
    else:
        assert custom_ids(result.stdout) == custom_ids(path.read_bytes())


def test_a_handler_that_prints_beside_the_bar(cli: Cli) -> None:
    """On a terminal it is the same."""
    path = with_handler(cli, "print('a line of mine')").write()
    with terminal(cli, "run", path, "--handler", "shop:Done") as screen:
        result = screen.finish()
    assert result.status == 0, result
    assert "a line of mine" in result.err
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())


@pytest.mark.parametrize(
    "body", ["sys.stdout.close()", "sys.stdout = None", "print('half', end=''); sys.stdout.close()"]
)
def test_a_handler_that_takes_standard_output_away(cli: Cli, body: str) -> None:
    """It is lent to handlers: results are written all the same, and a worker ends as ever."""
    path = with_handler(cli, body).write()
    result = cli("run", path, "--handler", "shop:Done")
    assert result.status == 0, result
    assert custom_ids(result.stdout) == custom_ids(path.read_bytes())
    assert "cost:" in result.err.splitlines()[-1]

    assert cli("submit", "--new", path, "--handler", "shop:Done").status == 0
    result = cli("worker", "--until-idle")
    assert (result.status, result.out) == (0, "half" if "half" in body else ""), result
