"""What a file comes to does not depend on the chunks that it is applied in."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

from hypothesis import given, settings, strategies as st
from tests.laboratory.author import Author, raw_lines, request_line
from tests.laboratory.stores import all_rows

from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.adapters.sqlite.database import MEMORY
from batchtrail.application.collection import Applier
from batchtrail.application.runtime import Runtime
from batchtrail.application.store import Batches
from batchtrail.bootstrap import SystemClock
from batchtrail.domain.costs import FREE, ModelPrice, Rates
from batchtrail.domain.events import ResultApplied, ResultSkipped
from batchtrail.domain.status import ResultFile

IDS = [f"r{number}" for number in range(60)]


class OnePrice:
    """A price for one model only."""

    source = "a table"

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        del endpoint
        return ModelPrice(Rates(FREE, FREE, FREE, FREE + 3)) if model == "m" else None


def line(custom_id: str, response: object, error: object = None) -> bytes:
    return json.dumps({"custom_id": custom_id, "response": response, "error": error}).encode()


def answer(custom_id: str, status_code: object, model: object, usage: object) -> bytes:
    body = {"model": model, "usage": usage}
    return line(custom_id, {"status_code": status_code, "body": body})


_ids = st.sampled_from([*IDS, "nobody"])
_usages = st.sampled_from([None, {}, {"output_tokens": 7}, {"output_tokens": "7"}])
_odd = st.one_of(
    st.builds(answer, _ids, st.sampled_from([200, 201, 500, None, "200"]), st.just("m"), _usages),
    st.builds(answer, _ids, st.just(200), st.sampled_from(["m", "n", None, 5]), _usages),
    st.builds(line, _ids, st.none(), st.just({"code": "batch_expired", "message": "No."})),
    st.builds(line, _ids, st.sampled_from([{"model": "m", "usage": {}}, "text"])),
    st.sampled_from([b"no json", b"  ", b'{"custom_id":"r1","response":{"body":"\xff"}}']),
)

_plain = [answer(custom_id, 200, "m", {"output_tokens": 9}) for custom_id in IDS]
_files = st.lists(_odd, max_size=8).flatmap(lambda odd: st.permutations([*odd, *_plain]))
"""A plain answer for each request, and some others, before it or behind it."""


def applied(raws: list[bytes], chunk: int) -> list[Any]:
    """Everything that is known of a batch when these lines were applied."""
    batches, author = Batches(SQLiteBatchFactory(MEMORY)), Author()
    batch = author.draft(map(request_line, IDS))
    author.end(batch)
    batches.save_batch(batch)
    runtime = Runtime(batches, SystemClock(), actor="test", software="test")
    applier = Applier(runtime, batch, OnePrice())
    lines = raw_lines(raws)
    for first in range(0, len(lines), chunk):
        applier.apply(ResultFile.OUTPUT, lines[first : first + chunk])
    known = batches.get(batch.id)
    log = list(batches.history(batch.id, bodies=True))
    results = [
        (e.number, e.outcome, e.status_code, e.error, e.usage, e.cost, e.offset, e.line)
        for e in log
        if isinstance(e, ResultApplied)
    ]
    skips = [
        (e.offset, e.reason, e.custom_id, e.problem, e.line)
        for e in log
        if isinstance(e, ResultSkipped)
    ]
    rows = [row[:3] for row in all_rows(batches, batch.id)]
    runtime.close()
    place = itemgetter(0)
    return [
        sorted(results, key=place),
        sorted(skips, key=place),
        known.totals,
        known.positions,
        rows,
    ]


@settings(deadline=None, max_examples=40)
@given(_files, st.integers(2, 40))
def test_any_chunks_give_the_same(raws: list[bytes], chunk: int) -> None:
    """Line by line in the order of the file, or many in the order of their requests."""
    assert applied(raws, chunk) == applied(raws, 1)
