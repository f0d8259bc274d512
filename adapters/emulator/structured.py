"""Example documents for JSON schemas, so that structured answers of the emulator parse."""

from typing import Any, Final

_DEPTH: Final = 12  # A schema may refer to itself without end.
_MOST_ITEMS: Final = 100


def example(schema: dict[str, Any], words: str, seed: int) -> Any:
    """Return a document that fits the schema; strings take up the words of the question."""
    return _Example(schema, words, seed).value(schema, _DEPTH)


class _Example:
    def __init__(self, root: dict[str, Any], words: str, seed: int) -> None:
        self._root, self._words, self._seed = root, words, seed

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth < -_DEPTH:
            return None
        if "$ref" in schema:
            return self.value(self._resolve(schema["$ref"]), depth - 1)
        if "const" in schema:
            return schema["const"]
        if options := schema.get("enum"):
            return options[self._seed % len(options)]
        if options := schema.get("anyOf") or schema.get("oneOf"):
            # The last option ends a recursion: there it is usually null or a leaf.
            return self.value(options[0 if depth > 0 else -1], depth - 1)
        return self._typed(schema, depth)

    def _typed(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        match kind[0] if isinstance(kind, list) else kind:
            case "object":
                return {
                    name: self.value(each, depth - 1)
                    for name, each in schema.get("properties", {}).items()
                }
            case "array":
                length = min(max(schema.get("minItems", 0), int(depth > 0)), _MOST_ITEMS)
                return [self.value(schema.get("items", {}), depth - 1) for _ in range(length)]
            case "integer" | "number":
                low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
                return min(low + self._seed % 10, schema.get("maximum", low + 9))
            case "boolean":
                return bool(self._seed % 2)
            case "null":
                return None
            case _:
                return self._words

    def _resolve(self, reference: str) -> dict[str, Any]:
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            target = target.get(step, {}) if step else target
        return target if isinstance(target, dict) else {}
