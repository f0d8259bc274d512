"""Example documents for JSON schemas, so that structured answers of the emulator parse."""

from typing import Any, Final, TypeVar
from urllib.parse import unquote

T = TypeVar("T")

_DEPTH: Final = 12  # A schema may refer to itself without end.
_MOST_ITEMS: Final = 100
_MOST_VALUES: Final = 10_000  # It may do so many times in each of its levels.
_NO_OPTIONS: Final[list[Any]] = []
_NO_PROPERTIES: Final[dict[str, Any]] = {}


class SchemaError(ValueError):
    """A schema for which there is no document; the text says what is wrong in it."""


def example(schema: Any, words: str, seed: int) -> Any:
    """Return a document that fits the schema; strings take up the words of the question.

    One without end has nulls where it was cut off. Raises `SchemaError`.
    """
    if not isinstance(schema, dict):
        raise SchemaError("it is no object")
    return _Example(schema, words, seed).value(schema, _DEPTH)


class _Example:
    def __init__(self, root: dict[str, Any], words: str, seed: int) -> None:
        self._root, self._words, self._seed = root, words, seed
        self._values = 0

    def value(self, schema: Any, depth: int) -> Any:
        self._values += 1
        if schema is True or depth < -_DEPTH or self._values > _MOST_VALUES:
            return None
        if not isinstance(schema, dict):
            raise SchemaError("a part of it is no object")
        if "$ref" in schema:
            return self.value(self._resolve(_field(schema, "$ref", "")), depth - 1)
        if "const" in schema:
            return schema["const"]
        if options := _field(schema, "enum", _NO_OPTIONS):
            return options[self._seed % len(options)]
        for name in ("anyOf", "oneOf"):
            if options := _field(schema, name, _NO_OPTIONS):
                # The last option ends a recursion: there it is usually null or a leaf.
                return self.value(options[0 if depth > 0 else -1], depth - 1)
        return self._typed(schema, depth)

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) and kind else kind:
            case "object":
                return {
                    name: self.value(each, depth - 1)
                    for name, each in _field(schema, "properties", _NO_PROPERTIES).items()
                    if each is not False
                }
            case "array":
                items = schema.get("items", {})
                length = max(_field(schema, "minItems", 0), int(depth > 0))
                length = 0 if items is False else min(length, _MOST_ITEMS)
                return [self.value(items, depth - 1) for _ in range(length)]
            case "integer" | "number":
                above = _number(schema, "exclusiveMinimum", -1)
                low = _number(schema, "minimum", above + 1)
                return min(low + self._seed % 10, _number(schema, "maximum", low + 9))
            case "boolean":
                return bool(self._seed % 2)
            case "null":
                return None
            case "string":
                return self._words
            case _:
                raise SchemaError(f"there is no type {kind!r:.60}")

    def _resolve(self, reference: str) -> Any:
        target: Any = self._root
        for step in unquote(reference).removeprefix("#").strip("/").split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if name:
                target = target.get(name) if isinstance(target, dict) else None
        if target is None:
            raise SchemaError(f"there is nothing at {reference!r}")
        return target


def _field(schema: dict[str, Any], name: str, default: T, *kinds: type[T]) -> T:
    """Return a field of one of these kinds, by default of the default's own."""
    value = schema.get(name, default)
    if not isinstance(value, kinds or type(default)):
        raise SchemaError(f"{name!r} cannot be {value!r:.60}")
    return value


def _number(schema: dict[str, Any], name: str, default: float) -> float:
    return _field(schema, name, default, int, float)
