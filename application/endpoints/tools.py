"""Tools that a model may call, and its calls."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from . import checks
from .checks import refused
from .schemas import SchemaSource, schema_of
from .structured import decoded, decoded_as

T = TypeVar("T")

_WORDS = ("auto", "none", "required")
_NOTHING: dict[str, Any] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}


@frozen
class ToolCall:
    """A call that the model wants made; `arguments` is JSON text, exactly as it wrote it.

    `id` is what the message with the tool's result refers to.
    """

    id: str = field(validator=checks.text_of("tool_calls"))
    name: str = field(validator=checks.text_of("tool_calls"))
    arguments: str = field(validator=checks.text_of("tool_calls"))

    @property
    def value(self) -> Any:
        """The arguments decoded; None when they are not JSON."""
        return decoded(self.arguments)

    def as_type(self, cls: type[T]) -> T:
        """The arguments as a value of the class that described them.

        Raises `AnswerMismatchError` when they do not fit.
        """
        return decoded_as(self.arguments, cls)


@frozen
class Tool:
    """A function that the model may ask to call.

    `parameters` is what it takes: a JSON schema as a dict, an attrs or pydantic class, or None
    for nothing. With `strict` the schema is held to strict mode's rules, and the model to the
    schema.
    """

    name: str = field(validator=checks.name_of("tools"))
    description: str | None = field(default=None, validator=checks.given_or_none)
    parameters: SchemaSource | None = None
    strict: bool = True

    def __attrs_post_init__(self) -> None:
        self._schema()

    def _schema(self) -> Mapping[str, Any]:
        if self.parameters is None:
            return _NOTHING
        where = f"tools.{self.name}.parameters"
        return schema_of(self.parameters, field=where, strict=self.strict).definition

    def function(self) -> dict[str, Any]:
        """The definition that both spellings of a tool share."""
        described = {} if self.description is None else {"description": self.description}
        return {
            "name": self.name,
            **described,
            "parameters": self._schema(),
            "strict": self.strict,
        }


ToolChoice = str | Tool | Mapping[str, Any]
"""`auto`, `none`, `required`, the tool to call or its name, or the endpoint's own object."""


def tools_of(tools: Sequence[Tool | Mapping[str, Any]]) -> tuple[Tool | Mapping[str, Any], ...]:
    """The tools of a request; a mapping is a tool of the endpoint's own, such as web search."""
    if isinstance(tools, str | bytes | Mapping) or not isinstance(tools, Sequence):
        raise refused("tools", "must be a sequence of tools")
    for tool in tools:
        if not isinstance(tool, Tool | Mapping):
            raise refused("tools", f"holds {type(tool).__name__}; give `Tool`s or mappings")
    names = [tool.name for tool in tools if isinstance(tool, Tool)]
    for name in names:
        if names.count(name) > 1:
            raise refused("tools", f"has two tools named {name!r}; give each its own name")
    return tuple(tools)


def forced_name(choice: ToolChoice | None, tools: Sequence[Tool | Mapping[str, Any]]) -> str | None:
    """The name of the one function that must be called; None when the choice is another.

    Raises `RequestRefusedError` for a choice that the tools of the request cannot meet.
    """
    if choice is None or isinstance(choice, Mapping):
        return None
    if not tools and choice != "none":
        raise refused("tool_choice", "is set and there are no tools; give the tools")
    if isinstance(choice, str) and choice in _WORDS:
        return None
    name = choice.name if isinstance(choice, Tool) else choice
    names = [tool.name for tool in tools if isinstance(tool, Tool)]
    if name not in names:
        known = ", ".join([*_WORDS, *map(str, names)])
        raise refused("tool_choice", f"is {name!r}; use one of {known}")
    return name
