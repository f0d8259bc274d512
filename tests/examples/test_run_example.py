"""The example that `make run` runs, on a machine that has settings of its own."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "examples" / "run_example.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The script, which is no part of any package."""
    spec = importlib.util.spec_from_file_location("run_example", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_settings_for_openai_do_not_reach_the_emulator(example: ModuleType) -> None:
    """Nor does a proxy, which would be asked for this machine's own address."""
    machine = {"PATH": "/bin", "HOME": "/home/u", "LANG": "C", "MY_OPENAI_KEY": "x"}
    settings = {
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_ORG_ID": "org",
        "BATCHTRAIL_DIALECT": "azure",
        "HTTP_PROXY": "http://proxy:1",
        "https_proxy": "http://proxy:1",
        "ALL_PROXY": "socks5://proxy:1",
        "NO_PROXY": "example.org",
    }
    assert example.without_settings({**machine, **settings}) == machine
