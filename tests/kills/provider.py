"""The emulator as its account's owner sees it: what was made there, and what it answered."""

import json
from collections.abc import Iterator
from typing import Any

from attrs import frozen
from tests.cli.conftest import Emulator
from tests.laboratory.promises import demand

from batchtrail.application.reconciliation import BATCH_ID_KEY


@frozen
class Account:
    """Asks the API itself; faults must not be armed meanwhile."""

    emulator: Emulator

    def batches(self) -> list[dict[str, Any]]:
        """Every batch that was ever made, newest first."""
        return list(self._pages())

    def _pages(self) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = json.loads(self.emulator.get(f"batches?limit=100{after}"))
            yield from page["data"]
            if not page["has_more"]:
                return
            after = f"&after={page['last_id']}"

    def made_for(self, batch_id: str) -> list[dict[str, Any]]:
        """The batches that carry one of our ids."""
        return [each for each in self.batches() if each["metadata"].get(BATCH_ID_KEY) == batch_id]

    def lines(self, batch: dict[str, Any], custom_ids: list[str]) -> bytes:
        """The lines of both result files in the order of the input."""
        found: dict[str, bytes] = {}
        for name in ("output_file_id", "error_file_id"):
            if batch[name] is not None:
                for line in self.emulator.get(f"files/{batch[name]}/content").splitlines(True):
                    custom_id = json.loads(line)["custom_id"]
                    demand(custom_id not in found, "the provider answers once", custom_id)
                    found[custom_id] = line
        demand(found.keys() == set(custom_ids), "the provider answers each request")
        return b"".join(found[custom_id] for custom_id in custom_ids)
