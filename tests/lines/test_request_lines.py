"""One request line: what is read of it, and what is refused, with its line and field."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from batchtrail.application.request_lines import parse_request_line
from batchtrail.domain.errors import RequestRefusedError
from batchtrail.domain.values import RequestLine

GOOD = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/responses",
    "body": {"model": "gpt-5-nano", "input": "Say hello."},
}
NESTED = 100_000


def raw(**other: Any) -> bytes:
    """A good line with some fields changed, or left out with `...`."""
    fields = {name: value for name, value in {**GOOD, **other}.items() if value is not ...}
    return json.dumps(fields).encode()


def with_body(body: bytes) -> bytes:
    return b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":' + body + b"}"


def with_value(value: bytes) -> bytes:
    """A good line with some JSON where no rule looks."""
    return with_body(b'{"model":"gpt-5-nano","x":' + value + b"}")


def refusal(line: bytes) -> RequestRefusedError:
    with pytest.raises(RequestRefusedError) as refused:
        parse_request_line(7, line)
    assert refused.value.line == 7
    assert str(refused.value).startswith("line 7")
    return refused.value


def test_line_is_read() -> None:
    """The fields that rules need, and the line as it is."""
    line = raw()
    assert parse_request_line(7, line) == RequestLine(
        number=7,
        custom_id="a",
        method="POST",
        url="/v1/responses",
        model="gpt-5-nano",
        stream=False,
        raw=line,
    )


@pytest.mark.parametrize("name", ["custom_id", "method", "url", "body"])
def test_missing_field_is_named(name: str) -> None:
    """Every line needs all four."""
    error = refusal(raw(**{name: ...}))
    assert (error.field, error.problem) == (name, "is missing; every request needs one")


@pytest.mark.parametrize("name", ["custom_id", "method", "url"])
@pytest.mark.parametrize("value", [None, 5, 1.5, True, ["a"], {"a": "b"}, 10**15])
def test_field_of_another_type_is_named(name: str, value: object) -> None:
    """A number is no custom_id, even if it looks like one."""
    error = refusal(raw(**{name: value}))
    assert (error.field, error.problem) == (name, "must be a string; put it in quotes")


@pytest.mark.parametrize("body", [None, "text", 5, True, [], [{"model": "m"}]])
def test_body_of_another_type_is_named(body: object) -> None:
    """The body is an object."""
    error = refusal(raw(body=body))
    assert (error.field, error.problem) == ("body", "must be a JSON object")


@pytest.mark.parametrize("model", [5, True, ["gpt-5"], {"name": "gpt-5"}])
def test_model_of_another_type_is_named(model: object) -> None:
    """A model is a name."""
    error = refusal(raw(body={"model": model}))
    assert (error.field, error.problem) == ("body.model", "must be a string")


@pytest.mark.parametrize("body", [{}, {"model": None}])
def test_absent_model_is_left_to_the_rules(body: dict[str, None]) -> None:
    """Whether a model is needed depends on the endpoint."""
    assert parse_request_line(1, raw(body=body)).model is None


@pytest.mark.parametrize("stream", [1, 0, "true", "false", [], {}])
def test_stream_of_another_type_is_named(stream: object) -> None:
    """Anything but true and false is a mistake."""
    error = refusal(raw(body={"model": "m", "stream": stream}))
    assert (error.field, error.problem) == ("body.stream", "must be true or false")


@pytest.mark.parametrize(("value", "stream"), [(True, True), (False, False), (None, False)])
def test_stream_is_read(value: bool | None, stream: bool) -> None:
    """Only true streams."""
    line = parse_request_line(1, raw(body={"model": "m", "stream": value}))
    assert line.stream is stream


def test_first_wrong_field_is_named() -> None:
    """One sentence, about the first thing to put right."""
    assert refusal(raw(custom_id=5, url=..., body=[])).field == "custom_id"
    assert refusal(raw(url=..., body=[])).field == "url"


@pytest.mark.parametrize("value", [b"[]", b'"text"', b"5", b"null", b"true"])
def test_line_that_is_no_object_is_refused(value: bytes) -> None:
    """The sentence shows what a line looks like."""
    error = refusal(value)
    assert error.field is None
    assert error.problem.startswith('is not a JSON object; write {"custom_id"')


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"hello",
        b"{",
        b'{"custom_id":"a"',
        b"{'custom_id':'a'}",
        raw() + b" x",
        raw() + raw(),
        raw() + b",",
        raw() + b"\x00",
        b"\x00" + raw(),
        b"\xef\xbb\xbf" + raw(),
        with_value(b"NaN"),
        with_value(b"-Infinity"),
        with_value(b"01"),
        with_value(b"1."),
        with_value(b"[1,]"),
        with_value(b'"\x00"'),
        with_value(b'"\x1f"'),
        with_value(rb'"\q"'),
        with_value(rb'"\u12"'),
        b"[" * NESTED,
        b'{"a":' * NESTED,
        with_value(b"[" * NESTED + b"]" * NESTED),
        with_value(b'{"a":' * NESTED + b"1" + b"}" * NESTED),
    ],
    ids=lambda line: line[-30:],
)
def test_line_that_is_not_json_is_refused(line: bytes) -> None:
    """Not even where no rule looks: the provider would refuse the whole batch."""
    error = refusal(line)
    assert error.field is None
    assert error.problem.startswith("is not valid JSON (")
    assert error.problem.endswith("; write each request whole, on a line of its own")


@pytest.mark.parametrize(
    ("value", "half"),
    [
        (rb'"\ud83d"', "ud83d"),
        (rb'"\ude00 and so on, for a while"', "ude00"),
        (rb'"\ud83dA and so on, for a while"', "ud83d"),
        (rb'"\uD83D\ud83d\ude00"', "ud83d"),
    ],
)
def test_half_of_a_character_is_refused(value: bytes, half: str) -> None:
    """Whoever cuts texts by UTF-16 makes such; the sentence names the field and the remedy."""
    error = refusal(with_value(value))
    assert error.problem == (
        f"holds \\{half}, half of a surrogate pair, as a text does that was cut within a "
        "character; write the whole character, or leave it out"
    )


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("a", r"\ud83d", "custom_id"),
        ("gpt-5-nano", r"\ud83d", "body.model"),
        ("Say hi.", r"\ud83d", "body.messages[0].content"),
        ("content", r"\ud83d", r"body.messages[0].\ud83d"),
    ],
)
def test_half_of_a_character_is_found(old: str, new: str, field: str) -> None:
    """In any field, and in the name of one."""
    body = {"model": "gpt-5-nano", "messages": [{"role": "user", "content": "Say hi."}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    raw = json.dumps(line).replace(f'"{old}"', f'"{new}"').encode()
    assert refusal(raw).field == field


@pytest.mark.parametrize(
    ("line", "byte"),
    [(b"\xff", 1), (raw()[:15] + b"\xe9" + raw()[16:], 16), (with_value(b'"\xed\xa0\x80"'), 90)],
)
def test_line_that_is_not_utf8_is_refused(line: bytes, byte: int) -> None:
    """The sentence says where, and what to do."""
    error = refusal(line)
    assert error.field is None
    assert "is not UTF-8" in error.problem
    assert f"(byte {byte} of the line)" in error.problem


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 400,
        b"-" + b"9" * 400,
        b"1e999",
        b"0.1e-999",
        b'"\\u0000"',
        b'"\\ud83d\\ude00"',
        "\u2028\u2029\x85".join('""').encode(),
        b"[" * 100 + b"]" * 100,
    ],
)
def test_odd_values_pass_untouched(value: bytes) -> None:
    """What a body says is between the user and the provider."""
    line = with_value(value)
    assert parse_request_line(1, line).raw == line


@pytest.mark.parametrize("custom_id", ["\x00", "ä", "\U0001f600", "\u2028", " a ", "x" * 10_000])
def test_custom_id_is_kept_as_it_is(custom_id: str) -> None:
    """Escaped or not, trimmed by nobody."""
    for ascii_only in (True, False):
        line = json.dumps({**GOOD, "custom_id": custom_id}, ensure_ascii=ascii_only).encode()
        assert parse_request_line(1, line).custom_id == custom_id


@pytest.mark.parametrize(
    "line",
    [
        b'{"custom_id":"x","method":"GET","url":"/v1/files","body":5,' + raw()[1:],
        with_body(b'{"model":"x","stream":true,"model":"gpt-5-nano","stream":false}'),
    ],
    ids=["line", "body"],
)
def test_last_of_duplicate_keys_counts(line: bytes) -> None:
    """As providers' parsers read it: what is checked is what would run."""
    try:
        parsed = parse_request_line(1, line)
    except RequestRefusedError:
        return  # to refuse the line is as good
    assert (parsed.custom_id, parsed.url) == ("a", "/v1/responses")
    assert (parsed.model, parsed.stream) == ("gpt-5-nano", False)


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("custom_id", "method", "url", "body", "x"), _json)
    ),
    st.booleans(),
)
def test_any_object_is_read_or_refused(fields: dict[str, Any], ascii_only: bool) -> None:
    """No JSON, however odd, leads to anything but a line or a sentence about it."""
    line = json.dumps({**GOOD, **fields}, ensure_ascii=ascii_only).encode("utf-8", "replace")
    try:
        parsed = parse_request_line(1, line)
    except RequestRefusedError:
        assert refusal(line).problem
    else:
        assert parsed.custom_id == fields.get("custom_id", "a")
        assert parsed.raw == line


@given(st.binary())
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    """Random bytes are no request."""
    assert refusal(line).problem
