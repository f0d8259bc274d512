"""Somebody who commands: batches with every kind of event, and the lines that they are of."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from io import BytesIO
from itertools import zip_longest
from typing import Any
from uuid import UUID

from attrs import evolve

from batchtrail.application.raw_lines import RawLine
from batchtrail.application.request_lines import blocks, checked_chunks
from batchtrail.application.result_lines import parse_result_line
from batchtrail.application.store import Batches
from batchtrail.domain.alike import Tokens
from batchtrail.domain.batch import Batch
from batchtrail.domain.requests import RequestCheck, RequestIndex
from batchtrail.domain.status import BatchStatus, ResultFile, WorkStep
from batchtrail.domain.values import (
    BatchProblem,
    Limits,
    NewBatch,
    Provenance,
    RequestCounts,
    Stamp,
    StatusReport,
    TokenUsage,
)

ENDPOINT = "/v1/responses"
LIMITS = Limits(max_requests=50_000, max_bytes=200 << 20, endpoints=frozenset({ENDPOINT}))
AWKWARD_IDS = (
    "plain",
    " inner  space ",
    "ünï-✓-😀",
    "nul\0inside",
    "line\u2028sep",
    "a'b\"c\\d",
    "%_",
)


def request_line(custom_id: str, text: str = "") -> bytes:
    """A request as it may stand in an input file."""
    body = {"model": "m", "input": text}
    line = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line, ensure_ascii=False).encode()


def answer(custom_id: str, text: str = "") -> bytes:
    """A result line of a request that succeeded."""
    usage = {"input_tokens": 7, "output_tokens": 3}
    response = {"status_code": 200, "request_id": "r", "body": {"output": text, "usage": usage}}
    line = {"id": "x", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(line, ensure_ascii=False).encode()


def refusal(custom_id: str) -> bytes:
    """A result line of a request that failed."""
    error = {"code": "server_error", "message": "Ünlucky."}
    response = {"status_code": 500, "request_id": "r", "body": {"error": error}}
    return json.dumps({"custom_id": custom_id, "response": response, "error": None}).encode()


def cost_of(model: str | None, usage: TokenUsage | None) -> Decimal | None:
    """A cost that no binary fraction is equal to; none where nothing was used."""
    del model
    return None if usage is None else Decimal("0.1000000003") * usage.total


def costs_of(model: str | None, usages: Sequence[Tokens]) -> list[Decimal | None]:
    """The same of some that tell their tokens."""
    return [cost_of(model, TokenUsage(*tokens)) for tokens in usages]


def raw_lines(raws: Iterable[bytes], offset: int = 0) -> list[RawLine]:
    """Lines that follow each other in a file from an offset on."""
    lines = []
    for raw in raws:
        lines.append(RawLine(offset, raw))
        offset += len(raw) + 1
    return lines


class Author:
    """Gives commands to batches, by a clock that ticks a microsecond with each of them."""

    def __init__(self, start: datetime = datetime(2026, 1, 2, 3, 4, 5, 999_990, UTC)) -> None:
        self.now = start
        self._inputs: dict[UUID, Any] = {}

    def stamp(self) -> Stamp:
        """The stamp of the next command."""
        self.now += timedelta(microseconds=1)
        return Stamp(self.now, Provenance("test:ada@höst", "batchtrail 0", "chain", "command"))

    def draft(
        self, lines: Iterable[bytes] = (), *, chunk_bytes: int = 1 << 20, **new: Any
    ) -> Batch:
        """A batch with these requests."""
        batch = Batch.draft(
            NewBatch(provider="openai", endpoint=ENDPOINT, **new), stamp=self.stamp()
        )
        self.add(batch, lines, chunk_bytes=chunk_bytes)
        return batch

    def add(self, batch: Batch, lines: Iterable[bytes], *, chunk_bytes: int = 1 << 20) -> None:
        """Add the first requests of a batch."""
        file = BytesIO(b"\n".join(lines))
        read = blocks(file, LIMITS, block_bytes=chunk_bytes)
        for chunk in checked_chunks(read, RequestCheck(LIMITS)):
            batch.add_requests(chunk, LIMITS, stamp=self.stamp())
            self._inputs.setdefault(batch.id, sha256()).update(chunk.lines)

    def start(self, batch: Batch) -> None:
        """Record the intent to submit a batch."""
        digest = self._inputs[batch.id].hexdigest()
        batch.start_submission(digest, stamp=self.stamp())

    def upload(self, batch: Batch) -> None:
        """Lead a batch to the create call."""
        self.start(batch)
        batch.start_upload(stamp=self.stamp())
        batch.record_upload(
            "file-1", provider_created_at=None, request_id="req", stamp=self.stamp()
        )
        batch.start_create(stamp=self.stamp())

    def end(self, batch: Batch, status: BatchStatus = BatchStatus.ENDED) -> None:
        """Submit a batch and let it end."""
        self.upload(batch)
        report = StatusReport(status, status.value, output_file_id="out", error_file_id="err")
        batch.record_submitted(
            "batch_1", report, adopted=False, request_id=None, stamp=self.stamp()
        )

    def apply(
        self,
        batch: Batch,
        index: RequestIndex,
        lines: Iterable[bytes],
        file: ResultFile = ResultFile.OUTPUT,
        *,
        price_source: str | None = None,
    ) -> None:
        """Apply result lines that follow the ones before."""
        read = raw_lines(lines, batch.positions[file].offset)
        parsed = [parse_result_line(line, cost_of) for line in read]
        batch.apply_results(file, parsed, index, stamp=self.stamp(), price_source=price_source)

    def discard(self, batch: Batch, file_id: str) -> None:
        """Record a small event that any batch takes at any time."""
        batch.record_discarded_upload(
            file_id, upload_request_id="req_0", request_id=None, stamp=self.stamp()
        )

    def finished(
        self, store: Batches, ids: Sequence[str], *, chunk: int = 500, text: str = ""
    ) -> Batch:
        """A batch with a result, of this text, for every request, saved in chunks."""
        batch = self.draft(map(request_line, ids), chunk_bytes=10_000)
        self.end(batch)
        store.save_batch(batch)
        index = store.request_index(batch.id)
        for first in range(0, len(ids), chunk):
            self.apply(batch, index, [answer(each, text) for each in ids[first : first + chunk]])
            store.save_batch(batch)
        batch.finish_collection(stamp=self.stamp())
        store.save_batch(batch)
        return batch

    def lives(self) -> list[Iterator[Batch]]:
        """Batches that together record every kind of event; each is given after each command."""
        return [
            self.long_life(),
            self.refused_life(),
            self.withdrawn_life(),
            self.forgotten_life(),
        ]

    def long_life(self) -> Iterator[Batch]:  # noqa: PLR0915 (one life, event by event)
        """Two creates that came to nothing, a sibling, a cancellation, results, odd lines."""
        batch = self.draft(
            metadata={"campaign": "42", "näme": "✓\n\0"},
            send_metadata=True,
            completion_handler="shop.batches:Done",
            description="",
            identity="a-file",
            generation=3,
            retry_of=UUID(int=7),
        )
        yield batch
        self.add(batch, map(request_line, AWKWARD_IDS), chunk_bytes=200)
        yield batch
        self.start(batch)
        yield batch
        moment = datetime(2026, 1, 2, 3, 4, 6, 123_456, UTC)
        batch.start_upload(stamp=self.stamp())
        batch.record_upload(
            "file-1", provider_created_at=moment, request_id="req_1", stamp=self.stamp()
        )
        yield batch
        self.discard(batch, "file-2")
        yield batch
        batch.start_create(stamp=self.stamp())
        yield batch
        error = BatchProblem("rate_limit", "Später.", param=None, line=None)
        batch.record_not_created(1, error, request_id="req_2", stamp=self.stamp())
        yield batch
        batch.start_create(stamp=self.stamp())
        yield batch
        validating = StatusReport(BatchStatus.SUBMITTED, "validating")
        batch.record_submitted(
            "batch_1", validating, adopted=False, request_id="req_3", stamp=self.stamp()
        )
        yield batch
        unseen = BatchProblem("invalid_file", "No such file.", param="file_id")
        failed = StatusReport(BatchStatus.FAILED, "failed", errors=(unseen,))
        batch.record_status("batch_1", failed, request_id=None, stamp=self.stamp())
        yield batch
        batch.start_create(stamp=self.stamp())
        yield batch
        batch.record_submitted(
            "batch_0", validating, adopted=False, request_id=None, stamp=self.stamp()
        )
        full = BatchProblem("token_limit_exceeded", "Später.")
        failed = StatusReport(BatchStatus.FAILED, "failed", errors=(full,))
        batch.record_status("batch_0", failed, request_id="req_7", stamp=self.stamp())
        yield batch
        batch.start_create(stamp=self.stamp())
        yield batch
        running = StatusReport(
            BatchStatus.IN_PROGRESS, "in_progress", request_counts=RequestCounts(7, 1, 0), model="m"
        )
        batch.record_submitted(
            "batch_2", running, adopted=True, request_id=None, stamp=self.stamp()
        )
        yield batch
        batch.record_sibling("batch_3", request_id="req_4", stamp=self.stamp())
        yield batch
        batch.record_sibling_canceled("batch_3", request_id="req_4", stamp=self.stamp())
        yield batch
        batch.request_cancel(stamp=self.stamp())
        yield batch
        over = StatusReport(
            BatchStatus.CANCELED,
            "cancelled",
            request_counts=RequestCounts(7, 3, 1),
            output_file_id="file-out",
            error_file_id="file-err",
            errors=(BatchProblem(None, "", "p", 3),),
            usage=TokenUsage(2**40, 2, 3, 4),
            is_canceling=True,
        )
        batch.record_status("batch_2", over, request_id="req_5", stamp=self.stamp())
        yield batch
        late = evolve(over, error_file_id="file_late")
        batch.amend_report("batch_2", late, request_id="req_6", stamp=self.stamp())
        yield batch
        index = RequestIndex(AWKWARD_IDS)
        odd = [b"\xff\x00 not json\r", b"", answer("stranger"), answer(AWKWARD_IDS[2])]
        answers = [*map(answer, AWKWARD_IDS[:4]), *odd]
        self.apply(batch, index, answers, price_source="a table of 2026-01-01")
        yield batch
        self.apply(batch, index, [refusal(AWKWARD_IDS[4])], ResultFile.ERROR)
        yield batch
        batch.finish_collection(stamp=self.stamp())
        yield batch
        batch.reopen_collection(late, request_id="req_7", stamp=self.stamp())
        yield batch
        self.apply(batch, index, [answer(AWKWARD_IDS[5])])
        yield batch
        batch.finish_collection(stamp=self.stamp())
        yield batch
        moment = self.now + timedelta(minutes=5)
        batch.record_work_failed(
            WorkStep.COMPLETION_HANDLER, "Ünlucky.", retry_at=moment, stamp=self.stamp()
        )
        yield batch
        batch.record_work_failed(
            WorkStep.COMPLETION_HANDLER, "Gone.", retry_at=None, stamp=self.stamp()
        )
        yield batch
        batch.record_work_resumed(stamp=self.stamp())
        yield batch
        batch.record_handler_dispatched(stamp=self.stamp())
        yield batch
        batch.record_retry(UUID(int=9), 2, stamp=self.stamp())
        yield batch

    def forgotten_life(self) -> Iterator[Batch]:
        """The batch passes the maximum age, and its rows come late."""
        batch = self.draft(map(request_line, "pq"), completion_handler="shop:Done")
        yield batch
        self.upload(batch)
        running = StatusReport(BatchStatus.IN_PROGRESS, "in_progress")
        batch.record_submitted(
            "batch_8", running, adopted=False, request_id=None, stamp=self.stamp()
        )
        yield batch
        error = BatchProblem("given_up", "Too old.")
        batch.give_up(error, max_age=93_600.0, stamp=self.stamp())
        yield batch
        batch.finish_collection(stamp=self.stamp())
        yield batch

    def refused_life(self) -> Iterator[Batch]:
        """The provider refuses the batch for good."""
        batch = self.draft([request_line("a"), request_line("b")])
        yield batch
        self.upload(batch)
        yield batch
        error = BatchProblem("invalid_request", "Nö.", param="model", line=2)
        batch.record_refusal(error, create_attempt=1, request_id="req_9", stamp=self.stamp())
        yield batch
        batch.finish_collection(stamp=self.stamp())
        yield batch
        batch.redact_request("a", [2], "asked by the cüstomer", stamp=self.stamp())
        yield batch
        batch.prune_bodies("0f" * 32, through=batch.version, stamp=self.stamp())
        yield batch

    def withdrawn_life(self) -> Iterator[Batch]:
        """Somebody cancels the batch before it is submitted."""
        batch = self.draft(map(request_line, "xyz"), identity="b-file")
        yield batch
        batch.request_cancel(stamp=self.stamp())
        yield batch
        batch.finish_collection(stamp=self.stamp())
        yield batch

    def interleaved(self) -> Iterator[Batch]:
        """The lives, one command of each in turn."""
        for batches in zip_longest(*self.lives()):
            yield from (batch for batch in batches if batch is not None)
