import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from batchtrail.adapters.openai import wire
from batchtrail.adapters.openai.wire import UnexpectedAnswerError
from batchtrail.application.ports import CreateRequest, ProviderBatch
from batchtrail.domain.status import BatchStatus
from batchtrail.domain.values import BatchProblem, RequestCounts, StatusReport, TokenUsage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
FIELDS = [
    "status", "request_counts", "output_file_id", "error_file_id", "errors", "error", "usage",
    "model", "input_file_id", "metadata", "created_at",
]  # fmt: skip


def read(**fields: Any) -> ProviderBatch:
    """Read a batch that has these fields beside an id."""
    return wire.read_batch(json.dumps({"id": "batch_1", "status": "validating"} | fields).encode())


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("validating", BatchStatus.IN_PROGRESS),
        ("in_progress", BatchStatus.IN_PROGRESS),
        ("finalizing", BatchStatus.IN_PROGRESS),
        ("cancelling", BatchStatus.IN_PROGRESS),
        ("completed", BatchStatus.ENDED),
        ("COMPLETED", BatchStatus.ENDED),
        ("failed", BatchStatus.FAILED),
        ("Expired", BatchStatus.EXPIRED),
        ("Validating", BatchStatus.IN_PROGRESS),
        ("InProgress", BatchStatus.IN_PROGRESS),
        ("Cancelled", BatchStatus.CANCELED),
        ("PROGRESS", BatchStatus.IN_PROGRESS),
        ("pre_schedule", BatchStatus.IN_PROGRESS),
        ("cancelled", BatchStatus.CANCELED),
        ("canceled", BatchStatus.CANCELED),
    ],
)
def test_each_status_has_our_word_and_keeps_the_raw_one(word: str, status: BatchStatus) -> None:
    """Azure's older interfaces capitalise, other servers shout."""
    report = read(status=word).report
    assert (status, word) == (report.status, report.raw_status)


@pytest.mark.parametrize(
    ("word", "is_canceling"),
    [("cancelling", True), ("CANCELING", True), ("cancelled", False), ("in_progress", False)],
)
def test_a_cancellation_under_way_is_seen(word: str, is_canceling: bool) -> None:
    """Ours has one status for all that runs, and this mark beside it."""
    assert is_canceling is read(status=word).report.is_canceling


def test_an_unknown_status_counts_as_running_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """To give up a batch for a new word would lose paid results; each word is told once."""
    wire._unknown.cache_clear()
    with caplog.at_level(logging.WARNING):
        reports = [read(status=word).report for word in ("Paused-1", "Paused-2", "Paused-1")]
    assert {report.status for report in reports} == {BatchStatus.IN_PROGRESS}
    assert [report.raw_status for report in reports] == ["Paused-1", "Paused-2", "Paused-1"]
    assert [record.args for record in caplog.records] == [("Paused-1",), ("Paused-2",)]


@pytest.mark.parametrize("word", ["in_progress", "InProgress", "PROGRESS", "pre_schedule"])
def test_a_known_status_gives_no_warning(word: str, caplog: pytest.LogCaptureFixture) -> None:
    """A warning on each poll would hide the ones that matter."""
    read(status=word)
    assert caplog.text == ""


def test_a_full_object_is_read() -> None:
    """Every field of the port's value comes from its own key."""
    batch = wire.read_batch(
        json.dumps(
            {
                "id": "batch_7",
                "object": "batch",
                "status": "completed",
                "model": "gpt-5-nano-2025-08-07",
                "input_file_id": "file-in",
                "output_file_id": "file-out",
                "error_file_id": "file-err",
                "created_at": 1787150602,
                "request_counts": {"total": 3, "completed": 2, "failed": 1},
                "usage": {
                    "input_tokens": 36,
                    "input_tokens_details": {"cached_tokens": 5},
                    "output_tokens": 224,
                    "output_tokens_details": {"reasoning_tokens": 128},
                    "total_tokens": 260,
                },
                "metadata": {"batchtrail_id": "b-1"},
                "something_new": [1, 2],
            }
        ).encode(),
        "req_1",
    )
    assert batch.id == "batch_7"
    assert batch.input_file_id == "file-in"
    assert batch.created_at == datetime(2026, 8, 19, 14, 43, 22, tzinfo=UTC)
    assert batch.metadata == {"batchtrail_id": "b-1"}
    assert batch.request_id == "req_1"
    assert batch.report.output_file_id == "file-out"
    assert batch.report.error_file_id == "file-err"
    assert batch.report.model == "gpt-5-nano-2025-08-07"
    assert batch.report.request_counts == RequestCounts(3, 2, 1)
    assert batch.report.usage == TokenUsage(36, 5, 224, 128)


@pytest.mark.parametrize("absent", [{}, {"output_file_id": None}, {"output_file_id": ""}])
def test_no_file_id_is_always_none(absent: dict[str, Any]) -> None:
    """Null, missing and empty ids all mean that there is no file."""
    assert read(**absent).report.output_file_id is None


@pytest.mark.parametrize(
    "counts", [None, {}, {"total": None}, {"total": "x"}, {"total": -1}, [], "none"]
)
def test_counts_that_are_not_given_are_zero(counts: Any) -> None:
    """Azure's older interfaces send null counts."""
    assert read(request_counts=counts).report.request_counts == RequestCounts()


@pytest.mark.parametrize(
    "usage", [None, {}, {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, "soon"]
)
def test_usage_of_zeros_is_not_known_yet(usage: Any) -> None:
    """OpenAI sends zeros from creation until the batch is completed."""
    assert read(usage=usage).report.usage is None


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        (None, ()),
        ([], ()),
        ({"object": "list", "data": None}, ()),
        ("it broke", (BatchProblem(None, "it broke"),)),
        (
            {"object": "list", "data": [{"code": "c", "message": "m", "param": "p", "line": 4}]},
            (BatchProblem("c", "m", "p", 4),),
        ),
        (
            [{"code": "c", "message": ""}, None, "t"],
            (BatchProblem("c", "c"), BatchProblem(None, "t")),
        ),
        ({"code": "c", "message": "m"}, (BatchProblem("c", "m"),)),
    ],
)  # fmt: skip
def test_errors_are_read_in_every_shape(errors: Any, expected: tuple[BatchProblem, ...]) -> None:
    """An object around a list, a bare list, one object, a text, or nothing."""
    assert expected == read(errors=errors).report.errors


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1741967568, datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        ("1741967568", datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        (1741967568.0, datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        ("2025-03-14T15:52:48Z", datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        ("2025-03-14T17:52:48+02:00", datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        ("2025-03-14T15:52:48.1234567Z", datetime(2025, 3, 14, 15, 52, 48, 123456, tzinfo=UTC)),
        ("2025-03-14T15:52:48", datetime(2025, 3, 14, 15, 52, 48, tzinfo=UTC)),
        ("2025-03-14", datetime(2025, 3, 14, tzinfo=UTC)),
        (None, None),
        ("", None),
        ("soon", None),
        (True, None),
        (10**30, None),
        (float("nan"), None),
        ("9" * 30, None),
        ("0001-01-01T00:00:00+12:00", None),
    ],
)
def test_times_are_read_in_every_shape(value: Any, expected: datetime | None) -> None:
    """Seconds, ISO 8601 with up to seven digits of fraction, dates; nonsense is None."""
    found = wire.moment(value)
    assert expected == found
    assert found is None or found.tzinfo is UTC


def test_a_time_without_a_zone_is_utc_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine that reads it may be nine hours ahead."""
    monkeypatch.setenv("TZ", "AHEAD-9")
    time.tzset()
    try:
        found = wire.moment("2025-03-14T01:02:03")
    finally:
        monkeypatch.undo()
        time.tzset()
    assert found == datetime(2025, 3, 14, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize("number", [10**19, 1e30, -(10**30), float(10**20)])
def test_numbers_that_no_database_takes(number: float) -> None:
    """They count nothing; the batch is found, and what is said of it can be recorded."""
    body = {
        "id": "batch_1",
        "status": "completed",
        "request_counts": {"total": number, "completed": 3},
        "usage": {"input_tokens": number, "output_tokens": 5},
    }
    report = wire.read_batch(json.dumps(body).encode()).report
    assert report.request_counts == RequestCounts(total=0, completed=3, failed=0)
    assert report.usage == TokenUsage(output=5)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'\xef\xbb\xbf{"id": "batch_1", "errors": ["m"]}', "m"),
        (b'{"id": "batch_1", "progress": NaN, "errors": ["m"]}', "m"),
        (b'{"id": "batch_1", "created_at": 1e400, "errors": ["m"]}', "m"),
        (b'{"id": "batch_1", "request_counts": {"total": -Infinity}, "errors": ["m"]}', "m"),
        (b'{"id": "batch_1", "a": 1%s, "errors": ["m"]}' % (b"0" * 5_000), "m"),
        (b'{"id": "batch_1", "errors": ["cut \\ud83d"]}', "cut \\ud83d"),
        (b'{"id": "batch_1", "metadata": {"\\ud83d": "\\ude00"}, "errors": ["m"]}', "m"),
        (b'{"id": "batch_1", "errors": ["caf\xe9"]}', "caf\ufffd"),
    ],
)
def test_what_is_almost_json_is_read(body: bytes, message: str) -> None:
    """As result lines are; else the batch would be asked for in vain until it is given up."""
    batch = wire.read_batch(body)
    assert (batch.id, batch.report.errors) == ("batch_1", (BatchProblem(None, message),))
    assert batch.report.request_counts == RequestCounts()
    assert str(batch).encode()


def test_almost_json_in_a_list_and_in_an_error() -> None:
    """An entry that is not ours must not hide ours, nor a mark the code of a refusal."""
    page = wire.read_batches(b'{"data": [{"id": "a", "progress": NaN}, {"id": "b"}]}')
    assert [batch.id for batch in page.items] == ["a", "b"]
    body = b'\xef\xbb\xbf{"error": {"message": "No credit", "code": "insufficient_quota"}}'
    assert wire.read_error(429, body) == wire.ErrorBody("No credit", "insufficient_quota")
    wire.check_json_object(b'\xef\xbb\xbf{"n": NaN}')


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.booleans())
def test_no_field_but_the_id_can_break_the_reading(fields: dict[str, Any], extra: bool) -> None:
    """Whatever Python's own JSON puts into a field, the batch is still found by its id."""
    body = {"id": "batch_1"} | fields | ({"extra": fields} if extra else {})
    batch = wire.read_batch(json.dumps(body).encode())
    assert batch.id == "batch_1"
    assert all(isinstance(value, str) for value in batch.metadata.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_batch_or_an_unexpected_answer(body: bytes) -> None:
    """No other exception may escape: the outcome of a create call hangs on it."""
    with pytest.raises(UnexpectedAnswerError):
        wire.read_batch(body)


def test_each_cut_of_an_answer_is_noticed() -> None:
    """A connection that breaks off leaves any beginning of the JSON text."""
    whole = json.dumps({"id": "batch_1", "status": "validating", "metadata": {"a": "é"}}).encode()
    for length in range(len(whole)):
        with pytest.raises(UnexpectedAnswerError):
            wire.read_batch(whole[:length])


@given(st.integers(100, 999), st.binary(max_size=400))
def test_any_error_body_gives_a_short_sentence(status: int, body: bytes) -> None:
    """Error pages come from proxies, and can be anything."""
    message = wire.read_error(status, body).message
    assert 0 < len(message) < 400
    assert "\n" not in message


@pytest.mark.parametrize(
    "body", [b"{}", b'{"id": ""}', b'{"id": null}', b"[]", b"null", b'{"id": 7}']
)
def test_a_batch_without_an_id_is_unexpected(body: bytes) -> None:
    """Without its id a batch can never be asked for again."""
    with pytest.raises(UnexpectedAnswerError):
        wire.read_batch(body)


@pytest.mark.parametrize("read", [wire.read_batch, wire.read_batches])
def test_an_error_in_a_success_keeps_its_words(
    read: Callable[[bytes], object], caplog: pytest.LogCaptureFixture
) -> None:
    """As gateways send it: nobody else says why a batch cannot be seen, and it has no status."""
    with pytest.raises(UnexpectedAnswerError, match=r"^.* has no `?(id|data)`?: It vanished\.$"):
        read(b'{"error": {"message": "It vanished.", "type": "server_error", "code": null}}')
    assert caplog.text == ""


def test_the_usual_error_envelope_is_read() -> None:
    """The provider's own words are kept, and its type, which sometimes holds the code."""
    body = {"error": {"message": "No.", "type": "t", "param": "p", "code": 404}, "detail": "x"}
    assert wire.read_error(400, json.dumps(body).encode()) == wire.ErrorBody("No.", "404", "p", "t")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "no such key"}', "no such key"),
        (b'{"detail": "not here"}', "not here"),
        (b'[{"error": {"message": "from a list"}}]', "from a list"),
        (b"", "the server answered 502 Bad Gateway"),
        (b"{}", "the server answered 502 Bad Gateway"),
        (b"null", "the server answered 502 Bad Gateway"),
        (b'{"error": ""}', 'the server answered 502 Bad Gateway: {"error": ""}'),
        (
            b'{"error": {"message": null}}',
            'the server answered 502 Bad Gateway: {"error": {"message": null}}',
        ),
        (
            b'{\n  "fault": {\n    "text": "a < b"\n  }\n}\n',
            'the server answered 502 Bad Gateway: { "fault": { "text": "a < b" } }',
        ),
        (
            b'{"detail": [{"loc": ["body", "a"], "msg": "required"}, {"loc": [0], "msg": "no"}]}',
            "body.a: required; 0: no",
        ),
        (b'{"detail": {"error": {"message": "within"}}}', "within"),
        (b'{"Message": "not authorized"}', "not authorized"),
        (b'{"errors": [{"message": "first"}, {"message": "second"}]}', "first; second"),
        (b'{"errors": ["a text"]}', "a text"),
        (b'["1", "2", "3", "4", "5", "6"]', "1; 2; 3; 4; 5"),
        (b'{"errors": [], "message": "it broke"}', "it broke"),
        (b'{"detail": [{"msg": "where"}], "error": {"message": "why"}}', "why"),
        (b'{"error": null, "reason": "no such pool"}', "no such pool"),
        (b'{"error": "Bad Request", "message": ["no body"]}', "no body"),
        (b'{"statusCode": 400, "error": "Bad Request", "message": "no"}', "Bad Request: no"),
        (b'{"error": "invalid_grant", "error_description": "old"}', "invalid_grant: old"),
        (b'{"type": "about:blank", "title": "Bad", "detail": "it broke"}', "it broke"),
        (b"upstream  down\n", "the server answered 502 Bad Gateway: upstream down"),
        (b"\x1b[1mdown\x07", "the server answered 502 Bad Gateway: [1mdown"),
        (
            b"<html><head><style>p{}</style></head><body><h1>Bad &amp; ugly</h1></body></html>",
            "the server answered 502 Bad Gateway: Bad & ugly",
        ),
        (
            b"<html><title>502 Bad Gateway</title><p>cloudflare</p></html>",
            "the server answered 502 Bad Gateway",
        ),
    ],
)
def test_other_error_bodies_give_one_sentence(body: bytes, message: str) -> None:
    """Markup and line breaks go, what a person can read stays."""
    assert message == wire.read_error(502, body).message


def test_codes_are_found_in_every_shape() -> None:
    """They decide what comes next; and LiteLLM writes Python's None for one that is not there."""
    error = {"message": "m", "code": "insufficient_quota", "param": "None", "type": "None"}
    for body in (error, {"error": error}, {"errors": [error]}, {"detail": {"error": error}}):
        found = wire.read_error(429, json.dumps(body).encode())
        assert found == wire.ErrorBody("m", "insufficient_quota")
    assert wire.read_error(429, b'{"error": {"message": "", "code": "c"}}').code == "c"


@given(
    st.integers(100, 999),
    JSON,
    st.sampled_from([(b'{"error":', b"}"), (b"[", b"]")]),
    st.integers(0, 2000),
)
@example(400, "no", (b"[", b"]"), 900)
def test_any_json_error_gives_a_short_sentence(
    status: int, inner: Any, envelope: tuple[bytes, bytes], depth: int
) -> None:
    """Whatever stands in the envelopes, and however many there are."""
    body = envelope[0] * depth + json.dumps(inner).encode() + envelope[1] * depth
    message = wire.read_error(status, body).message
    assert 0 < len(message) < 400
    assert "\n" not in message


@pytest.mark.parametrize(
    ("answer", "ids", "after"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}], "has_more": True}, ["a", "b"], "b"),
        ({"data": [{"id": "a"}], "last_id": "z", "has_more": True}, ["a"], "z"),
        ({"data": [{"id": "a"}], "last_id": "a", "has_more": False}, ["a"], None),
        ({"data": [{"id": "a"}]}, ["a"], None),
        ({"data": [{"id": str(i)} for i in range(100)]}, [str(i) for i in range(100)], "99"),
        ({"data": [], "has_more": False}, [], None),
        ({"data": [{"id": "a"}], "has_more": "false"}, ["a"], None),
        ({"data": [{"id": "a"}], "has_more": "False"}, ["a"], None),
        ({"data": [{"id": "a"}], "has_more": ""}, ["a"], None),
        ({"data": [{"id": "a"}], "has_more": "true"}, ["a"], "a"),
        ({"data": [{"id": "a"}], "has_more": "True"}, ["a"], "a"),
        ({"data": [{"id": "a"}], "has_more": " true\n"}, ["a"], "a"),
        ({"data": [{"id": "a"}] * 100, "has_more": "false"}, ["a"] * 100, None),
        ([{"id": "a"}], ["a"], None),
    ],
)
def test_pages_know_their_cursor(answer: Any, ids: list[str], after: str | None) -> None:
    """A full page without `has_more` is followed up; a bare array is the whole list."""
    page = wire.read_batches(json.dumps(answer).encode())
    assert (ids, after) == ([batch.id for batch in page.items], page.after)


@pytest.mark.parametrize(
    "answer", [{}, {"data": None}, {"data": [{}]}, {"data": [1]}, {"data": [], "has_more": True}]
)
def test_a_page_that_hides_a_batch_is_unexpected(answer: Any) -> None:
    """A search must not end at a page that it could not read."""
    with pytest.raises(UnexpectedAnswerError):
        wire.read_batches(json.dumps(answer).encode())


def test_a_file_without_a_size_has_what_was_sent() -> None:
    """Not all compatible servers count, and some write 0 for what they do not know."""
    for told in (b"", b', "bytes": null', b', "bytes": 0', b', "bytes": "0"', b', "bytes": -1'):
        assert wire.read_file(b'{"id": "file-1"%s}' % told, sent=12).size == 12
    assert wire.read_file(b'{"id": "file-1", "bytes": 7}', sent=12).size == 7


@pytest.mark.parametrize(
    ("body", "gone"),
    [(b"", True), (b'{"deleted": true}', True), (b"{}", True), (b'{"deleted": false}', False)],
)
def test_a_delete_answer_says_whether_the_file_is_gone(body: bytes, gone: bool) -> None:
    """Some servers answer 204 without a body."""
    assert gone is wire.read_deleted(body)


def test_a_create_body_has_metadata_only_when_there_is_some() -> None:
    """Some compatible servers refuse an empty object."""
    bare = json.loads(wire.create_body(CreateRequest("file-1", "/v1/responses", "24h", {})))
    assert bare == {
        "input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h",
    }  # fmt: skip
    tagged = wire.create_body(CreateRequest("file-1", "/v1/responses", "24h", {"id": "1"}))
    assert json.loads(tagged) == bare | {"metadata": {"id": "1"}}


LITELLM_ID = "bGl0ZWxsbV9wcm94eTp" * 20 + "="
OTHER_SERVERS = [
    pytest.param(
        {
            "id": "batch-1",
            "status": "IN_PROGRESS",
            "created_at": "2026-08-19T14:43:22.123Z",
            "progress": 45.0,
            "error": None,
        },
        StatusReport(BatchStatus.IN_PROGRESS, "IN_PROGRESS"),
        id="Together",
    ),
    pytest.param(
        {
            "id": "batch-1",
            "status": "FAILED",
            "created_at": "2026-08-19T14:43:22Z",
            "error": "the file has no rows",
            "output_file_id": "",
            "error_file_id": "",
        },
        StatusReport(
            BatchStatus.FAILED, "FAILED", errors=(BatchProblem(None, "the file has no rows"),)
        ),
        id="Together-failed",
    ),
    pytest.param(
        {
            "id": "batch-1",
            "status": "PROGRESS",
            "created_at": 1787150602,
            "request_counts": {"total": 3, "completed": 1, "failed": 0},
        },
        StatusReport(BatchStatus.IN_PROGRESS, "PROGRESS", RequestCounts(3, 1)),
        id="Novita",
    ),
    pytest.param(
        {
            "id": "batch-1",
            "status": "pre_schedule",
            "created_at": 1787150602,
            "errors": [],
            "output_file_id": None,
        },
        StatusReport(BatchStatus.IN_PROGRESS, "pre_schedule"),
        id="kluster",
    ),
    pytest.param(
        {
            "id": "batch-1",
            "status": "failed",
            "created_at": 1787150602,
            "errors": [{"code": "bad_line", "message": "no body", "line": 3}],
        },
        StatusReport(
            BatchStatus.FAILED, "failed", errors=(BatchProblem("bad_line", "no body", None, 3),)
        ),
        id="kluster-failed",
    ),
    pytest.param(
        {
            "id": LITELLM_ID,
            "status": "completed",
            "created_at": 1787150602,
            "output_file_id": LITELLM_ID,
            "error_file_id": "",
        },
        StatusReport(BatchStatus.ENDED, "completed", output_file_id=LITELLM_ID),
        id="LiteLLM",
    ),
    pytest.param(
        {
            "id": "batch_fe3f047a-de39-4068-9008-346795bfc1db",
            "status": "Failed",
            "created_at": "2024-07-19T17:13:57.2491382+00:00",
            "completed_at": "2024-07-19T17:23:18.1918498+00:00",
            "failed_at": None,
            "output_file_id": "file-out",
            "error_file_id": "file-err",
            "request_counts": {"total": 10, "completed": None, "failed": None},
            "errors": {"object": "list", "data": [{"code": "empty_file", "message": "Empty."}]},
        },
        StatusReport(
            BatchStatus.FAILED,
            "Failed",
            RequestCounts(10),
            "file-out",
            "file-err",
            (BatchProblem("empty_file", "Empty."),),
        ),
        id="Azure-failed",
    ),
]


@pytest.mark.parametrize(("answer", "report"), OTHER_SERVERS)
def test_whole_objects_of_other_servers(
    answer: dict[str, Any], report: StatusReport, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is read as its own documentation or client writes it, without a warning."""
    batch = wire.read_batch(json.dumps(answer).encode())
    assert batch.report == report
    assert batch.id == answer["id"]
    assert batch.created_at is not None
    assert caplog.text == ""


def test_a_file_of_groq_has_no_status() -> None:
    """It is nothing that anybody needs."""
    body = {"id": "file_01", "object": "file", "bytes": 966, "created_at": 1730723835}
    file = wire.read_file(json.dumps(body | {"purpose": "batch"}).encode(), sent=1)
    assert (file.id, file.size) == ("file_01", 966)
