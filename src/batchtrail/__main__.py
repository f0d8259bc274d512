"""`python -m batchtrail` is the command `batchtrail`, of just this interpreter."""

from .adapters.cli import main

if __name__ == "__main__":
    main()
