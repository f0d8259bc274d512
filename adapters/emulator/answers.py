"""Answers to single requests: deterministic, in the shapes of OpenAI's endpoints.

The same request body gets the same answer, at a synchronous endpoint and in a batch; only the
time of creation differs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from attrs import define, frozen

from .embeddings import vector_base64, vector_json
from .errors import ApiError, below_minimum, invalid_schema
from .failures import Failure, asked_failure
from .models import dimensions_of, is_reasoning, snapshot_of
from .records import Usage
from .shapes import (
    CHAT_COMPLETION,
    COMPLETION,
    EMBEDDING,
    EMBEDDINGS,
    MODERATION,
    MODERATION_RESULT,
    PICTURE,
    PICTURES,
    REASONING,
    RESPONSE,
    VIDEO,
)
from .structured import SchemaError
from .templates import quoted
from .texts import answer_text, structured_text, texts, token_count

_DECODER: Final = msgspec.json.Decoder(dict[str, Any])
_NO_DEPLOYMENTS: Final[Mapping[str, str]] = {}
_PICTURE_TOKENS: Final = 272
_MOST_PICTURES: Final = 10
_MOST_INPUTS: Final = 2_048
"""Of one request for embeddings (OpenAI's API reference, 2026)."""
_INPUT_INVALID: Final = (
    "'$.input' is invalid. Please check the API reference: "
    "https://platform.openai.com/docs/api-reference."
)
"""OpenAI's words for too many inputs (an issue report of 2024)."""
_CLIP_LIFE: Final = 86_400
"""Seconds for which the clip of a video can be fetched (OpenAI's batch guide, 2026)."""
_LIMITS: Final = ("max_output_tokens", "max_completion_tokens", "max_tokens")


@frozen
class Answer:
    """The outcome of one request; `body` is JSON with Python's spacing."""

    status: int
    body: str
    usage: Usage | None = None
    """Tokens, for a success; None for an error."""


@define
class _Question:
    """A request, as far as it matters for its answer."""

    body: dict[str, Any]
    model: str
    """The name that was asked for, or the one behind it."""
    digest: str
    """40 hex digits made from the request."""
    seed: int
    """48 bits of the digest."""
    created: int
    answer_bytes: int | None


def answer(
    endpoint: str,
    body: bytes,
    *,
    created: float,
    answer_bytes: int | None,
    failure: Failure | None = None,
    deployments: Mapping[str, str] = _NO_DEPLOYMENTS,
) -> Answer:
    """Return the answer to a request body, or the failure that it asks for or deserves.

    A model that names a deployment is answered by the model behind it. A schema that cannot be
    used, a limit of no tokens and too many inputs to embed are answered with 400.

    Raises msgspec.DecodeError or UnicodeDecodeError for a body that is no JSON object.
    """
    request = _DECODER.decode(body)
    failure = failure or asked_failure(request)
    if failure is not None:
        return _refused(failure.error())
    digest = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    model = str(request.get("model") or "omni-moderation-latest")
    question = _Question(
        request,
        deployments.get(model, model),
        digest,
        int(digest[:12], 16),
        int(created),
        answer_bytes,
    )
    try:
        return _ENDPOINTS[endpoint](question)
    except ApiError as error:
        return _refused(error)
    except RecursionError:
        return _refused(ApiError(400, "The request is nested too deeply."))


def _refused(error: ApiError) -> Answer:
    return Answer(error.status, json.dumps(error.envelope()))


def _chat(question: _Question) -> Answer:
    form = question.body.get("response_format")
    prose = _prose(
        question, "messages", form, _dig(form, "json_schema", "schema"), "response_format"
    )
    return _written(CHAT_COMPLETION, question, prose)


def _responses(question: _Question) -> Answer:
    form = _dig(question.body, "text", "format")
    prose = _prose(question, "input", form, _dig(form, "schema"), "text.format.schema")
    metadata = question.body.get("metadata")
    return _written(
        RESPONSE,
        question,
        prose,
        status='"incomplete"' if prose.cut else '"completed"',
        incomplete='{"reason": "max_output_tokens"}' if prose.cut else "null",
        reasoning=REASONING % {"tag": question.digest} if prose.usage.reasoning else "",
        metadata=json.dumps(metadata) if metadata else "{}",
    )


def _completions(question: _Question) -> Answer:
    return _written(COMPLETION, question, _prose(question, "prompt"))


def _embeddings(question: _Question) -> Answer:
    inputs = _inputs(question.body.get("input"))
    if len(inputs) > _MOST_INPUTS:
        raise ApiError(400, _INPUT_INVALID)
    wanted = question.body.get("dimensions")
    most = dimensions_of(question.model)
    dimensions = min(wanted, most) if isinstance(wanted, int) and wanted > 0 else most
    base64 = question.body.get("encoding_format") == "base64"
    vector = vector_base64 if base64 else vector_json
    data = ", ".join(
        EMBEDDING % {"vector": vector(dimensions, _mixed(question.seed, index)), "index": index}
        for index in range(len(inputs))
    )
    tokens = sum(
        len(each) if isinstance(each, list) else token_count(len(str(each))) for each in inputs
    )
    return Answer(
        200,
        EMBEDDINGS % {"data": data, "model": quoted(question.model), "input": tokens},
        Usage(input=tokens),
    )


def _moderations(question: _Question) -> Answer:
    results = ", ".join([MODERATION_RESULT] * len(_inputs(question.body.get("input"))))
    return Answer(
        200,
        MODERATION % {"tag": question.digest, "model": quoted(question.model), "results": results},
        Usage(),
    )


def _pictures(question: _Question) -> Answer:
    wanted = question.body.get("n")
    count = wanted if isinstance(wanted, int) and 1 <= wanted <= _MOST_PICTURES else 1
    usage = Usage(
        input=token_count(len(str(question.body.get("prompt")))), output=count * _PICTURE_TOKENS
    )
    values = {
        "created": question.created,
        "data": ", ".join([PICTURE] * count),
        "input": usage.input,
        "output": usage.output,
        "total": usage.input + usage.output,
    }
    return Answer(200, PICTURES % values, usage)


def _video(question: _Question) -> Answer:
    body = question.body
    values = {
        "tag": question.digest,
        "model": quoted(question.model),
        "created": question.created,
        "expires": question.created + _CLIP_LIFE,
        "prompt": quoted(str(body.get("prompt"))),
        "size": quoted(str(body.get("size") or "720x1280")),
        "seconds": quoted(str(body.get("seconds") or "4")),
    }
    return Answer(200, VIDEO % values, Usage())


_ENDPOINTS: Final[Mapping[str, Callable[[_Question], Answer]]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completions,
    "/v1/embeddings": _embeddings,
    "/v1/images/edits": _pictures,
    "/v1/images/generations": _pictures,
    "/v1/moderations": _moderations,
    "/v1/responses": _responses,
    "/v1/videos": _video,
}
ENDPOINTS: Final = tuple(_ENDPOINTS)
"""The endpoints that a batch may address, in alphabetical order."""


@define
class _Prose:
    """A text answer before it is put into the endpoint's shape."""

    text: str
    cut: bool
    """Whether it was ended by the request's limit on tokens."""
    usage: Usage


def _prose(
    question: _Question,
    prompt_field: str,
    form: Any = None,
    schema: Any = None,
    schema_field: str = "",
) -> _Prose:
    """Return the answer to the texts of a field. Raises `ApiError` for what cannot be met."""
    body, seed = question.body, question.seed
    asked = list(texts(body.get(prompt_field))) or [""]
    if _dig(form, "type") in ("json_schema", "json_object"):
        try:
            text = structured_text(schema, asked[-1], seed)
        except SchemaError as error:
            raise invalid_schema(schema_field, str(error)) from None
    else:
        text = answer_text(asked[-1], seed, question.answer_bytes)
    tokens = token_count(len(text))
    cut = False
    reasoning = 64 * (1 + seed % 4) if is_reasoning(question.model) else 0
    for name in _LIMITS:
        limit = body.get(name)
        if not isinstance(limit, int):
            continue
        if limit < 1:
            raise below_minimum(name, limit, 1)
        if limit < tokens:
            text, tokens, cut = text[: 4 * limit], limit, True
        reasoning = min(reasoning, limit - tokens)
    usage = Usage(
        input=sum(map(token_count, map(len, asked))) + 4 * len(asked),
        output=tokens + reasoning,
        reasoning=reasoning,
    )
    return _Prose(text, cut, usage)


def _written(shape: str, question: _Question, prose: _Prose, **more: str) -> Answer:
    """Put prose into an endpoint's template."""
    usage = prose.usage
    values = {
        "tag": question.digest,
        "created": question.created,
        "model": _quoted_snapshot(question.model),
        "text": quoted(prose.text),
        "finish": '"length"' if prose.cut else '"stop"',
        "input": usage.input,
        "output": usage.output,
        "reasoning_tokens": usage.reasoning,
        "total": usage.input + usage.output,
        **more,
    }
    return Answer(200, shape % values, usage)


@lru_cache(maxsize=64)
def _quoted_snapshot(model: str) -> str:
    return quoted(snapshot_of(model))


def _dig(value: Any, *path: str) -> Any:
    """Return what lies at the path, or None; users' bodies may have any shape."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _inputs(value: Any) -> list[Any]:
    """Return the single inputs: a list of token numbers is one, a list of texts is many."""
    if isinstance(value, list) and value and not isinstance(value[0], int | dict):
        return value
    return [value]


def _mixed(seed: int, index: int) -> int:
    return (seed + index * 2_654_435_761) & 0xFFFF_FFFF_FFFF
