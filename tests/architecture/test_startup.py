"""What the command imports before it knows what to do."""

import subprocess
import sys
from pathlib import Path

HEAVY = ("aiohttp", "eventsourcing", "sqlite3", "openai", "pydantic", "genai_prices", "tiktoken")


def test_help_imports_nothing_heavy() -> None:
    """`batchtrail --help` answers without the event store and without HTTP."""
    code = (
        "import sys\n"
        "from batchtrail.adapters.cli import main\n"
        "sys.argv = ['batchtrail', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_reading_the_log_needs_no_prices(tmp_path: Path) -> None:
    """Costs are in the log; the price table is imported when something is priced."""
    code = (
        "import asyncio, sys\n"
        "from batchtrail.adapters.cli.batches import Place\n"
        "from batchtrail.adapters.cli.status import Looked, show_status\n"
        "what = Looked(None, None, None, refresh=False, limit=1)\n"
        "asyncio.run(show_status(what, Place(), as_json=True))\n"
        "print([name for name in ('genai_prices', 'pydantic') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
