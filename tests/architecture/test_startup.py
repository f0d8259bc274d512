"""What the command imports before it knows what to do."""

import subprocess
import sys

HEAVY = ("aiohttp", "eventsourcing", "sqlite3", "openai", "pydantic.main")


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
