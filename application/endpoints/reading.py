"""Reading answers of any shape: what is missing or odd is left out, and nothing raises."""

from collections.abc import Iterator, Mapping
from typing import Any

from .answers import Citation
from .tools import ToolCall


def texted(value: object) -> str | None:
    """A text; None for anything else."""
    return value if isinstance(value, str) else None


def objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The objects in a list; nothing when it is no list."""
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def inner(value: object) -> Mapping[str, Any]:
    """An object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def joined(content: object) -> str | None:
    """The text of a message: a text, or the texts of its parts."""
    if isinstance(content, str):
        return content
    parts = [part["text"] for part in objects(content) if isinstance(part.get("text"), str)]
    return "".join(parts) if parts else None


def tool_call(call_id: object, called: Mapping[str, Any]) -> ToolCall | None:
    """A call of a function, or of a tool with free input."""
    name = texted(called.get("name"))
    if name is None:
        return None
    arguments = called.get("arguments", called.get("input"))
    return ToolCall(texted(call_id) or "", name, texted(arguments) or "")


def citations(annotations: object) -> tuple[Citation, ...]:
    """The sources among a text's annotations."""
    return tuple(_citation(each) for each in objects(annotations) if texted(each.get("type")))


def _citation(annotation: Mapping[str, Any]) -> Citation:
    kind = annotation["type"]
    said = {**annotation, **inner(annotation.get(kind))}  # chat completions wrap it once more
    return Citation(
        kind,
        url=texted(said.get("url")),
        title=texted(said.get("title")),
        file_id=texted(said.get("file_id")),
        filename=texted(said.get("filename")),
        start=_place(said.get("start_index", said.get("index"))),
        end=_place(said.get("end_index")),
    )


def _place(value: object) -> int | None:
    return value if type(value) is int else None


def in_order(value: object) -> list[Mapping[str, Any]]:
    """The objects in a list by their `index`; those without one keep their place."""
    numbered = enumerate(objects(value))
    return [each for _, each in sorted(numbered, key=lambda pair: _index(*pair))]


def _index(position: int, entry: Mapping[str, Any]) -> int:
    index = _place(entry.get("index"))
    return position if index is None else index
