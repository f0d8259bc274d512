"""Schemas: what strict mode takes, what is told before anything is sent, and classes."""

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from attrs import Factory, frozen
from hypothesis import given, strategies as st

from batchtrail import (
    ChatCompletionsRequest,
    RequestRefusedError,
    ResponsesRequest,
    Schema,
    SchemaRefusedError,
    Tool,
    schema_of,
)
from batchtrail.application.endpoints.strict import made_strict, violations

TEXT = {"type": "string"}


def closed(**properties: Any) -> dict[str, Any]:
    """Make an object schema as strict mode wants it."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def deep(levels: int) -> dict[str, Any]:
    """Make so many objects inside each other."""
    return closed(x=deep(levels - 1)) if levels > 1 else closed(x=TEXT)


ALLOWED = {
    "empty object": closed(),
    "every type": closed(
        a=TEXT,
        b={"type": "number", "minimum": 0, "exclusiveMaximum": 9.5, "multipleOf": 0.5},
        c={"type": ["integer", "null"], "description": "may be missing"},
        d={"type": "boolean"},
        e={"type": "array", "items": TEXT, "minItems": 1, "maxItems": 3},
        f=closed(g={"type": "null"}),
    ),
    "texts": closed(
        a={"type": "string", "format": "date-time"},
        b={"type": "string", "pattern": r"^(?:a|\(\?=)+$"},
        c={"type": "string", "enum": ["x", "y"]},
        e={"type": "string", "pattern": r"a\(?=b"},
        d={"const": 1},
    ),
    "anyOf and references": {
        **closed(a={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}, b={"$ref": "#"}),
        "$defs": {"A": closed(again={"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]})},
    },
    "references to odd names": {
        **closed(a={"$ref": "#/$defs/x~1y"}, b={"$ref": "#/$defs/~01"}),
        "$defs": {"x/y": TEXT, "~1": TEXT},
    },
    "named like keywords": closed(default=TEXT, title=TEXT, **{"a b": TEXT, "$ref": TEXT}),
    "ten levels": deep(10),
    "5,000 properties": closed(**{f"p{number}": TEXT for number in range(5_000)}),
    "250 long enum values": closed(a={"enum": [f"{number:0100}" for number in range(250)]}),
    "1,000 enum values": closed(a={"enum": [f"{n}" for n in range(1_000)]}),
}


@pytest.mark.parametrize("schema", ALLOWED.values(), ids=ALLOWED)
def test_what_strict_mode_takes(schema: dict[str, Any]) -> None:
    """Nothing is found, and the schema is sent as it was given."""
    assert violations(schema) == []
    assert schema_of(schema).definition == schema


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "root is an array": (
        {"type": "array", "items": TEXT},
        ["$ must be an object, and no anyOf; put what it is into a property"],
    ),
    "root is anyOf": (
        {**closed(), "anyOf": [closed()]},
        ["$ must be an object, and no anyOf; put what it is into a property"],
    ),
    "optional": (
        {**closed(a=TEXT, b=TEXT), "required": ["a"]},
        ["$.properties.b is not in required; list it, and let it be null where it may be missing"],
    ),
    "requires the unknown": (
        {**closed(a=TEXT), "required": ["a", "z"]},
        ["$ requires 'z', which is not among its properties"],
    ),
    "requires what is no name": (
        {**closed(a=TEXT), "required": ["a", ["b"]]},
        ["$ requires ['b'], which is not among its properties"],
    ),
    "open": (
        closed(a={"type": "object", "properties": {}}),
        ["$.properties.a must have additionalProperties false: name every property"],
    ),
    "any keys": (
        closed(a={"type": "object", "additionalProperties": TEXT}),
        ["$.properties.a must have additionalProperties false: name every property"],
    ),
    "keyword": (
        closed(**{"a b": {"type": "string", "minLength": 1}}),
        ["$.properties['a b'] uses 'minLength', which strict mode does not take; remove it"],
    ),
    "allOf in items": (
        closed(a={"type": "array", "items": {"allOf": [TEXT]}}),
        [
            "$.properties.a.items uses 'allOf', which strict mode does not take; remove it",
            "$.properties.a.items has no type; say what type it has",
        ],
    ),
    "untyped": (closed(a={}), ["$.properties.a has no type; say what type it has"]),
    "no schema": (closed(a=True), ["$.properties.a is no schema object; say what type it has"]),
    "unknown type": (closed(a={"type": "text"}), ["$.properties.a has the unknown type 'text'"]),
    "array of anything": (
        closed(a={"type": "array"}),
        ["$.properties.a is an array without items; say what it holds"],
    ),
    "format": (
        closed(a={"type": "string", "format": "decimal"}),
        [
            (
                "$.properties.a has the format 'decimal'; known are date, date-time, duration, "
                "email, hostname, ipv4, ipv6, time, uuid"
            )
        ],
    ),
    "look-ahead": (
        closed(a={"type": "string", "pattern": "^(?!x)"}),
        ["$.properties.a has a pattern with a look-around, which strict mode does not take"],
    ),
    "look-behind": (
        closed(a={"type": "string", "pattern": "(?<=x)y"}),
        ["$.properties.a has a pattern with a look-around, which strict mode does not take"],
    ),
    "properties of nothing": (
        closed(a={"properties": {}}),
        [
            "$.properties.a has no type; say what type it has",
            "$.properties.a must have additionalProperties false: name every property",
        ],
    ),
    "anyOf branch": (
        closed(a={"anyOf": [TEXT, {"type": "object"}]}),
        ["$.properties.a.anyOf[1] must have additionalProperties false: name every property"],
    ),
    "definition": (
        {**closed(), "$defs": {"A": {"type": "object"}}},
        ["$.$defs.A must have additionalProperties false: name every property"],
    ),
    "reference to nothing": (
        closed(a={"$ref": "#/$defs/A"}),
        ["$.properties.a refers to '#/$defs/A', which does not exist"],
    ),
    "reference outside": (
        closed(a={"$ref": "other.json"}),
        ["$.properties.a refers to 'other.json'; only places in the same schema are known"],
    ),
    "reference of another type": (
        closed(a={"$ref": 5}),
        ["$.properties.a refers to 5; only places in the same schema are known"],
    ),
    "reference with company": (
        closed(a={"$ref": "#", "description": "again"}),
        ["$.properties.a has keywords beside '$ref'; wrap the reference into an anyOf of one"],
    ),
    "eleven levels": (
        deep(11),
        [f"${'.properties.x' * 10} lies deeper than the 10 levels of objects allowed"],
    ),
    "twelve levels": (
        deep(12),
        [f"${'.properties.x' * 10} lies deeper than the 10 levels of objects allowed"],
    ),
    "too many properties": (
        closed(**{f"p{number}": TEXT for number in range(5_001)}),
        ["$ has 5,001 properties in all, and 5,000 are allowed"],
    ),
    "too many enum values": (
        closed(a={"enum": list(range(600))}, b={"enum": list(range(401))}),
        ["$ has 1,001 enum values in all, and 1,000 are allowed"],
    ),
    "long enum": (
        closed(a={"enum": [f"{number:060}" for number in range(251)]}),
        [
            (
                "$.properties.a has 251 enum values with 15,060 characters; "
                "more than 250 values may have 15,000"
            )
        ],
    ),
    "long names": (
        closed(**{"x" * 120_001: TEXT}),
        ["$ has 120,001 characters in names and values in all, and 120,000 are allowed"],
    ),
    "long values": (
        closed(a={"enum": ["x" * 120_000]}),
        ["$ has 120,001 characters in names and values in all, and 120,000 are allowed"],
    ),
    "long names of definitions": (
        {**closed(), "$defs": {"x" * 120_001: TEXT}},
        ["$ has 120,001 characters in names and values in all, and 120,000 are allowed"],
    ),
    "enum of another type": (
        closed(a={"enum": "xy"}),
        ["$.properties.a has an enum that is no list of values"],
    ),
    "empty enum": (
        closed(a={"enum": []}),
        ["$.properties.a has an enum that is no list of values"],
    ),
    "empty anyOf": (
        closed(a={"anyOf": []}),
        ["$.properties.a has an anyOf that is no list of schemas"],
    ),
}


@pytest.mark.parametrize(("schema", "sentences"), REFUSED.values(), ids=REFUSED)
def test_what_strict_mode_does_not_take(schema: dict[str, Any], sentences: list[str]) -> None:
    """Each violation is one sentence with its place."""
    assert violations(schema) == sentences
    with pytest.raises(SchemaRefusedError) as refused:
        schema_of(schema)
    assert list(refused.value.violations) == sentences


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "anyOf", "enum", "$ref", "$defs", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["type", "properties", "$defs", "anyOf"]), json_values))
def test_no_schema_is_too_odd_to_be_judged(schema: dict[str, Any]) -> None:
    """Whatever a user writes is judged, and never with an exception of ours."""
    assert all(sentence.startswith("$") for sentence in violations(schema))


fields = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from(
        [int, str, bool, float, list[int], int | None, Literal["x", "y"], list[list[str] | None]]
    ),
)


@given(st.lists(fields, min_size=1, max_size=3))
def test_every_class_of_plain_fields_is_made_to_fit(levels: list[dict[str, Any]]) -> None:
    """With or without defaults, nested, and again when it was fitted before."""
    struct: Any = None
    for number, types in enumerate(levels):
        inner = [] if struct is None else [("inner", struct | None, None)]
        optional = [(f"{name}_", kind | None, None) for name, kind in types.items()]
        struct = msgspec.defstruct(f"S{number}", [*types.items(), *inner, *optional], kw_only=True)
    fitted = made_strict(msgspec.json.schema(struct))
    assert violations(fitted) == []
    assert made_strict(fitted) == fitted


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@frozen
class Attrs:
    name: str
    colour: Colour = Colour.RED
    others: "list[Attrs]" = Factory(list)


@dataclass
class Data:
    name: str
    colour: Colour = Colour.RED


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, pydantic.Field(ge=1, le=9, examples=[9])] = 9


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    colour: Colour = pydantic.Field(default=Colour.RED, description="Of its coat")


class Zoo(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
    next: "Zoo | None" = None


@pytest.mark.parametrize("cls", [Attrs, Data, Zoo, Dog])
def test_classes_of_every_kind_are_made_to_fit(cls: type) -> None:
    """Defaults, unions, references to themselves: the model then fills every field."""
    schema = schema_of(cls)
    assert (schema.name, schema.strict) == (cls.__name__, True)
    assert violations(schema.definition) == []
    assert schema.definition["type"] == "object"


def test_a_class_that_strict_mode_cannot_say_is_refused() -> None:
    """By the place in its schema."""

    class Bad(pydantic.BaseModel):
        word: Annotated[str, pydantic.StringConstraints(min_length=1)]
        counts: dict[str, int]

    with pytest.raises(SchemaRefusedError) as refused:
        ResponsesRequest(model="gpt-4.1", input="x", output=Bad)
    assert str(refused.value) == (
        "field output: does not fit strict mode: $.properties.word uses 'minLength', which strict "
        "mode does not take; remove it; $.properties.counts must have additionalProperties "
        "false: name every property"
    )


def test_many_violations_are_told_in_brief() -> None:
    """The sentence stays readable; the list is whole."""
    schema = closed(**{name: {} for name in "abcdef"})
    with pytest.raises(SchemaRefusedError, match="and 3 more") as refused:
        ResponsesRequest(model="gpt-4.1", input="x", output=schema)
    assert len(refused.value.violations) == 6


def test_a_schema_that_is_not_strict_goes_out_unchecked() -> None:
    """Under its own name."""
    loose = Schema("loose", {"type": "array"}, strict=False, description="d")
    request = ChatCompletionsRequest(model="gpt-4.1", messages="x", output=loose)
    assert request.body()["response_format"]["json_schema"] == {
        "name": "loose",
        "description": "d",
        "schema": {"type": "array"},
        "strict": False,
    }


def test_a_named_schema_is_checked_where_it_is_used() -> None:
    """Of an output and of a tool."""
    named = Schema("named", {"type": "array", "items": TEXT})
    with pytest.raises(SchemaRefusedError, match=r"^field output: "):
        ResponsesRequest(model="m", input="x", output=named)
    with pytest.raises(SchemaRefusedError, match=r"^field tools\.f\.parameters: "):
        Tool("f", parameters=named)
    assert schema_of({**closed(), "title": "My answer!"}).name == "My_answer_"


def test_tools_that_are_not_strict_may_have_optional_parameters() -> None:
    """A class keeps its defaults then."""
    definition = Tool("f", parameters=Data, strict=False).function()
    assert definition["strict"] is False
    root = definition["parameters"]["$defs"]["Data"]
    assert root["required"] == ["name"]


@pytest.mark.parametrize("output", [object, 3, "yaml", {"type": {1, 2}}, {"x": float}])
def test_what_has_no_schema_is_refused(output: Any) -> None:
    """With the field's name."""
    with pytest.raises(RequestRefusedError, match=r"^field output: "):
        ResponsesRequest(model="m", input="x", output=output)
