"""OpenAI's strict mode: the subset of JSON Schema that it takes, and how a class is fitted to it.

The rules are those of OpenAI's guide to structured outputs (2026). A schema that breaks one is
answered with 400 for every request of a batch, hours later; so it is refused here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_MOST_PROPERTIES = 5_000
_MOST_LEVELS = 10
_MOST_NAME_CHARACTERS = 120_000
_MOST_ENUM_VALUES = 1_000
_LONG_ENUM = 250
_MOST_LONG_ENUM_CHARACTERS = 15_000

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
)
_ANNOTATIONS = frozenset({"title", "description", "$schema", "$id", "$comment"})
_KEYWORDS = _ANNOTATIONS | {
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "type",
}
_DEFINITIONS = ("$defs", "definitions")
_LOOKAROUND = re.compile(r"(?<!\\)(?:\\\\)*\(\?(?:=|!|<=|<!)")
_PLAIN = re.compile(r"[$\w-]+")
_DROPPED = frozenset(
    {"default", "deprecated", "discriminator", "examples", "readOnly", "writeOnly", "$schema"}
)
_JSON_TYPES: dict[type, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def violations(schema: Mapping[str, Any]) -> list[str]:
    """What strict mode does not take, one sentence each, with the place as a JSON path."""
    check = _Check(schema)
    return check.sentences


class _Check:
    """Walks over one schema and counts what is limited."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.sentences: list[str] = []
        self._root = root
        self._properties = 0
        self._enum_values = 0
        self._characters = 0
        self._is_too_deep = False
        if root.get("type") != "object" or "anyOf" in root:
            self._say("$", "must be an object, and no anyOf; put what it is into a property")
        self._node(root, "$", 0)
        self._limits()

    def _say(self, path: str, problem: str) -> None:
        self.sentences.append(f"{path} {problem}")

    def _node(self, node: object, path: str, level: int) -> None:
        if not isinstance(node, Mapping):
            self._say(path, "is no schema object; say what type it has")
            return
        for keyword in node:
            if keyword not in _KEYWORDS:
                self._say(path, f"uses {keyword!r}, which strict mode does not take; remove it")
        self._kind(node, path)
        self._text_rules(node, path)
        self._values(node, path)
        if "object" in _types(node) or "properties" in node:
            self._object(node, path, level + 1)
        if "array" in _types(node):
            self._array(node, path, level)
        self._branches(node, path, level)
        self._definitions(node, path)

    def _kind(self, node: Mapping[str, Any], path: str) -> None:
        if "$ref" in node:
            self._reference(node, path)
        elif not ("type" in node or "anyOf" in node or "enum" in node or "const" in node):
            self._say(path, "has no type; say what type it has")
        for name in _types(node):
            if not isinstance(name, str) or name not in _TYPES:
                self._say(path, f"has the unknown type {name!r}")

    def _reference(self, node: Mapping[str, Any], path: str) -> None:
        if len(node) > 1:
            self._say(path, "has keywords beside '$ref'; wrap the reference into an anyOf of one")
        target: object = self._root
        reference = node["$ref"]
        if not isinstance(reference, str) or not re.match(r"#(/|$)", reference):
            self._say(path, f"refers to {reference!r}; only places in the same schema are known")
            return
        for step in filter(None, reference[1:].split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            self._say(path, f"refers to {reference!r}, which does not exist")

    def _text_rules(self, node: Mapping[str, Any], path: str) -> None:
        form, pattern = node.get("format"), node.get("pattern")
        if form is not None and form not in _FORMATS:
            self._say(path, f"has the format {form!r}; known are {', '.join(sorted(_FORMATS))}")
        if isinstance(pattern, str) and _LOOKAROUND.search(pattern):
            self._say(path, "has a pattern with a look-around, which strict mode does not take")

    def _values(self, node: Mapping[str, Any], path: str) -> None:
        values = node.get("enum", [])
        if not isinstance(values, list) or ("enum" in node and not values):
            self._say(path, "has an enum that is no list of values")
            return
        self._enum_values += len(values)
        texts = [*values, node.get("const")]
        characters = sum(len(value) for value in texts if isinstance(value, str))
        self._characters += characters
        if len(values) > _LONG_ENUM and characters > _MOST_LONG_ENUM_CHARACTERS:
            self._say(
                path,
                f"has {len(values):,} enum values with {characters:,} characters; more than "
                f"{_LONG_ENUM} values may have {_MOST_LONG_ENUM_CHARACTERS:,}",
            )

    def _object(self, node: Mapping[str, Any], path: str, level: int) -> None:
        if level > _MOST_LEVELS and not self._is_too_deep:
            self._is_too_deep = True
            self._say(path, f"lies deeper than the {_MOST_LEVELS} levels of objects allowed")
        if node.get("additionalProperties") is not False:
            self._say(path, "must have additionalProperties false: name every property")
        properties = node.get("properties", {})
        if not isinstance(properties, Mapping):
            self._say(path, "has properties that are no object")
            return
        self._required(node, properties, path)
        self._properties += len(properties)
        for name, each in properties.items():
            self._characters += len(name)
            self._node(each, _step(f"{path}.properties", name), level)

    def _required(self, node: Mapping[str, Any], properties: Mapping[str, Any], path: str) -> None:
        required = node.get("required", [])
        listed = required if isinstance(required, list) else []
        for name in properties:
            if name not in listed:
                self._say(
                    _step(f"{path}.properties", name),
                    "is not in required; list it, and let it be null where it may be missing",
                )
        for name in listed:
            if not isinstance(name, str) or name not in properties:
                self._say(path, f"requires {name!r}, which is not among its properties")

    def _array(self, node: Mapping[str, Any], path: str, level: int) -> None:
        if "items" not in node:
            self._say(path, "is an array without items; say what it holds")
        else:
            self._node(node["items"], f"{path}.items", level)

    def _branches(self, node: Mapping[str, Any], path: str, level: int) -> None:
        branches = node.get("anyOf", [])
        if not isinstance(branches, list) or ("anyOf" in node and not branches):
            self._say(path, "has an anyOf that is no list of schemas")
            return
        for number, branch in enumerate(branches):
            self._node(branch, f"{path}.anyOf[{number}]", level)

    def _definitions(self, node: Mapping[str, Any], path: str) -> None:
        for keyword in _DEFINITIONS:
            definitions = node.get(keyword, {})
            if not isinstance(definitions, Mapping):
                self._say(path, f"has {keyword} that are no object")
                continue
            for name, each in definitions.items():
                self._characters += len(name)
                self._node(each, _step(f"{path}.{keyword}", name), 0)

    def _limits(self) -> None:
        for count, most, what in (
            (self._properties, _MOST_PROPERTIES, "properties"),
            (self._enum_values, _MOST_ENUM_VALUES, "enum values"),
            (self._characters, _MOST_NAME_CHARACTERS, "characters in names and values"),
        ):
            if count > most:
                self._say("$", f"has {count:,} {what} in all, and {most:,} are allowed")


def _types(node: Mapping[str, Any]) -> list[object]:
    kind = node.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _step(path: str, name: str) -> str:
    return f"{path}.{name}" if _PLAIN.fullmatch(name) else f"{path}[{name!r}]"


def made_strict(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a class as strict mode wants it: closed objects that require every property.

    The model then gives a value for each field, also for those that have a default. What cannot
    be said in strict mode stays, for `violations` to name.
    """
    root = _with_root_inlined(schema)
    return {name: value for name, value in _strict_node(root).items() if name != "$schema"}


def _with_root_inlined(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The root must be an object: a reference at the root is replaced by what it names."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    name = reference.removeprefix("#/$defs/")
    definitions = dict(schema["$defs"])
    root = definitions[name]
    if reference not in _references(definitions):
        del definitions[name]
    return {**root, **({"$defs": definitions} if definitions else {})}


def _references(node: object) -> Iterator[object]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name == "$ref":
                yield value
            yield from _references(value)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


def _strict_node(node: Mapping[str, Any]) -> dict[str, Any]:
    strict = {name: value for name, value in node.items() if name not in _DROPPED}
    if "oneOf" in strict:
        strict["anyOf"] = strict.pop("oneOf")
    if "$ref" in strict and len(strict) > 1:
        strict["anyOf"] = [{"$ref": strict.pop("$ref")}]
    kinds = {_JSON_TYPES.get(type(value)) for value in strict.get("enum", ())}
    if "type" not in strict and len(kinds) == 1 and None not in kinds:
        strict["type"] = kinds.pop()
    for keyword in ("properties", *_DEFINITIONS):
        if isinstance(strict.get(keyword), Mapping):
            strict[keyword] = {name: _strict(each) for name, each in strict[keyword].items()}
    if "items" in strict:
        strict["items"] = _strict(strict["items"])
    if isinstance(strict.get("anyOf"), list):
        strict["anyOf"] = [_strict(each) for each in strict["anyOf"]]
    if "properties" in strict:
        strict["required"] = list(strict["properties"])
        strict.setdefault("additionalProperties", False)
    return strict


def _strict(node: object) -> object:
    return _strict_node(node) if isinstance(node, Mapping) else node
