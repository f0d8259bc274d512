"""The documentation says what the code says."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchtrail.adapters.prices import GenaiPrices, read_prices

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
_VARIABLE = re.compile(r"\b(?:OPENAI|BATCHTRAIL)_[A-Z_]+\b")


@pytest.fixture(name="base_url")
def _base_url() -> Iterator[str]:
    command = [str(BIN / "batchtrail"), "emulator", "--validating", "0", "--in-progress", "0"]
    command += ["--finalizing", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def printed_by(page: str, base_url: str, folder: Path) -> list[str]:
    """Run a page's first Python example in an empty folder; gives the lines that it prints."""
    code = re.search(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert code is not None
    environment = {
        "PATH": os.environ["PATH"],
        "OPENAI_API_KEY": "emulator",
        "OPENAI_BASE_URL": base_url,
        "BATCHTRAIL_POLL_SCHEDULE": "0.05",
    }

    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    return done.stdout.splitlines()


def test_the_python_example_of_the_readme_runs(base_url: str, tmp_path: Path) -> None:
    """Copied as it stands, it answers every request."""
    answered = [line.split()[:2] for line in printed_by("README.md", base_url, tmp_path)]
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


def test_the_example_of_building_requests_runs(base_url: str, tmp_path: Path) -> None:
    """Copied as it stands, it reads a structured value of each request, and one at once."""
    page = "docs/how-to/build-requests.md"
    printed = printed_by(page, base_url, tmp_path)
    assert [line.split(" ", 1)[0] for line in printed] == ["france", "japan", "now:"]
    assert all("Capital(city=" in line for line in printed)


def test_reference_pages_follow_from_the_code() -> None:
    """`make docs` would write what is there."""
    pages = runpy.run_path(str(ROOT / "docs/build_reference.py"))["PAGES"]

    for name, page in pages.items():
        assert page() == (ROOT / "docs/reference" / name).read_text(), f"run `make docs`: {name}"


def test_every_setting_is_documented() -> None:
    """The reference names each variable that the settings read, and no other."""
    read = set(_VARIABLE.findall((ROOT / "src/batchtrail/settings.py").read_text()))
    told = (ROOT / "docs/reference/settings.md").read_text()

    assert set(_VARIABLE.findall(told)) == read | {"BATCHTRAIL_DEBUG"}


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file that is there."""
    for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"
