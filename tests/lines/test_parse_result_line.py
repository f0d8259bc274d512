"""One result line: the shapes of OpenAI and of compatible servers."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from batchtrail.application.raw_lines import RawLine
from batchtrail.application.result_lines import parse_result_line
from batchtrail.domain.outcomes import judge
from batchtrail.domain.status import Outcome
from batchtrail.domain.values import RequestProblem, ResultLine, TokenUsage

NESTED = 100_000


def parse(content: object) -> ResultLine:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    line = parse_result_line(RawLine(12, raw))
    assert (line.offset, line.raw) == (12, raw)
    return line


def line(response: object, error: object = None) -> dict[str, object]:
    return {"id": "batch_req_1", "custom_id": "a", "response": response, "error": error}


def answer(body: object, status_code: object = 200) -> dict[str, object]:
    return line({"status_code": status_code, "request_id": "792c1a99", "body": body})


# OpenAI's shapes


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (
            {
                "object": "chat.completion",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 72,
                    "total_tokens": 82,
                    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 32, "audio_tokens": 0},
                },
            },
            TokenUsage(input=10, cached=4, output=72, reasoning=32),
        ),
        (
            {
                "object": "response",
                "status": "completed",
                "error": None,
                "output": [{"type": "message", "content": [{"text": "4"}]}],
                "usage": {
                    "input_tokens": 18,
                    "input_tokens_details": {"cache_write_tokens": 5, "cached_tokens": 2},
                    "output_tokens": 109,
                    "output_tokens_details": {"reasoning_tokens": 64},
                    "total_tokens": 127,
                },
            },
            TokenUsage(input=18, cached=2, output=109, reasoning=64, cache_write=5),
        ),
        (
            {
                "object": "list",
                "data": [{"object": "embedding", "embedding": [-0.09, 1e-5], "index": 0}],
                "usage": {"prompt_tokens": 7, "total_tokens": 7},
            },
            TokenUsage(input=7),
        ),
        (
            {
                "object": "text_completion",
                "choices": [{"text": "\n\nHi", "finish_reason": "length"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            },
            TokenUsage(input=5, output=7),
        ),
        ({"id": "modr-1", "results": [{"flagged": False}]}, None),
        ({"usage": None}, None),
        ({}, None),
        (None, None),
    ],
    ids=["chat", "responses", "embeddings", "completions", "moderations", "null", "empty", "none"],
)
def test_success(body: object, usage: TokenUsage | None) -> None:
    """Each endpoint spells its tokens in its own way; some spell none."""
    parsed = parse(answer(body))
    assert (parsed.custom_id, parsed.answered, parsed.status_code) == ("a", True, 200)
    assert (parsed.usage, parsed.error, parsed.body_error) == (usage, None, None)
    assert parsed.problem is None
    assert judge(parsed) == (Outcome.SUCCEEDED, None)


def test_http_error() -> None:
    """The message stands in the body; beside the response there is no error."""
    error = {
        "message": "Too long.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
    parsed = parse(answer({"error": error}, 400))
    assert parsed.status_code == 400
    assert judge(parsed) == (
        Outcome.FAILED,
        RequestProblem("context_length_exceeded", "Too long."),
    )


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("batch_expired", Outcome.EXPIRED),
        ("batch_cancelled", Outcome.CANCELED),
        ("batch_canceled", Outcome.CANCELED),
    ],
)
def test_request_that_never_ran(code: str, outcome: Outcome) -> None:
    """No response, and a code that says why."""
    parsed = parse(line(None, {"code": code, "message": "It did not run."}))
    assert (parsed.answered, parsed.status_code) == (False, None)
    assert judge(parsed) == (outcome, RequestProblem(code, "It did not run."))


def test_response_may_be_left_out() -> None:
    """Missing and null mean the same."""
    parsed = parse({"custom_id": "a", "error": {"code": "x", "message": "No."}})
    assert judge(parsed) == (Outcome.FAILED, RequestProblem("x", "No."))


# Compatible servers


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (line(None, "boom"), RequestProblem(None, "boom")),
        (answer({"error": "boom"}, 500), RequestProblem(None, "boom")),
        (answer({"error": {"message": "boom", "code": 404}}, 404), RequestProblem("404", "boom")),
        (answer({"error": {"message": "boom", "code": 1.5}}, 404), RequestProblem("1.5", "boom")),
        (line({"status_code": 500, "body": None}, "boom"), RequestProblem(None, "boom")),
        (
            line({"status_code": 500, "body": None}, {"code": "x", "message": "boom"}),
            RequestProblem("x", "boom"),
        ),
        (line("oops", {"code": "x", "message": "boom"}), RequestProblem("x", "boom")),
        (
            answer({"error": {"message": ["boom"], "code": None}}, 500),
            RequestProblem(None, "['boom']"),
        ),
    ],
)
def test_error_in_odd_shapes(content: object, said: RequestProblem) -> None:
    """Strings, numbers and lists: the words are kept."""
    assert judge(parse(content)) == (Outcome.FAILED, said)


@pytest.mark.parametrize(
    "content",
    [
        line(None),
        line([]),
        line(None, {}),
        line(None, []),
        line(None, ""),
        line(None, 5),
        answer("boom", 500),
        answer(["boom"], 500),
        answer({"error": None}, 500),
        answer({"error": {"code": None, "message": None}}, 500),
    ],
)
def test_failure_without_words(content: object) -> None:
    """Still a failure of its request, with a fixed sentence."""
    parsed = parse(content)
    assert parsed.custom_id == "a"
    outcome, error = judge(parsed)
    assert outcome is Outcome.FAILED
    assert error is not None
    assert error.message == "The provider reported a failure without saying why."


@pytest.mark.parametrize(
    ("status_code", "read"),
    [
        ("200", 200),
        ("429", 429),
        (200.0, 200),
        (None, None),
        ("OK", 500),
        ("", 500),
        ([], 500),
        ({}, 500),
        ("9" * 5_000, 500),
        (100, 100),
        (599, 599),
        ("599", 599),
        (99, 500),
        (600, 500),
        ("600", 500),
        (-200, 500),
        (10**30, 500),
        (True, 500),
    ],
)
def test_status_code_in_odd_shapes(status_code: object, read: int | None) -> None:
    """A code that is there but no HTTP status counts as a server error, never as a success."""
    assert parse(answer({}, status_code)).status_code == read


@pytest.mark.parametrize("status_code", [True, False, 0, -200])
def test_odd_status_code_is_no_success(status_code: object) -> None:
    """Whatever it is, it is not 2xx."""
    assert judge(parse(answer({}, status_code)))[0] is Outcome.FAILED


@pytest.mark.parametrize("body", ["text", 5, [], True])
def test_success_with_an_odd_body(body: object) -> None:
    """The answer is kept as it came; there are no tokens to count."""
    parsed = parse(answer(body))
    assert judge(parsed)[0] is Outcome.SUCCEEDED
    assert parsed.usage is None


@pytest.mark.parametrize("usage", ["many", 5, [], [1], {"prompt_tokens": "many"}, True])
def test_unreadable_usage_is_left_out(usage: object) -> None:
    """The row is paid for and kept, its tokens are unknown: not zero."""
    parsed = parse(answer({"usage": usage}))
    assert judge(parsed)[0] is Outcome.SUCCEEDED
    assert parsed.usage is None


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 7.0, "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": None},
        {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {}},
        {"input_tokens": None, "prompt_tokens": 7, "output_tokens": 3},
    ],
)
def test_usage_in_odd_shapes(usage: object) -> None:
    """Numbers as text and missing details are understood."""
    assert parse(answer({"usage": usage})).usage == TokenUsage(input=7, output=3)


@pytest.mark.parametrize("odd", [[], "none", {"reasoning_tokens": "none"}, {"cached": 5}, 0.5])
def test_only_the_odd_part_of_usage_is_left_out(odd: object) -> None:
    """What is readable is counted."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "completion_tokens_details": odd}
    assert parse(answer({"usage": usage})).usage == TokenUsage(input=7, output=3)


def test_each_side_of_usage_is_read_by_itself() -> None:
    """An odd input does not lose the output, nor its details."""
    usage = {
        "input_tokens": "many",
        "input_tokens_details": {"cached_tokens": "2"},
        "output_tokens": 3.0,
        "output_tokens_details": {"reasoning_tokens": 1},
    }
    expected = TokenUsage(input=0, cached=2, output=3, reasoning=1)
    assert parse(answer({"usage": usage})).usage == expected


def test_old_vllm_line() -> None:
    """The completion stands directly in the response, without status code and body."""
    completion = {"id": "cmpl-1", "object": "chat.completion", "choices": []}
    parsed = parse(line(completion))
    assert (parsed.answered, parsed.status_code) == (True, None)
    assert judge(parsed) == (Outcome.SUCCEEDED, None)


def test_old_vllm_line_has_its_tokens() -> None:
    """They stand where the rest of the completion stands."""
    usage: dict[str, object] = {"prompt_tokens": 7, "completion_tokens": 3}
    assert parse(line({"choices": [], "usage": usage})).usage == TokenUsage(input=7, output=3)
    usage["completion_tokens_details"] = "none"
    assert parse(line({"choices": [], "usage": usage})).usage == TokenUsage(input=7, output=3)


# Rule 5: the message


@pytest.mark.parametrize(
    "above",
    [{"code": "http_error"}, {"code": "http_error", "message": ""}, {"code": 400, "message": None}],
)
def test_message_in_the_body_is_found(above: object) -> None:
    """`error.message`, else `response.body.error.message`."""
    parsed = parse(line({"status_code": 400, "body": {"error": {"message": "real"}}}, above))
    error = judge(parsed)[1]
    assert error is not None
    assert error.message == "real"


def test_empty_message_is_none_however_odd_the_line() -> None:
    """The same error reads the same, whether the status code is a number or text."""
    for status_code in (400, "400"):
        parsed = parse(
            line(
                {"status_code": status_code, "body": {"error": {"message": "real"}}},
                {"code": None, "message": ""},
            )
        )
        assert judge(parsed)[1] == RequestProblem(None, "real")


@pytest.mark.parametrize("message", ["", None])
def test_error_without_message_has_none(message: str | None) -> None:
    """What the line does not say is left to `judge`, which has one sentence for it."""
    for status_code in (400, "400"):
        parsed = parse(answer({"error": {"code": "x", "message": message}}, status_code))
        assert parsed.body_error == RequestProblem("x", "")
        assert judge(parsed)[1] == RequestProblem(
            "x", "The provider reported a failure without saying why."
        )


# Lines that belong to no request


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the line is not valid JSON"),
        (b"{", "the line is not valid JSON"),
        (b'{"custom_id":"a","response":{"status', "the line is not valid JSON"),
        (b"\x00", "the line is not valid JSON"),
        (b"[" * NESTED, "the line is not valid JSON"),
        (b'{"custom_id":"a","x":' + b"[" * NESTED, "the line is not valid JSON"),
        (b'{"custom_id":"\xff"}', "the line is not UTF-8"),
        ([], "the line is not a JSON object"),
        (None, "the line is not a JSON object"),
        ("a", "the line is not a JSON object"),
        ({}, "the line has no custom_id"),
        ({"custom_id": None, "response": {}}, "the line has no custom_id"),
        ({"custom_id": 5, "response": {}}, "the line has no custom_id"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_unreadable_line_says_why(content: object, problem: str) -> None:
    """It has no request and no outcome, only its bytes and the reason."""
    parsed = parse(content)
    assert parsed.custom_id is None
    assert parsed.problem is not None
    assert parsed.problem.startswith(problem)


@pytest.mark.parametrize("value", [rb'"\ud83d"', rb'"\ude00 and more"', b"NaN", b"-Infinity"])
def test_paid_row_with_odd_text_is_kept(value: bytes) -> None:
    """A cut emoji or a NaN among the log probabilities is no reason to lose an answer."""
    parsed = parse(
        b'{"custom_id":"a","response":{"status_code":200,"body":{"x":' + value + b'}},"error":null}'
    )
    assert judge(parsed) == (Outcome.SUCCEEDED, None)
    assert parsed.custom_id == "a"


@pytest.mark.parametrize(
    "content",
    [
        rb'{"custom_id":"a\ud83d","error":null}',
        rb'{"custom_id":"a","error":"cut \ud83d"}',
        rb'{"custom_id":"a","error":{"code":"\ude00","message":"cut \ud83d"}}',
        rb'{"custom_id":"a","error":{"code":["\ud83d"],"message":{"x":"\ud83d"}}}',
        rb'{"custom_id":"a","response":{"status_code":400,"body":{"error":"\ud83d"}}}',
        rb'{"custom_id":"a","response":{"status_code":NaN,"body":{"usage":{"input_tokens":NaN}}}}',
        rb'{"custom_id":"a","response":{"status_code":Infinity,"body":{"usage":[Infinity]}}}',
    ],
)
def test_odd_text_can_be_recorded(content: bytes) -> None:
    """Halves of surrogate pairs are read, but nothing could store them."""
    parsed = parse(content)
    assert parsed.problem is None
    msgspec.msgpack.encode((parsed, judge(parsed)))


def test_odd_characters_are_kept() -> None:
    """Escapes, separators and emoji do not stand in the way."""
    text = "\u2028 \x00 \x85 \U0001f600"
    for ascii_only in (True, False):
        raw = json.dumps(answer({"text": text}), ensure_ascii=ascii_only).encode()
        assert judge(parse(raw))[0] is Outcome.SUCCEEDED


# Whatever comes, it can be recorded


@pytest.mark.parametrize(
    "content",
    [
        answer({}, 10**30),
        answer({}, "1" * 30),
        answer({"usage": {"input_tokens": 10**30}}),
        answer({"usage": {"input_tokens": "1" * 30}}),
        answer({"usage": {"output_tokens_details": {"reasoning_tokens": 10**30}}}),
    ],
)
def test_absurd_numbers_can_be_recorded(content: object) -> None:
    """The line belongs to its request, and the store takes what was read of it."""
    parsed = parse(content)
    assert parsed.custom_id == "a"
    msgspec.msgpack.encode(parsed)


@pytest.mark.parametrize(("count", "read"), [(2**46 - 1, 2**46 - 1), (2**46, 0), (-1, 0)])
@pytest.mark.parametrize("side", ["input", "output"])
def test_tokens_are_bounded(side: str, count: int, read: int) -> None:
    """A number that no answer can have counts nothing, so that sums stay storable."""
    usage = parse(answer({"usage": {f"{side}_tokens": count}})).usage
    assert usage == TokenUsage(**{side: read})


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({}, None),
        ({"input_tokens": None, "output_tokens": None}, None),
        ({"total_tokens": 5}, None),
        ({"output_tokens_details": {"reasoning_tokens": 5}}, None),
        ({"input_tokens": 0}, TokenUsage()),
        ({"input_tokens": 0, "prompt_tokens": 5}, TokenUsage(input=5)),
        (
            {
                "input_tokens": 5,
                "input_tokens_details": {},
                "prompt_tokens_details": {"cached_tokens": 3},
            },
            TokenUsage(input=5),
        ),
        (
            {  # as xAI documents it: 32 + 9 + 94
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
            },
            TokenUsage(input=32, output=103, reasoning=94),
        ),
        (  # as Gemini answers, without a word on the rest
            {"prompt_tokens": 11, "completion_tokens": 9, "total_tokens": 57},
            TokenUsage(input=11, output=46),
        ),
        (
            {"input_tokens": 5, "output_tokens": 3, "total_tokens": 7},
            TokenUsage(input=5, output=3),
        ),
        (
            {"input_tokens": 5, "output_tokens": 3, "total_tokens": -1},
            TokenUsage(input=5, output=3),
        ),
        ({"completion_tokens": 9, "total_tokens": 57}, TokenUsage(output=9)),
        (
            {"prompt_tokens": 0, "completion_tokens": 9, "total_tokens": 57},
            TokenUsage(output=9),
        ),
        (
            {"prompt_tokens": -1, "completion_tokens": 9, "total_tokens": 57},
            TokenUsage(output=9),
        ),
    ],
)
@pytest.mark.parametrize("status", [200, "200"])
def test_usage_is_read_the_same_beside_an_odd_part(
    usage: object, read: TokenUsage | None, status: object
) -> None:
    """A usage that tells nothing is not known, and costs are not 0; no reasoning is left out."""
    assert parse(answer({"usage": usage}, status)).usage == read


def test_a_byte_order_mark_before_the_first_line() -> None:
    """It belongs to no line, and the result to its request."""
    line = b"\xef\xbb\xbf" + json.dumps(answer({"usage": {"input_tokens": 5}})).encode()
    parsed = parse_result_line(RawLine(0, line))
    assert (parsed.custom_id, parsed.usage) == ("a", TokenUsage(input=5))


@pytest.mark.parametrize("field", ["input_tokens", "other"])
def test_a_number_beyond_python(field: str) -> None:
    """The line is its request's, whatever the number is worth."""
    line = json.dumps(answer({"usage": {"output_tokens": 5, field: 7}}))
    parsed = parse_result_line(RawLine(0, line.replace("7", "7" * 5_000).encode()))
    assert (parsed.custom_id, parsed.usage) == ("a", TokenUsage(output=5))


def test_negative_tokens_are_not_counted() -> None:
    """No answer gives tokens back."""
    for few in (-5, "-5", -5.0):
        usage = parse(answer({"usage": {"input_tokens": few, "output_tokens": 3}})).usage
        assert usage == TokenUsage(output=3)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "200", "x", "batch_expired"])
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("status_code", "body", "error", "code", "message", "x"),
                    *("usage", "input_tokens", "prompt_tokens"),
                    *("input_tokens_details", "cached_tokens"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(response=_json, error=_json)
def test_any_shape_belongs_to_its_request(response: object, error: object) -> None:
    """However odd the rest is: the line is read, has an outcome, and can be recorded."""
    parsed = parse(line(response, error))
    assert (parsed.custom_id, parsed.problem) == ("a", None)
    outcome, said = judge(parsed)
    assert (outcome is Outcome.SUCCEEDED) == (said is None)
    msgspec.msgpack.encode(parsed)


@given(st.binary())
def test_any_bytes_are_read_or_explained(raw: bytes) -> None:
    """Nothing that stands in a file stops the reader."""
    parsed = parse(raw)
    assert (parsed.custom_id is None) == (parsed.problem is not None)


def test_any_shape_reads_the_same_in_both_ways() -> None:
    """An odd part changes nothing about the parts that are as usual."""
    usage: dict[str, Any] = {"prompt_tokens": 7, "completion_tokens": 3}
    error = {"code": "x", "message": "No."}
    usual = parse(line({"status_code": 400, "body": {"usage": usage, "error": error}}, error))
    odd = parse(line({"status_code": "400", "body": {"usage": usage, "error": error}}, error))
    for name in ("custom_id", "answered", "status_code", "error", "body_error", "usage"):
        assert getattr(usual, name) == getattr(odd, name), name


@pytest.mark.parametrize(
    "response",
    [
        {"body": None, "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
        {"body": None, "error": {"code": "x", "message": "No."}},
        {"body": {"usage": {"input_tokens": 0, "output_tokens": 0}}},
    ],
    ids=["null body, usage", "null body, error", "no tokens"],
)
def test_rare_shapes_read_the_same_in_both_ways(response: dict[str, Any]) -> None:
    """As above, for parts that few servers send."""
    usual, odd = (parse(line({**response, "status_code": code})) for code in (400, "400"))
    assert (usual.body_error, usual.usage) == (odd.body_error, odd.usage)
