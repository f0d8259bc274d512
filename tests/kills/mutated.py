"""The `batchtrail` command with one rule taken out of it: `KILLS_MUTATION` names which."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.simulation.mutations import MUTATIONS

from batchtrail.adapters.cli import main

if __name__ == "__main__":
    MUTATIONS[os.environ["KILLS_MUTATION"]].apply()
    main()
