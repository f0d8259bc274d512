"""Admitting request lines: every refusal of rule 4 names its line and field."""

from typing import Any

import pytest

from batchtrail.domain.errors import RequestRefusedError
from batchtrail.domain.requests import RequestCheck, RequestIndex
from batchtrail.domain.values import Limits, RequestLine

LIMITS = Limits(
    max_requests=3,
    max_bytes=100,
    endpoints=frozenset({"/v1/responses", "/v1/embeddings", "/v1/moderations"}),
    endpoints_without_model=frozenset({"/v1/moderations"}),
)
FIRST = RequestLine(1, "a", "POST", "/v1/responses", "gpt-5-nano", stream=False, raw=b"{}")


def second(**other: Any) -> RequestLine:
    return FIRST._replace(**{"number": 2, "custom_id": "b", **other})


@pytest.fixture
def check() -> RequestCheck:
    """A check that has admitted one line."""
    check = RequestCheck(LIMITS)
    check.admit(FIRST)
    return check


def test_good_lines_are_counted(check: RequestCheck) -> None:
    """Each line counts with the newline that will end it."""
    check.admit(second(raw=b'{"x":1}'))
    assert (check.count, check.size) == (2, 3 + 8)
    assert (check.endpoint, check.model) == ("/v1/responses", "gpt-5-nano")
    assert (check.index.number("a"), check.index.number("b")) == (1, 2)


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        (second(custom_id=""), "custom_id", "is blank"),
        (second(custom_id=" \t\u2003"), "custom_id", "is blank"),
        (second(custom_id="a"), "custom_id", "'a' was used on line 1 already"),
        (second(method="GET"), "method", "is 'GET'"),
        (second(method="post"), "method", "is 'post'"),
        (second(method=""), "method", "is ''"),
        (second(url="/v1/embeddings"), "url", "differs from the batch's endpoint"),
        (second(url=""), "url", "is blank"),
        (second(model="gpt-5"), "body.model", "'gpt-5' differs from the batch's model"),
        (second(model=None), "body.model", "is missing"),
        (second(model=" "), "body.model", "is missing or blank"),
        (second(stream=True), "body.stream", "batches cannot stream"),
        (second(raw=b"x" * 97), None, "is past the limit of 100 bytes"),
    ],
)
def test_second_line_is_refused(
    check: RequestCheck, line: RequestLine, field: str | None, problem: str
) -> None:
    """A refusal names the line and the field, and counts nothing."""
    with pytest.raises(RequestRefusedError) as refused:
        check.admit(line)
    assert (refused.value.line, refused.value.field) == (2, field)
    assert problem in refused.value.problem
    assert (check.count, check.size) == (1, 3)


@pytest.mark.parametrize(
    ("line", "field", "problem"),
    [
        (FIRST._replace(url="/v1/files"), "url", "is no batch endpoint"),
        (FIRST._replace(url="responses"), "url", "is no batch endpoint"),
        (FIRST._replace(url=" "), "url", "is blank"),
        (FIRST._replace(model=None), "body.model", "is missing"),
    ],
)
def test_first_line_is_refused(line: RequestLine, field: str, problem: str) -> None:
    """The first line decides for the batch, so it must be right by itself."""
    with pytest.raises(RequestRefusedError) as refused:
        RequestCheck(LIMITS).admit(line)
    assert (refused.value.line, refused.value.field) == (1, field)
    assert problem in refused.value.problem


def test_refusal_lists_the_endpoints() -> None:
    """The remedy stands in the sentence, in a steady order."""
    with pytest.raises(
        RequestRefusedError, match="use one of /v1/embeddings, /v1/moderations, /v1/responses"
    ):
        RequestCheck(LIMITS).admit(FIRST._replace(url="/v1/files"))


@pytest.mark.parametrize("model", ["", "  ", "\t\u2003"])
def test_blank_model_is_refused(model: str) -> None:
    """A model has a name."""
    with pytest.raises(RequestRefusedError) as refused:
        RequestCheck(LIMITS).admit(FIRST._replace(model=model))
    assert (refused.value.line, refused.value.field) == (1, "body.model")


def test_request_limit() -> None:
    """The last line that fits is admitted, the next one is not."""
    check = RequestCheck(LIMITS)
    for number in (1, 2, 3):
        check.admit(FIRST._replace(number=number, custom_id=str(number)))
    with pytest.raises(RequestRefusedError, match=r"line 4: .* limit of 3 requests"):
        check.admit(FIRST._replace(number=4, custom_id="4"))


def test_byte_limit_counts_the_newline() -> None:
    """A line of 99 bytes and its newline fill a batch of 100; one of 100 does not fit."""
    RequestCheck(LIMITS).admit(FIRST._replace(raw=b"x" * 99))
    with pytest.raises(RequestRefusedError, match="line 1: is past the limit of 100 bytes"):
        RequestCheck(LIMITS).admit(FIRST._replace(raw=b"x" * 100))


def test_model_may_be_left_to_the_provider() -> None:
    """Where the endpoint needs no model, no line names one, or all name the same."""
    check = RequestCheck(LIMITS)
    check.admit(FIRST._replace(url="/v1/moderations", model=None))
    check.admit(second(url="/v1/moderations", model=None))
    with pytest.raises(RequestRefusedError) as refused:
        check.admit(second(number=3, custom_id="c", url="/v1/moderations", model="omni"))
    assert (refused.value.line, refused.value.field) == (3, "body.model")


def test_alike_lines_are_counted_at_once(check: RequestCheck) -> None:
    """They have the numbers and the size that they would have one by one."""
    assert check.admit_alike(["b", "c"], size=97)
    assert (check.count, check.size) == (3, 100)
    assert [check.index.number(custom_id) for custom_id in "abc"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("custom_ids", "size"),
    [
        (["b", "a"], 9),
        (["b", "b"], 9),
        (["b", ""], 9),
        (["b", " \t"], 9),
        (["b", "c", "d"], 9),
        (["b"], 98),
    ],
)
def test_alike_lines_are_admitted_all_or_none(
    check: RequestCheck, custom_ids: list[str], size: int
) -> None:
    """Where one is to be refused nothing has happened, so that it can be looked for."""
    assert not check.admit_alike(custom_ids, size=size)
    assert (check.count, check.size, len(check.index)) == (1, 3, 1)
    assert check.index.number("b") is None


def test_first_lines_are_like_no_others() -> None:
    """What an endpoint and a model may be is asked line by line."""
    check = RequestCheck(LIMITS, endpoint="/v1/files")
    assert not check.admit_alike(["a"], size=9)
    assert check.count == 0


def test_check_goes_on_from_what_is_known() -> None:
    """Lines added later obey the rules together with the earlier ones."""
    known = RequestIndex(["a", "b"])
    check = RequestCheck(LIMITS, endpoint="/v1/responses", model="m", known=known, size=90)
    assert check.count == 2
    with pytest.raises(RequestRefusedError, match="was used on line 2 already"):
        check.admit(second(number=3, custom_id="b", model="m"))
    check.admit(second(number=3, custom_id="c", model="m"))
    assert known.number("c") == 3


def test_known_index_learns_even_if_it_was_empty() -> None:
    """The caller's index is the one that is filled, also for the first line."""
    known = RequestIndex()
    RequestCheck(LIMITS, known=known).admit(FIRST)
    assert known.number("a") == 1


def test_refused_line_fixes_nothing() -> None:
    """A line that is not in the batch decides neither its endpoint nor its model."""
    check = RequestCheck(LIMITS)
    for other in ({"stream": True}, {"model": None}, {"raw": b"x" * 100}):
        with pytest.raises(RequestRefusedError):
            check.admit(FIRST._replace(**other))
        assert (check.endpoint, check.model, check.count, check.size) == (None, None, 0, 0)
    check.admit(FIRST._replace(url="/v1/embeddings", model="m"))
    assert (check.endpoint, check.model) == ("/v1/embeddings", "m")


def test_index_numbers_and_settles() -> None:
    """Numbers count from one in the order of the input; settled requests stay settled."""
    index = RequestIndex(["a", "b"], settled=[2])
    assert (len(index), index.add("c"), len(index)) == (2, 3, 3)
    assert [index.number(each) for each in ("a", "b", "c", "d")] == [1, 2, 3, None]
    assert [index.settle(each) for each in ("c", "c", "b", "d")] == [3, None, None, None]
    assert index.settle("a") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RequestRefusedError("is bad", line=3, field="url"), "line 3, field url: is bad"),
        (RequestRefusedError("is bad", line=3), "line 3: is bad"),
        (RequestRefusedError("is bad", field="url"), "field url: is bad"),
        (RequestRefusedError("is bad"), "is bad"),
    ],
)
def test_refusal_is_one_sentence(error: RequestRefusedError, sentence: str) -> None:
    """Where it is, then what it is."""
    assert str(error) == sentence
