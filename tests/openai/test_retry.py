from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, strategies as st
from multidict import CIMultiDict

from batchtrail.adapters.openai.retry import (
    Backoff,
    Failure,
    Operation,
    error_for,
    retry_after,
    should_retry,
    wait_before_repeat,
)
from batchtrail.application.errors import (
    FileNotReadyError,
    NotFoundError,
    OutcomeUnknownError,
    ProviderError,
    QuotaError,
    RateLimitedError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)

BACKOFF = Backoff(max_attempts=4, first=0.5, longest=8.0)
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
UNCLEAR = [408, 423, 425, 499, 500, 502, 503, 504, 520]
REPEATABLE = [operation for operation in Operation if operation.is_repeatable]
ABOUT_ONE = [Operation.RETRIEVE, Operation.CANCEL, Operation.DOWNLOAD, Operation.DELETE]


def wait(operation: Operation, failure: Failure, attempt: int = 1) -> float | None:
    """Decide with the least random wait."""
    return wait_before_repeat(operation, failure, attempt, BACKOFF, 0.0)


def answered(status: int, **more: Any) -> Failure:
    """Make the failure of an answer with this status."""
    return Failure("m", status=status, **more)


LOST = Failure("lost")
UNSENT = Failure("not sent", may_be_done=False)
GARBLED = answered(200)


def test_all_calls_but_three_are_repeatable() -> None:
    """A second one of these would leave a file, start a batch, or cost a second answer."""
    assert {Operation.UPLOAD, Operation.CREATE, Operation.COMPLETE} == {
        operation for operation in Operation if not operation.is_repeatable
    }


@pytest.mark.parametrize("operation", REPEATABLE)
@pytest.mark.parametrize("failure", [LOST, UNSENT, GARBLED, *map(answered, UNCLEAR)])
def test_reads_repeat_and_then_are_unavailable(operation: Operation, failure: Failure) -> None:
    """Whatever happened on the way, another read does no harm."""
    assert wait(operation, failure) is not None
    assert type(error_for(operation, failure)) is UnavailableError


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (UNSENT, UnavailableError),
        (LOST, OutcomeUnknownError),
        (GARBLED, OutcomeUnknownError),
        (answered(408), OutcomeUnknownError),
        (answered(500), OutcomeUnknownError),
        (answered(503), OutcomeUnknownError),
        (answered(503, retry_after=500.0), OutcomeUnknownError),
        (answered(503, code="insufficient_quota"), OutcomeUnknownError),
        (answered(301), OutcomeUnknownError),
        (answered(302), OutcomeUnknownError),
        (answered(303), OutcomeUnknownError),
        (answered(304), OutcomeUnknownError),
        (answered(307), RefusedError),
        (answered(308), RefusedError),
        (answered(400), RefusedError),
        (answered(404), RefusedError),
        (answered(409), OutcomeUnknownError),
        (answered(423), OutcomeUnknownError),
        (answered(425), OutcomeUnknownError),
        (answered(499), OutcomeUnknownError),
        (answered(409, code="billing_hard_limit_reached"), QuotaError),
        (answered(410), RefusedError),
        (answered(422), RefusedError),
        (answered(401), UnauthorizedError),
        (answered(403), UnauthorizedError),
        (answered(402), QuotaError),
        (answered(429), RateLimitedError),
        (answered(429, code="insufficient_quota"), QuotaError),
        (answered(429, kind="insufficient_quota"), QuotaError),
        (answered(400, code="billing_hard_limit_reached"), QuotaError),
        (answered(403, code="billing_hard_limit_reached"), QuotaError),
        (answered(404, param="input_file_id"), NotFoundError),
        (answered(400, param="input_file_id"), RefusedError),
    ],
)
def test_a_create_call_is_told_apart_and_never_repeated(
    failure: Failure, error: type[ProviderError]
) -> None:
    """Only what surely was not done may look harmless; a repeat is the caller's decision."""
    assert error is type(error_for(Operation.CREATE, failure))
    assert wait(Operation.CREATE, failure) is None


@given(
    st.builds(
        Failure,
        message=st.just("m"),
        may_be_done=st.booleans(),
        status=st.none() | st.integers(200, 599),
        code=st.none() | st.just("insufficient_quota"),
        retry_after=st.none() | st.floats(0.001, 1000),
        should_retry=st.none() | st.booleans(),
    ),
    st.integers(1, 9),
    st.floats(0, 1, exclude_max=True),
)
def test_no_failure_ever_repeats_a_create_call(
    failure: Failure, attempt: int, chance: float
) -> None:
    """A second create call is a second bill."""
    assert wait_before_repeat(Operation.CREATE, failure, attempt, BACKOFF, chance) is None
    lost = failure.may_be_done and (failure.status is None or failure.status >= 500)
    if lost:
        assert type(error_for(Operation.CREATE, failure)) is OutcomeUnknownError


@pytest.mark.parametrize(
    "message",
    [
        "Cannot find file file-abc, or project proj_1 does not have access to it.",
        "Cannot find file file-abc, or organization org-1 does not have access to it.",
        "No such File object: file-abc",
        "No such file: file-abc",
        "The file file-abc was not found",
        "Input file 'file-abc' does not exist",
        "The file with id 'abc' doesn't exist",
        "input_file_id: file-abc does not exist",
        "File bGl0ZWxsbQ== could not be found",
        "Could not find the input file",
        "Can't find the file file-abc",
        "Unable to find an input file",
        "The file object 'abc' was not found",
        "file_id: bGl0ZWxsbQ== does not exist",
        "File not found",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize("param", [None, "file_id", "input_file_id"])
def test_an_input_file_that_is_not_visible_is_not_found(
    message: str, status: int, param: str | None
) -> None:
    """Right after its upload that means wait and create again, not refuse."""
    failure = Failure(message, status=status, param=param)
    assert type(error_for(Operation.CREATE, failure)) is NotFoundError
    assert type(error_for(Operation.UPLOAD, failure)) is RefusedError


@pytest.mark.parametrize("state", ["uploaded", "pending", "running"])
@pytest.mark.parametrize(
    ("status", "param"), [(400, None), (400, "input_file_id"), (404, None), (404, "file_id")]
)
def test_an_input_file_that_is_being_processed_is_not_ready(
    state: str, status: int, param: str | None
) -> None:
    """It is there, so to wait longer for it is not in vain."""
    message = f"The input file 'file-abc' is in '{state}' state. Only files with status ..."
    failure = Failure(message, status=status, param=param)
    assert type(error_for(Operation.CREATE, failure)) is FileNotReadyError
    assert type(error_for(Operation.UPLOAD, failure)) is RefusedError


@pytest.mark.parametrize(
    "message",
    [
        "Missing required parameter: 'input_file_id'.",
        "Invalid file format for Batch API. Must be .jsonl",
        "Invalid URL (POST /v1/v1/batches)",
        "The model `x` does not exist",
        "The input file uses model 'gpt-9', which does not exist",
        "The input file file-abc uses model gpt-9, which does not exist or is not found",
        "The file's endpoint does not exist",
        "The file endpoint does not exist",
        "The model of file file-abc does not support batches, project does not have access",
        "The input file 'file-abc' is in 'error' state. Only files with status 'Processed' ...",
    ],
)
@pytest.mark.parametrize("status", [400, 404])
def test_other_refusals_of_a_create_call_are_final(message: str, status: int) -> None:
    """To wait for what never comes would keep the batch pending for ever."""
    assert type(error_for(Operation.CREATE, Failure(message, status=status))) is RefusedError


@pytest.mark.parametrize("status", [405, 413, 422])
def test_a_refusal_with_another_number_is_final(status: int) -> None:
    """Whatever its words are."""
    failure = Failure("File not found", status=status, param="file_id")
    assert type(error_for(Operation.CREATE, failure)) is RefusedError


@pytest.mark.parametrize("param", ["model", "endpoint", "metadata"])
def test_a_refusal_about_something_else_is_final(param: str) -> None:
    """Whatever its words are: the provider itself says what they are about."""
    failure = Failure("File not found", status=400, param=param)
    assert type(error_for(Operation.CREATE, failure)) is RefusedError


@pytest.mark.parametrize(
    ("failure", "error", "repeats"),
    [
        (UNSENT, UnavailableError, True),
        (LOST, OutcomeUnknownError, False),
        (GARBLED, OutcomeUnknownError, False),
        (answered(429), RateLimitedError, True),
        (answered(429, code="insufficient_quota"), QuotaError, False),
        (answered(503, retry_after=2.0), RateLimitedError, True),
        (answered(503), OutcomeUnknownError, False),
        (answered(503, should_retry=True), OutcomeUnknownError, False),
        (answered(500, retry_after=2.0), OutcomeUnknownError, False),
        (answered(423), OutcomeUnknownError, False),
        (answered(425), OutcomeUnknownError, False),
        (answered(499), OutcomeUnknownError, False),
        (answered(303), RefusedError, False),
        (answered(307), RefusedError, False),
        (answered(409), RefusedError, False),
        (answered(400), RefusedError, False),
        (answered(400, should_retry=True), RefusedError, False),
        (answered(413), RefusedError, False),
    ],
)
def test_an_upload_repeats_only_when_surely_not_done(
    failure: Failure, error: type[ProviderError], repeats: bool
) -> None:
    """Else the service decides, which knows whether the file matters."""
    assert error is type(error_for(Operation.UPLOAD, failure))
    assert repeats is (wait(Operation.UPLOAD, failure) is not None)


@pytest.mark.parametrize(
    ("failure", "error", "repeats"),
    [
        (UNSENT, UnavailableError, True),
        (LOST, OutcomeUnknownError, False),
        (GARBLED, OutcomeUnknownError, False),
        (answered(429), RateLimitedError, True),
        (answered(429, retry_after=500.0), RateLimitedError, False),
        (answered(429, code="insufficient_quota"), QuotaError, False),
        (answered(503, retry_after=2.0), OutcomeUnknownError, False),
        (answered(500, should_retry=True), OutcomeUnknownError, False),
        (answered(303), OutcomeUnknownError, False),
        (answered(307), RefusedError, False),
        (answered(404, code="model_not_found"), RefusedError, False),
    ],
)
def test_a_synchronous_request_repeats_only_when_surely_not_answered(
    failure: Failure, error: type[ProviderError], repeats: bool
) -> None:
    """A second answer costs as much as the first."""
    assert error is type(error_for(Operation.COMPLETE, failure))
    assert repeats is (wait(Operation.COMPLETE, failure) is not None)


@pytest.mark.parametrize("operation", ABOUT_ONE)
def test_404_about_a_resource_is_not_found(operation: Operation) -> None:
    """The id in the address does not exist, or not yet."""
    assert type(error_for(operation, answered(404))) is NotFoundError


def test_404_of_the_list_is_no_missing_batch() -> None:
    """It says that the base URL is wrong, not that there are no batches."""
    assert type(error_for(Operation.LIST, answered(404))) is RefusedError


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
@pytest.mark.parametrize("operation", REPEATABLE)
def test_refusals_are_final(operation: Operation, status: int) -> None:
    """Also 409 on cancel, which the official SDK repeats in vain."""
    assert wait(operation, answered(status)) is None


def test_the_servers_opinion_on_repeats_is_heard() -> None:
    """`x-should-retry` outranks the status for calls that do no harm, except a 409."""
    assert wait(Operation.RETRIEVE, answered(503, should_retry=False)) is None
    assert wait(Operation.RETRIEVE, answered(400, should_retry=True)) is not None
    assert wait(Operation.CANCEL, answered(409, should_retry=True)) is None


def test_attempts_end() -> None:
    """The last of four attempts is not followed by a wait."""
    assert [wait(Operation.RETRIEVE, LOST, attempt) is not None for attempt in (1, 2, 3, 4)] == [
        True,
        True,
        True,
        False,
    ]


def test_backoff_doubles_up_to_the_longest_wait() -> None:
    """The lower bound of the random wait is half of the doubling one."""
    assert [BACKOFF.delay(n, 0.0) for n in range(1, 7)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]


@given(st.integers(1, 5000), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_in_bounds(attempt: int, chance: float) -> None:
    """No attempt number and no chance leads out of the configured waits."""
    assert 0.25 <= BACKOFF.delay(attempt, chance) <= 8.0


def test_a_named_wait_is_kept_and_spread() -> None:
    """Workers that were told the same time must not return at the same moment."""
    failure = answered(429, retry_after=30.0)
    assert wait(Operation.RETRIEVE, failure) == 30.0
    assert wait_before_repeat(Operation.RETRIEVE, failure, 1, BACKOFF, 0.5) == 30.25


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_long_wait_is_left_to_the_caller(status: int) -> None:
    """More than two minutes are for a schedule, not for a sleeping call."""
    failure = answered(status, retry_after=121.0)
    assert wait(Operation.RETRIEVE, failure) is None
    error = error_for(Operation.RETRIEVE, failure)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 121.0
    bearable = answered(status, retry_after=120.0)
    assert wait(Operation.RETRIEVE, bearable) == 120.0
    is_limit = status == 429
    assert isinstance(error_for(Operation.RETRIEVE, bearable), RateLimitedError) is is_limit


@pytest.mark.parametrize(("status", "error"), [(400, RefusedError), (404, NotFoundError)])
def test_a_refusal_that_names_a_long_wait(status: int, error: type[ProviderError]) -> None:
    """It is one all the same."""
    assert type(error_for(Operation.RETRIEVE, answered(status, retry_after=121.0))) is error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Mon, 23 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"Retry-After": "Mon, 23 Nov 2026 11:00:00 GMT"}, None),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After-Ms": "soon", "Retry-After": "9"}, 9.0),
        ({"Retry-After": "0"}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "1e300"}, 604800.0),
    ],
)
def test_waits_are_read_in_every_spelling(headers: dict[str, str], seconds: float | None) -> None:
    """Nonsense counts as nothing, and no wait is too long for a `timedelta`."""
    assert seconds == retry_after(CIMultiDict(headers), NOW)


@given(st.text(max_size=40))
def test_no_retry_after_can_break_the_reading(text: str) -> None:
    """The header comes from any proxy on the way."""
    seconds = retry_after(CIMultiDict({"Retry-After": text}), NOW)
    assert seconds is None or 0 < seconds <= 604800


@pytest.mark.parametrize(
    ("text", "opinion"), [("true", True), ("FALSE", False), ("", None), ("maybe", None)]
)
def test_the_servers_opinion_is_read(text: str, opinion: bool | None) -> None:
    """Only the two words count."""
    assert opinion is should_retry(CIMultiDict({"X-Should-Retry": text}))


@pytest.mark.parametrize(
    ("failure", "doubtful"),
    [
        (LOST, True), (GARBLED, True), (answered(502), True), (answered(423), True),
        (answered(303), True), (answered(307), False),
        (UNSENT, False), (answered(429), False), (answered(404), False),
    ],
)  # fmt: skip
def test_only_a_lost_answer_leaves_a_doubt(failure: Failure, doubtful: bool) -> None:
    """A refusal says that nothing was done."""
    assert doubtful is failure.is_doubtful


def test_the_providers_words_are_kept() -> None:
    """Code, parameter, status and request id reach the error."""
    error = error_for(
        Operation.CREATE, Failure("Bad", status=400, code="c", param="p", request_id="req_1")
    )
    assert (
        error.message, error.code, error.param, error.http_status, error.request_id,
    ) == ("Bad", "c", "p", 400, "req_1")  # fmt: skip
