"""Result files: one pass over the input file in shuffled order, in constant memory."""

import hashlib
import os
import random
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from attrs import define, frozen

from .answers import answer
from .failures import SERVER_ERROR
from .ids import line_id_prefix, line_id_suffix, line_request_id
from .records import Usage
from .templates import quoted

_BUFFER: Final = 1024 * 1024
_UNDONE: Final = {
    "batch_expired": ("This request could not be executed before the completion window expired."),
    # OpenAI's own words for this one are not known.
    "batch_cancelled": "This request could not be executed because the batch was cancelled.",
}


@frozen(kw_only=True)
class Job:
    """All that the result files of a batch depend on, besides its input file."""

    endpoint: str
    done: int
    """How many requests, from the first line on, have been worked off."""
    undone_code: str
    """What is said about the others: `batch_expired` or `batch_cancelled`."""
    made_at: float
    """Unix time that ids and answers carry."""
    fail_every: int | None
    answer_bytes: int | None
    seed: int
    """Decides the order of the lines."""
    salt: str
    """Makes the line ids those of this batch."""
    deployments: Mapping[str, str]
    result_line: str
    """The template of a line that was answered."""
    undone_line: str


@define
class Tally:
    """What was written."""

    succeeded: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, usage: Usage) -> None:
        """Count one success."""
        self.succeeded += 1
        self.input_tokens += usage.input
        self.cached_tokens += usage.cached
        self.output_tokens += usage.output
        self.reasoning_tokens += usage.reasoning

    def usage(self) -> Usage:
        """Return the sum over all successes."""
        return Usage(
            input=self.input_tokens,
            cached=self.cached_tokens,
            output=self.output_tokens,
            reasoning=self.reasoning_tokens,
        )


class _Request(msgspec.Struct):
    custom_id: str
    body: msgspec.Raw


def generate(source: Path, job: Job, output: Path, errors: Path) -> Tally:
    """Write the output and the error file; both exist afterwards, maybe empty."""
    with (
        source.open("rb") as requests,
        output.open("wb", buffering=_BUFFER) as good,
        errors.open("wb", buffering=_BUFFER) as bad,
    ):
        return _write_lines(requests, job, good, bad)


def _write_lines(requests: BinaryIO, job: Job, good: BinaryIO, bad: BinaryIO) -> Tally:
    tally = Tally()
    prefix = line_id_prefix(job.made_at)
    decode = msgspec.json.Decoder(_Request).decode
    starts = _line_starts(requests)
    order = list(range(len(starts) - 1))
    random.Random(job.seed).shuffle(order)  # noqa: S311 - no secret
    descriptor = requests.fileno()
    for index in order:
        start = starts[index]
        request = decode(os.pread(descriptor, starts[index + 1] - start, start))
        digest = _digest(job.salt + request.custom_id)
        line: dict[str, Any] = {
            "prefix": prefix,
            "suffix": line_id_suffix(digest),
            "custom_id": quoted(request.custom_id),
        }
        if index >= job.done:
            line["code"] = quoted(job.undone_code)
            line["message"] = quoted(_UNDONE[job.undone_code])
            bad.write((job.undone_line % line).encode())
            continue
        fails = job.fail_every is not None and (index + 1) % job.fail_every == 0
        outcome = answer(
            job.endpoint,
            bytes(request.body),
            created=job.made_at,
            answer_bytes=job.answer_bytes,
            failure=SERVER_ERROR if fails else None,
            deployments=job.deployments,
        )
        line["status"] = outcome.status
        line["request_id"] = f'"{line_request_id(digest)}"'
        line["body"] = outcome.body
        text = (job.result_line % line).encode()
        if outcome.usage is None:
            tally.failed += 1
            bad.write(text)
        else:
            tally.add(outcome.usage)
            good.write(text)
    return tally


def _line_starts(file: BinaryIO) -> "array[int]":
    """Return where each request line starts, and where the last one ends; blank lines are none."""
    starts = array("Q")
    position = 0
    for line in file:
        if not line.isspace():
            starts.append(position)
        position += len(line)
    starts.append(position)
    return starts


def _digest(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
