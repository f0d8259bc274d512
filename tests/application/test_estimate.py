"""What an input would cost, before anything is sent; and the limit that a caller sets."""

from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from attrs import evolve
from tests.application.conftest import Lab

from batchtrail.adapters.prices import GenaiPrices
from batchtrail.adapters.sqlite import SQLiteBatchFactory
from batchtrail.application.errors import InputError, QuotaError, RefusedError, UnauthorizedError
from batchtrail.application.estimation import Estimate, estimate
from batchtrail.application.input import check_file
from batchtrail.application.ports import OPENAI_LIMITS
from batchtrail.application.runtime import Runtime
from batchtrail.application.service import BatchService
from batchtrail.application.store import Batches
from batchtrail.domain.batch import Batch
from batchtrail.domain.status import BatchStatus, Outcome

D = Decimal
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
EMBEDDINGS, COMPLETIONS = "/v1/embeddings", "/v1/completions"
CITED = [
    {"type": "url_citation", "url": "https://example.com", "title": "x"},
    {"type": "file_citation", "file_id": "file-1", "filename": "x"},
    {"type": "container_file_citation", "file_id": "file-1", "filename": "x"},
]


def estimated(tmp_path: Path, endpoint: str, *bodies: dict[str, Any]) -> Estimate:
    path = tmp_path / "in.jsonl"
    path.write_bytes(
        b"".join(
            msgspec.json.encode(
                {"custom_id": str(number), "method": "POST", "url": endpoint, "body": body}
            )
            + b"\n"
            for number, body in enumerate(bodies)
        )
    )
    return estimate(check_file(path, OPENAI_LIMITS), GenaiPrices())


def test_by_hand(tmp_path: Path) -> None:
    """Two prompts of 400 bytes, gpt-5-nano: 104 tokens each at 0.025, 1,000 out at 0.2."""
    body = {"model": "gpt-5-nano", "input": "é" * 200, "max_output_tokens": 1_000}
    found = estimated(tmp_path, RESPONSES, body, body)
    assert (found.requests, found.input_tokens, found.output_limit) == (2, 208, 2_000)
    assert found.least == D("0.0000052")  # 208 * 0.025 / 1,000,000
    assert found.most == D("0.0004052")  # and 2,000 * 0.2 / 1,000,000
    assert found.unbounded is None
    assert found.token_method == "UTF-8 bytes of the prompt texts / 4, and 4 for each message"
    assert found.price_source == GenaiPrices().source


@pytest.mark.parametrize(
    ("endpoint", "body", "tokens", "limit"),
    [
        (RESPONSES, {"input": "x" * 8, "instructions": "y" * 8}, 4 + 8, None),
        (RESPONSES, {"input": [{"role": "user", "content": "x" * 8}] * 3}, 6 + 12, None),
        (
            RESPONSES,
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 8}]}]},
            2 + 4,
            None,
        ),
        (CHAT, {"messages": [{"role": "user", "content": "x" * 8}], "max_tokens": 7}, 2 + 4, 7),
        (CHAT, {"messages": [], "max_tokens": 7, "max_completion_tokens": 9, "n": 3}, 0, 27),
        (CHAT, {"messages": [], "max_tokens": 7, "n": "three"}, 0, None),
        (CHAT, {"messages": [], "max_tokens": 7, "n": True}, 0, None),
        (CHAT, {"messages": [], "max_tokens": 7, "n": -1}, 0, None),
        (CHAT, {"messages": [], "max_tokens": 7, "n": None}, 0, 7),
        (COMPLETIONS, {"prompt": ["x" * 8, "y" * 8], "max_tokens": 5, "n": 2}, 4, 20),
        (COMPLETIONS, {"prompt": "x" * 8, "max_tokens": 5, "n": 2, "best_of": 4}, 2, 20),
        (COMPLETIONS, {"prompt": [1, 2, 3], "max_tokens": 5}, 3, 5),
        (COMPLETIONS, {"prompt": "x" * 8, "max_tokens": 0}, 2, 0),
        (COMPLETIONS, {"prompt": "x" * 8, "max_tokens": 7, "n": "three"}, 2, None),
        (COMPLETIONS, {"prompt": "x" * 8, "max_tokens": 7, "best_of": -1}, 2, None),
        (COMPLETIONS, {"prompt": "x" * 8, "max_tokens": 7, "n": 2, "best_of": 3}, 2, 21),
        (COMPLETIONS, {"prompt": ["x" * 8, [1, 2]], "suffix": "y" * 8, "max_tokens": 5}, 8, 10),
        (COMPLETIONS, {"prompt": "x" * 8, "suffix": None, "max_tokens": 5}, 2, 5),
        (EMBEDDINGS, {"input": [[1, 2, 3], [4, 5]]}, 5, 0),
        (EMBEDDINGS, {"input": "x" * 9}, 3, 0),
    ],
)
def test_what_counts(
    tmp_path: Path, endpoint: str, body: dict[str, Any], tokens: int, limit: int | None
) -> None:
    """Every text of the prompt, and the most output that the request allows."""
    found = estimated(tmp_path, endpoint, {"model": "gpt-5", **body})
    assert found.input_tokens == tokens
    assert found.without_maximum == (limit is None)
    assert found.output_limit == (limit or 0)
    assert found.not_text == 0


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"content": [{"type": "input_image", "image_url": "data:…" * 99}]}]},
        {"input": [{"content": [{"type": "input_file", "file_id": "file-1"}]}]},
        {"input": "x", "previous_response_id": "resp_1"},
        {"input": "x", "conversation": "conv_1"},
        {"prompt": {"id": "pmpt_1"}},
        {"input": "x", "tools": [{"type": "web_search"}]},
        {"input": "x", "tools": [{"type": ["function"]}]},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"id": "msg_1"}]},
        {"input": [{"id": "msg_1", "type": None}]},
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]},
        {"input": [{"type": "image_generation_call", "id": "ig_1", "result": "…" * 99}]},
        {
            "input": [
                {
                    "type": "computer_call_output",
                    "call_id": "c",
                    "output": {"type": "computer_screenshot", "file_id": "file-1"},
                }
            ]
        },
        {"input": [{"content": [{"type": "of next year", "text": "x"}]}]},
        {"input": [{"content": [{"type": ["input_text"], "text": "x"}]}]},
    ],
)
def test_what_cannot_be_counted(tmp_path: Path, body: dict[str, Any]) -> None:
    """What is not text makes no upper bound, and no tokens of its own."""
    found = estimated(tmp_path, RESPONSES, {"model": "gpt-5", "max_output_tokens": 1, **body})
    assert (found.most, found.not_text) == (None, 1)
    assert found.least is not None
    assert "more than text" in str(found.unbounded)
    assert found.input_tokens < 30


def test_an_earlier_answer_by_its_id(tmp_path: Path) -> None:
    """What was said aloud before is elsewhere."""
    spoken = {"role": "assistant", "audio": {"id": "audio_1"}}
    body = {"model": "gpt-5", "max_tokens": 1, "messages": [spoken]}
    assert estimated(tmp_path, CHAT, body).not_text == 1


@pytest.mark.parametrize(("options", "not_text"), [(None, 0), ({}, 1)])
def test_a_search_without_options_is_a_search(
    tmp_path: Path, options: object, not_text: int
) -> None:
    """As OpenAI's guide writes it."""
    body = {"model": "gpt-4o-mini-search-preview", "messages": [], "max_tokens": 1}
    found = estimated(tmp_path, CHAT, {**body, "web_search_options": options})
    assert found.not_text == not_text


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (
            CHAT,
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "x"}]},
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {
                                "id": "call_1",
                                "type": "function",
                                "function": {"name": "look", "arguments": "{}"},
                            },
                            {
                                "id": "call_2",
                                "type": "custom",
                                "custom": {"name": "say", "input": "x"},
                            },
                        ],
                    },
                    {"role": "tool", "tool_call_id": "call_1", "content": "x"},
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                    {
                        "role": "assistant",
                        "content": "x",
                        "annotations": [{"type": "url_citation", "url_citation": {"title": "x"}}],
                    },
                    {
                        "role": "developer",
                        "content": [
                            {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
                        ],
                    },
                ],
                "max_tokens": 1,
            },
        ),
        (
            RESPONSES,
            {
                "input": [
                    {
                        "type": "message",
                        "role": "user",
                        "content": [{"type": "input_text", "text": "x"}],
                    },
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "x"},
                    {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": "x"},
                    {
                        "type": "custom_tool_call_output",
                        "call_id": "d",
                        "output": [{"type": "input_text", "text": "x"}],
                    },
                    {
                        "type": "message",
                        "id": "msg_1",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "x", "annotations": []}],
                    },
                    {
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "x", "annotations": CITED}],
                    },
                ],
                "max_output_tokens": 1,
            },
        ),
    ],
)
def test_a_conversation_that_is_sent_is_whole(
    tmp_path: Path, endpoint: str, body: dict[str, Any]
) -> None:
    """With the calls of the user's own tools, their results, and what answers cited."""
    found = estimated(tmp_path, endpoint, {"model": "gpt-5", **body})
    assert (found.not_text, found.unbounded) == (0, None)


def test_own_tools_are_text(tmp_path: Path) -> None:
    """Their definitions are sent, and counted, as JSON."""
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}}
    body = {"model": "gpt-5", "max_output_tokens": 1, "input": "", "tools": [tool]}
    found = estimated(tmp_path, RESPONSES, body)
    assert found.most is not None
    assert found.input_tokens == -(-len(msgspec.json.encode([tool])) // 4) + 4


def test_numbers_beyond_any_float(tmp_path: Path) -> None:
    """JSON has them, and a batch takes them."""
    body = b'{"model":"gpt-5","input":"x","max_output_tokens":1,"top_p":1e400}'
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":%b}\n' % body)
    assert estimate(check_file(path, OPENAI_LIMITS), GenaiPrices()).most is not None


def test_tier_of_each_request(tmp_path: Path) -> None:
    """Together they are above 272K tokens; each is below, but for the last."""
    short, long = "x" * (4 * 200_000 - 16), "x" * (4 * 272_001 - 16)
    fixed = {"model": "gpt-6-sol", "max_output_tokens": 1_000}
    texts = (short, short, long)
    found = estimated(tmp_path, RESPONSES, *({**fixed, "input": text} for text in texts))
    assert found.input_tokens == 672_001
    assert found.least == D("0.944002")  # 400,000 at 1, 272,001 at 2
    # All of the input may be written to a cache: 400,000 at 1.25, 272,001 at 2.5.
    assert found.most == D("1.1975025")  # and 2,000 at 5, 1,000 at 7.5


@pytest.mark.parametrize(
    "given", ["x" * 99, [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]]
)
def test_free_is_known(tmp_path: Path, given: object) -> None:
    """Moderation costs nothing, however much is sent, also when nobody can say how much."""
    found = estimated(tmp_path, "/v1/moderations", {"input": given})
    assert (found.least, found.most) == (D(0), D(0))
    assert found.unbounded is None


def test_unknown_model(tmp_path: Path) -> None:
    """No price is no price, and the remedy is named."""
    found = estimated(tmp_path, RESPONSES, {"model": "m", "input": "x", "max_output_tokens": 1})
    assert (found.least, found.most) == (None, None)
    assert "no batch price is known of m" in str(found.unbounded)
    assert "BATCHTRAIL_PRICES" in str(found.unbounded)


@pytest.mark.parametrize(
    ("inputs", "exceeded"),
    [
        ([2_048], []),
        ([2_049, 1], ["2,049 texts in one request; a request takes 2,048"]),
        ([2_000] * 25, []),
        ([2_000] * 25 + [1], ["50,001 texts to embed; one batch takes 50,000"]),
    ],
)
def test_limits_of_embeddings(tmp_path: Path, inputs: list[int], exceeded: list[str]) -> None:
    """How many texts a request and a batch may have."""
    bodies = [{"model": "text-embedding-3-small", "input": ["x"] * number} for number in inputs]
    assert list(estimated(tmp_path, EMBEDDINGS, *bodies).exceeded) == exceeded


def test_endpoint_without_its_version(tmp_path: Path) -> None:
    """As Azure writes it: the same rules, the same prices."""
    limits = evolve(OPENAI_LIMITS, endpoints=frozenset({"/embeddings"}))
    body = {"model": "text-embedding-3-small", "input": ["x" * 400] * 2_049}
    line = {"custom_id": "a", "method": "POST", "url": "/embeddings", "body": body}
    path = tmp_path / "in.jsonl"
    path.write_bytes(msgspec.json.encode(line))
    found = estimate(check_file(path, limits), GenaiPrices())
    assert found.most == D("0.002049")  # 204,900 tokens at 0.01 for a million
    assert len(found.exceeded) == 1


def priced(lab: Lab) -> BatchService:
    runtime = Runtime(
        Batches(SQLiteBatchFactory(lab.path)), lab.clock, actor="test", software="lab 1"
    )
    lab.runtimes.append(runtime)
    return BatchService(runtime, lab.provider, prices=GenaiPrices())


def limited(lab: Lab, custom_id: str = "a", **body: Any) -> bytes:
    fields = {"model": "gpt-5-nano", "input": "x" * 400, "max_output_tokens": 1_000, **body}
    return lab.line(custom_id, body=fields)


MOST = D("0.0002026")  # 104 tokens at 0.025 and 1,000 at 0.2


async def test_an_input_below_the_limit_is_sent(lab: Lab) -> None:
    """Exactly as much as allowed is allowed."""
    trail = priced(lab)
    requests = [limited(lab)]
    assert (await trail.estimate(requests)).most == MOST
    await trail.submit(requests, max_cost=MOST)
    assert lab.provider.count("create") == 1


@pytest.mark.parametrize(
    ("body", "max_cost", "problem"),
    [
        (
            {},
            MOST - D("1e-9"),
            r"may cost up to \$0\.0002026, more than the \$0\.000202599 allowed",
        ),
        ({}, D(0), r"more than the \$0 allowed"),
        ({"max_output_tokens": None}, D(1_000), "without a maximum of output tokens: 1 "),
        ({"model": "m"}, D(1_000), "no batch price is known of m"),
        ({"previous_response_id": "r"}, D(1_000), "send more than text: 1 "),
    ],
)
async def test_refused_before_anything_happens(
    lab: Lab, body: dict[str, Any], max_cost: Decimal, problem: str
) -> None:
    """Nothing is recorded, nothing is uploaded; the sentence says what to do."""
    trail = priced(lab)
    with pytest.raises(InputError, match=problem):
        await trail.submit([limited(lab, **body)], max_cost=max_cost)
    assert lab.provider.calls == []
    assert await trail.batches() == []


async def test_what_was_submitted_goes_on(lab: Lab) -> None:
    """The limit is for what is new: it is not refused half-way, but --new is."""
    trail = priced(lab)
    requests = [limited(lab)]
    batch = await trail.submit(requests)
    assert await trail.submit(requests, max_cost=D(0)) == batch
    with pytest.raises(InputError, match="may cost up to"):
        await trail.submit(requests, new=True, max_cost=D(0))
    assert lab.provider.count("create") == 1


async def test_what_was_recorded_but_not_sent_is_refused(lab: Lab) -> None:
    """No batch can exist yet; and as a worker would make one, the batch is named."""
    trail = priced(lab)
    lab.provider.fail_next("upload", UnauthorizedError("wrong key", http_status=401))
    with pytest.raises(UnauthorizedError) as wrong_key:
        await trail.submit([limited(lab)])
    (batch,) = await trail.batches()
    (note,) = wrong_key.value.__notes__
    assert note.startswith(f"batch {batch.id} is recorded: a worker goes on with it")
    with pytest.raises(InputError, match=f"may cost up to .* as batch {batch.id}, which a worker"):
        await trail.submit([limited(lab)], max_cost=D(0))
    assert lab.provider.count("create") == 0
    assert await trail.submit([limited(lab)], max_cost=MOST) == batch.id


async def test_what_no_worker_would_submit_is_refused_without_a_word_of_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died while it recorded the input: that is a draft, which nobody goes on with."""
    trail = priced(lab)

    def die(*_: object, **__: object) -> None:
        raise lab.Crash

    with monkeypatch.context() as patch:
        patch.setattr(Batch, "start_submission", die)
        with pytest.raises(lab.Crash):
            await trail.submit([limited(lab)])
    assert await trail.batches()
    with pytest.raises(InputError, match="may cost up to") as refused:
        await trail.submit([limited(lab)], max_cost=D(0))
    assert "worker" not in str(refused.value)


async def test_what_was_surely_not_created_is_refused(lab: Lab) -> None:
    """After an account is topped up a limit holds as before."""
    trail = priced(lab)
    lab.provider.fail_next("create", QuotaError("no credit"))
    with pytest.raises(QuotaError):
        await trail.submit([limited(lab)])
    with pytest.raises(InputError, match="may cost up to"):
        await trail.submit([limited(lab)], max_cost=D(0))
    assert lab.provider.count("create") == 1


async def test_what_is_over_goes_on_to_its_end(lab: Lab) -> None:
    """It costs nothing any more, whatever it may have cost."""
    trail = priced(lab)
    lab.provider.fail_next("upload", RefusedError("no such purpose"))
    batch_id = await trail.submit([limited(lab)])
    assert await trail.submit([limited(lab)], max_cost=D(0)) == batch_id


@pytest.mark.parametrize("given_up", [False, True])
async def test_what_may_have_been_created_goes_on(lab: Lab, *, given_up: bool) -> None:
    """A create call without an answer may be paid for already, also when nobody waits for it."""
    trail = priced(lab)
    lab.provider.lose_next_answer("create")
    if given_up:
        lab.provider.hide_from_list(times=10_000)
        lab.clock.after(1, lambda: lab.provider.fail_next("create", QuotaError("no credit")))
    else:
        lab.provider.fail_next("list", UnauthorizedError("wrong key", http_status=401))
    with pytest.raises((QuotaError, UnauthorizedError)):
        await trail.submit([limited(lab)])
    batch_id = await trail.submit([limited(lab)], max_cost=D(0))
    assert (await trail.status(batch_id)).status is BatchStatus.SUBMITTED


async def test_a_retry_below_the_limit(lab: Lab) -> None:
    """The limit is for what is asked once more, not for the whole batch again."""
    trail = priced(lab)
    batch_id = await trail.submit([limited(lab), limited(lab, "b")])
    await trail.wait(batch_id)
    only = [Outcome.FAILED, Outcome.SUCCEEDED]
    with pytest.raises(InputError, match=r"the requests may cost up to \$0\.0004052, more than"):
        await trail.retry(batch_id, only=only, max_cost=MOST)
    with pytest.raises(InputError, match=r"^max_cost is"):
        await trail.retry(batch_id, only=only, max_cost=cast("Decimal", "1"))
    assert len(await trail.batches()) == 1
    retry_id = await trail.retry(batch_id, only=only, max_cost=2 * MOST)
    assert await trail.retry(batch_id, only=only, max_cost=D(0)) == retry_id
    assert lab.provider.count("create") == 2


async def test_a_draft_that_broke_off_is_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that were recorded but never meant to be sent yet are still new."""
    trail = priced(lab)
    save = Batches.save_batch

    def break_off(self: Batches, batch: Batch) -> None:
        if batch.submission is not None:
            raise InterruptedError
        save(self, batch)

    monkeypatch.setattr(Batches, "save_batch", break_off)
    with pytest.raises(InterruptedError):
        await trail.submit([limited(lab)])
    monkeypatch.undo()
    assert len(await trail.batches()) == 1
    with pytest.raises(InputError, match="may cost up to"):
        await trail.submit([limited(lab)], max_cost=D(0))
    assert lab.provider.calls == []
