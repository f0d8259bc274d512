"""Rule 5: the outcome that a result line gives its request."""

from typing import Any

import pytest

from batchtrail.domain.outcomes import judge, rest_of
from batchtrail.domain.status import BatchStatus, Outcome
from batchtrail.domain.values import RequestProblem, ResultLine

ABOVE = RequestProblem("above", "said beside the response")
INSIDE = RequestProblem("inside", "said in the body")
FIXED = RequestProblem(None, "The provider reported a failure without saying why.")


def line(**facts: Any) -> ResultLine:
    return ResultLine(offset=0, raw=b"{}", custom_id="a", **facts)


@pytest.mark.parametrize("status_code", [None, 200, 201, 204, 299])
@pytest.mark.parametrize("errors", [{}, {"error": ABOVE}, {"body_error": INSIDE}])
def test_success(status_code: int | None, errors: dict[str, RequestProblem]) -> None:
    """A 2xx answer is a success, an absent code counts as 200, and no error is reported."""
    assert judge(line(answered=True, status_code=status_code, **errors)) == (
        Outcome.SUCCEEDED,
        None,
    )


@pytest.mark.parametrize("status_code", [-1, 0, 1, 100, 199, 300, 301, 400, 404, 429, 500, 2000])
def test_any_other_code_is_a_failure(status_code: int) -> None:
    """Only 200 to 299 succeed."""
    assert judge(line(answered=True, status_code=status_code, body_error=INSIDE)) == (
        Outcome.FAILED,
        INSIDE,
    )


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        ({"error": ABOVE, "body_error": INSIDE}, ABOVE),
        ({"error": ABOVE}, ABOVE),
        ({"body_error": INSIDE}, INSIDE),
        ({}, FIXED),
        ({"error": RequestProblem("above", "")}, RequestProblem("above", FIXED.message)),
        ({"error": RequestProblem(None, ""), "body_error": RequestProblem(None, "")}, FIXED),
        (
            {"error": RequestProblem("above", ""), "body_error": INSIDE},
            RequestProblem("above", INSIDE.message),
        ),
        (
            {"error": RequestProblem(None, ABOVE.message), "body_error": INSIDE},
            RequestProblem("inside", ABOVE.message),
        ),
        ({"error": RequestProblem("", ""), "body_error": INSIDE}, INSIDE),
    ],
)
@pytest.mark.parametrize("answer", [{"answered": True, "status_code": 500}, {"answered": False}])
def test_message_of_a_failure(
    errors: dict[str, RequestProblem], said: RequestProblem, answer: dict[str, Any]
) -> None:
    """First code and first message, beside the response or in its body; else a fixed sentence."""
    assert judge(line(**answer, **errors)) == (Outcome.FAILED, said)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("batch_expired", Outcome.EXPIRED),
        ("batch_cancelled", Outcome.CANCELED),
        ("batch_canceled", Outcome.CANCELED),
        ("request_timeout", Outcome.FAILED),
        (None, Outcome.FAILED),
    ],
)
def test_request_that_never_ran(code: str | None, outcome: Outcome) -> None:
    """Without a response, the error's code says which end overtook the request."""
    error = RequestProblem(code, "It did not run.")
    assert judge(line(error=error)) == (outcome, error)


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_request_that_was_answered_ran(code: str) -> None:
    """An HTTP error is a failure, whatever code stands beside it."""
    error = RequestProblem(code, "Odd.")
    assert judge(line(answered=True, status_code=400, error=error)) == (Outcome.FAILED, error)


def test_code_without_answer_is_no_success() -> None:
    """A line without a response has no status; nothing was answered."""
    assert judge(line(answered=False, status_code=200)) == (Outcome.FAILED, FIXED)


@pytest.mark.parametrize(
    ("status", "outcome", "code"),
    [
        (BatchStatus.ENDED, Outcome.MISSING, "missing"),
        (BatchStatus.EXPIRED, Outcome.EXPIRED, "batch_expired"),
        (BatchStatus.CANCELED, Outcome.CANCELED, "batch_cancelled"),
        (BatchStatus.FAILED, Outcome.FAILED, "batch_failed"),
    ],
)
def test_rest_follows_the_batch(status: BatchStatus, outcome: Outcome, code: str) -> None:
    """Every end says what becomes of the requests that no line mentions."""
    given, error = rest_of(status)
    assert (given, error.code) == (outcome, code)
    assert error.message.endswith(".")
