"""Completion handlers in the installed command: what they do to the process is no harm to it."""

import pytest
from tests.cli.conftest import Cli, Emulator, custom_ids, sentence
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
    ("body", "status"), [("print('a line of mine')", 1), ("print('half', end='')", 0)]
)
def test_a_handler_that_nobody_hears(cli: Cli, body: str, status: int) -> None:
    """It may fail for what it prints; the results are written all the same."""
    path = with_handler(cli, body).write()
    options = ("-o", "out.jsonl", "--handler", "shop:Done")
    result = cli.shell("run", path, *options, redirect="2> /dev/full")
    assert custom_ids((cli.home / "out.jsonl").read_bytes()) == custom_ids(path.read_bytes())
    assert result.status == status


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


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        ("shop.batchs:Done", "cannot be imported: ModuleNotFoundError"),
        ("shop:Doen", "cannot be imported: AttributeError"),
        ("shop:os", "has none of the methods on_batch_completion"),
    ],
)
@pytest.mark.parametrize("command", ["submit", "run"])
def test_a_misspelt_handler(
    cli: Cli, emulator: Emulator, command: str, handler: str, problem: str
) -> None:
    """Where it may run it is looked for before anything is recorded, sent or paid."""
    path = with_handler(cli, "pass").write()
    said = sentence(cli(command, path, "--handler", handler))
    assert f"the completion handler {handler} {problem}" in said
    assert cli.batches() == []
    assert emulator.received() == {}


def test_a_module_that_prints_when_it_is_imported(cli: Cli) -> None:
    """Its words do not come between those of `submit`, where another program reads the id."""
    path = with_handler(cli, "pass").write()
    with (cli.home / "shop.py").open("a") as file:
        file.write("print('a line of mine')\n")
    result = cli("submit", path, "--handler", "shop:Done")
    (batch,) = cli.batches()
    assert (result.status, result.out) == (0, f"{batch['id']}\n"), result
    assert "a line of mine\n" in result.err


def test_a_handler_of_another_machine(cli: Cli) -> None:
    """Where its package is not allowed, nobody looks for it: a worker elsewhere may have it."""
    result = cli("submit", cli.write(), "--handler", "depot.batches:Done")
    assert result.status == 0, result
