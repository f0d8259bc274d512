"""JSON of what a caller gives: nothing in it is replaced, and no order is left to chance."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given, strategies as st

from batchtrail.application.encoding import encoded


class Struct(msgspec.Struct, frozen=True):
    part: Any = None


@attrs.frozen
class Attrs:
    part: Any = None


@dataclasses.dataclass(frozen=True)
class Data:
    part: Any = None


class Row(list[Any]):
    """A list of a caller's own kind."""


WRAPPED = [
    lambda value: value,
    lambda value: {"a": value},
    lambda value: [value],
    lambda value: (1, value, "[null]"),
    lambda value: [[1, None], {"text": "[", "of": [value]}, [2]],
    lambda value: OrderedDict(a=value),
    lambda value: Row([value]),
    Struct,
    Attrs,
    Data,
]
SETS: list[Any] = [{1, 2}, {"a"}, frozenset({"a", "b"}), {Data(1)}, set(), {Struct(2), Attrs(3)}]
NOT_FINITE = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("value", SETS)
def test_a_set_is_refused(wrap: Any, value: Any) -> None:
    """Wherever it is, and whatever is in it."""
    with pytest.raises(TypeError, match="a set has no order that lasts; give a list"):
        encoded({"beside": [1], "body": wrap(value), "behind": "["})


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_number_that_is_not_finite_is_refused(wrap: Any, value: float) -> None:
    """It would become null, which asks for something else."""
    with pytest.raises(ValueError, match="JSON has no number"):
        encoded({"beside": None, "body": wrap(value), "behind": "null"})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text()
    | st.sampled_from("[]"),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON, st.sampled_from([*SETS, *NOT_FINITE]))
def test_in_the_midst_of_anything(beside: Any, value: Any) -> None:
    """What is refused is found beside whatever else there is; all else is what it is in JSON."""
    assert encoded(beside) == msgspec.json.encode(beside)
    for mixed in ([beside, value], [value, beside], {"a": beside, "b": {"c": value}}):
        with pytest.raises((TypeError, ValueError), match="give a"):
            encoded(mixed)
