"""What a request sends to a model, as far as its cost depends on it."""

from collections.abc import Iterator
from typing import Any

import msgspec
from attrs import evolve, frozen

_TEXT = (
    "message",
    "input_text",
    "output_text",
    "text",
    "refusal",
    "function",
    "function_call",
    "function_call_output",
    "custom",
    "custom_tool_call",
    "custom_tool_call_output",
    "url_citation",
    "file_citation",
    "container_file_citation",
)
"""Types of the parts that are all there as text; of a type that is new, nobody knows."""
_NAMES = {"type", "role", "id", "call_id", "status", "cache_control"}
_ELSEWHERE = ("previous_response_id", "conversation", "prompt")
_OWN_TOOLS = ("function", "custom")


@frozen
class Prompt:
    """The countable parts of one request.

    `texts` become tokens, `tokens` were given as numbers already, `messages` cost a few tokens
    each beside their text. `inputs` counts the texts of an embedding request. `output_limit` is
    the most tokens that the request lets the model make, None when it names no limit. `is_whole`
    is false when more goes in than these texts: images, files, tools of the provider, an earlier
    conversation.
    """

    texts: tuple[str, ...]
    messages: int = 0
    tokens: int = 0
    inputs: int = 0
    output_limit: int | None = 0
    is_whole: bool = True


def prompt_of(endpoint: str, body: dict[str, Any]) -> Prompt:
    """The prompt of a request to an endpoint; of an unknown endpoint it is not whole."""
    match endpoint:
        case "/v1/responses":
            return _response_prompt(body)
        case "/v1/chat/completions":
            return _chat_prompt(body)
        case "/v1/completions":
            return _completion_prompt(body)
        case "/v1/embeddings" | "/v1/moderations":
            return _plain_prompt(body.get("input"))
        case _:
            return Prompt(tuple(_texts(body)[0]), output_limit=None, is_whole=False)


def _response_prompt(body: dict[str, Any]) -> Prompt:
    given = body.get("input")
    texts, whole = _texts([body.get("instructions"), given])
    tools, own = _tools(body.get("tools"))
    return Prompt(
        texts=(*texts, *tools, *_json(body.get("text"))),
        messages=(len(given) if isinstance(given, list) else 1) + ("instructions" in body),
        output_limit=_count(body.get("max_output_tokens")),
        is_whole=whole and own and not any(body.get(name) for name in _ELSEWHERE),
    )


def _chat_prompt(body: dict[str, Any]) -> Prompt:
    messages = body.get("messages")
    texts, whole = _texts(messages)
    tools, own = _tools(body.get("tools"))
    limit = body.get("max_completion_tokens")
    return Prompt(
        texts=(*texts, *tools, *_json(body.get("functions")), *_json(body.get("response_format"))),
        messages=len(messages) if isinstance(messages, list) else 1,
        output_limit=_times(
            _count(body.get("max_tokens") if limit is None else limit),
            _answers(body, "n"),
        ),
        is_whole=whole and own and body.get("web_search_options") is None,
    )


def _completion_prompt(body: dict[str, Any]) -> Prompt:
    plain = _plain_prompt(body.get("prompt"))
    behind, _ = _texts(body.get("suffix"))
    answers = _times(_answers(body, "n", "best_of"), plain.inputs)
    limit = _times(_count(body.get("max_tokens")), answers)
    return evolve(plain, texts=(*plain.texts, *behind * plain.inputs), output_limit=limit)


def _answers(body: dict[str, Any], *names: str) -> int | None:
    """How many answers are asked for at most; None where that is no number."""
    counts = [_count(1 if body.get(name) is None else body[name]) for name in names]
    return None if None in counts else max(filter(None, counts), default=0)


def _plain_prompt(given: object) -> Prompt:
    """A text, texts, tokens, or lists of tokens."""
    if not isinstance(given, list):
        texts, whole = _texts(given)
        return Prompt(tuple(texts), inputs=1, is_whole=whole)
    if given and all(isinstance(each, int) for each in given):
        return Prompt((), tokens=len(given), inputs=1)
    tokens = [len(each) for each in given if isinstance(each, list)]
    texts, whole = _texts([each for each in given if not isinstance(each, list)])
    return Prompt(tuple(texts), tokens=sum(tokens), inputs=len(given), is_whole=whole)


def _tools(tools: object) -> tuple[tuple[str, ...], bool]:
    """The definitions of tools, and whether all are the user's own."""
    if not isinstance(tools, list):
        return (), True
    own = all(isinstance(tool, dict) and tool.get("type") in _OWN_TOOLS for tool in tools)
    return _json(tools), own


def _json(value: object) -> tuple[str, ...]:
    return () if value is None else (msgspec.json.encode(value).decode(),)


def _texts(value: object) -> tuple[list[str], bool]:
    """Every text inside, and whether nothing but text is there."""
    texts, whole = list[str](), True
    for found in _walk(value):
        if found is None:
            whole = False
        else:
            texts.append(found)
    return texts, whole


def _walk(value: object) -> Iterator[str | None]:
    """The texts inside, None for each part that is something else."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, list):
            rest += each
        elif isinstance(each, dict):
            if _is_text(each):
                rest += [part for name, part in each.items() if name not in _NAMES]
            else:
                yield None


def _is_text(part: dict[str, Any]) -> bool:
    """Whether all that the model gets of a part is in it; an id alone names what is elsewhere."""
    kind = part.get("type")
    return part.keys() - {"type"} != {"id"} if kind is None else kind in _TEXT


def _count(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _times(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one * other
