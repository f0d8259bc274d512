"""Completion handlers in the installed command: what they do to the process is no harm to it."""

from tests.cli.conftest import Cli, custom_ids


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
