"""Standard error, while nobody hears."""

import os
import sys

import pytest

from batchtrail.adapters.cli.streams import speak_without_listeners


def test_a_full_pipe_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a supervisor that has stopped reading: what it does not take is lost."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(reading, "rb") as heard, os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        speak_without_listeners()
        for number in range(1_000):
            sys.stderr.write(f"{number:>999}\n")
        held = heard.read1(1_000_000)
        assert 0 < len(held) < 1_000_000
        sys.stderr.write("again\n")
        assert heard.read1(1_000_000).endswith(b"again\n")
