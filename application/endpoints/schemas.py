"""JSON schemas from a dict, an attrs class or a pydantic class."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from attrs import Attribute, field, frozen
from attrs.validators import optional

from ..errors import SchemaRefusedError
from .checks import name_of, refused, text_of
from .strict import made_strict, violations
from .structured import is_pydantic

_LONGEST_NAME = 64


def _is_definition(_: object, __: "Attribute[Any]", value: object) -> None:
    if not isinstance(value, Mapping):
        raise refused("schema.definition", f"is {type(value).__name__}; give a mapping")


@frozen
class Schema:
    """A JSON schema with the name that it is sent under.

    With `strict` it must keep strict mode's rules, and the model is held to it; without, it goes
    out unchecked and the model may stray from it.
    """

    name: str = field(validator=name_of("schema"))
    definition: Mapping[str, Any] = field(validator=_is_definition)
    strict: bool = True
    description: str | None = field(default=None, validator=optional(text_of("schema")))

    def format(self) -> dict[str, Any]:
        """What both endpoints for text say of a schema."""
        described = {} if self.description is None else {"description": self.description}
        return {
            "name": self.name,
            **described,
            "schema": self.definition,
            "strict": self.strict,
        }


SchemaSource = Mapping[str, Any] | type | Schema
"""A JSON schema, a class whose fields it describes, or a schema with its name."""


def schema_of(source: SchemaSource, *, field: str = "output", strict: bool = True) -> Schema:
    """The schema of what is given; `field` is named when it is refused.

    A dict is taken as it stands; a class (attrs, dataclass, msgspec, pydantic) is fitted to
    strict mode. Raises `SchemaRefusedError`, or `RequestRefusedError` for what has no schema.
    """
    schema = _named(source, field, strict=strict)
    if schema.strict:
        _check(schema.definition, field)
    return schema


def _named(source: SchemaSource, field: str, *, strict: bool) -> Schema:
    if isinstance(source, Schema):
        return source
    if isinstance(source, Mapping):
        return Schema(_name(source.get("title")), source, strict)
    if isinstance(source, type):
        return Schema(_name(source.__name__), _schema_of_class(source, field, strict), strict)
    raise refused(field, f"is {type(source).__name__}; give a dict or a class")


def _check(definition: Mapping[str, Any], field: str) -> None:
    try:
        found = _violations(msgspec.json.encode(definition))
    except (TypeError, ValueError, RecursionError) as error:
        raise refused(field, f"cannot be JSON ({error})") from error
    if found:
        raise SchemaRefusedError(field, found)


@lru_cache(maxsize=256)
def _violations(definition: bytes) -> tuple[str, ...]:
    """Kept, because all requests of a batch mostly have the same schema."""
    return tuple(violations(msgspec.json.decode(definition)))


@lru_cache(maxsize=256)
def _made(cls: type, fitted: bool) -> Mapping[str, Any]:
    if is_pydantic(cls):
        model: Any = cls
        schema: dict[str, Any] = model.model_json_schema()
    else:
        schema = msgspec.json.schema(cls)
    return made_strict(schema) if fitted else schema


def _schema_of_class(cls: type, field: str, fitted: bool) -> Mapping[str, Any]:
    try:
        return _made(cls, fitted)
    except (TypeError, ValueError, NameError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise refused(field, f"has no JSON schema for {cls.__name__} ({reason})") from error


def _name(title: object) -> str:
    text = re.sub(r"[^a-zA-Z0-9_-]+", "_", title)[:_LONGEST_NAME] if isinstance(title, str) else ""
    return text or "answer"
