"""The documentation says what the code says."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchtrail.adapters.prices import GenaiPrices, read_prices
from batchtrail.domain.events import EVENTS

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture(name="base_url")
def _base_url() -> Iterator[str]:
    command = [str(BIN / "batchtrail"), "emulator", "--validating", "0", "--in-progress", "0"]
    command += ["--finalizing", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_the_python_example_of_the_readme_runs(base_url: str, tmp_path: Path) -> None:
    """Copied as it stands, it answers every request."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    environment = {
        "PATH": os.environ["PATH"],
        "OPENAI_API_KEY": "emulator",
        "OPENAI_BASE_URL": base_url,
        "BATCHTRAIL_POLL_SCHEDULE": "0.05",
    }

    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    answered = [line.split()[:2] for line in done.stdout.splitlines()]
    assert answered == [["colour", "succeeded"], ["number", "succeeded"]]


def test_the_prices_file_of_the_how_to_is_understood(tmp_path: Path) -> None:
    """Copied as it stands, it prices the models that it names."""
    example = re.search(
        r"```toml\n(.*?)```", (ROOT / "docs/how-to/costs.md").read_text(), re.DOTALL
    )
    assert example is not None
    path = tmp_path / "prices.toml"
    path.write_text(example[1])

    book = read_prices(path, GenaiPrices())

    for name in ("gpt-5.3", "my-deployment-2"):
        assert book.price(name, "/v1/responses") is not None


def test_every_event_is_documented() -> None:
    """The reference names each event with its permanent topic."""
    reference = (ROOT / "docs/reference/events.md").read_text()

    for event in EVENTS:
        assert f"| {event.__name__} | `{event.TOPIC}` |" in reference


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file that is there."""
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
