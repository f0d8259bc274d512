"""Result lines of one kind together, in the order of their requests."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ..domain.alike import AlikeResults, Tokens
from ..domain.requests import RequestIndex
from ..domain.values import ResultLine
from .raw_lines import RawLine
from .result_lines import Costing, kind_of, read_contents, result_line, usages_of

GROUP_LINES = 200
"""So many lines at most are applied and written before the next ones: the events of odd ones would
be held at once, and looked at again and again by the collector of cycles."""

FEWEST_ALIKE = 5
"""Fewer lines of a kind cost less one by one, beside their neighbours."""

_Kind = tuple[int, str | None] | None

AlikeCosting = Callable[[str | None, Sequence[Tokens]], Sequence[Decimal | None]]
"""The costs, in USD, of answers that all name this model, by the tokens that each used."""


class LineGroup(NamedTuple):
    """Result lines of one kind, or without one odd and scattered ones.

    Each with its content and the number of its request, None for that of no request.
    """

    kind: _Kind
    lines: Sequence[RawLine]
    contents: Sequence[Any]
    numbers: Sequence[int | None]

    def alike(self, costs_of: AlikeCosting) -> AlikeResults | None:
        """What they say and cost, if they are alike; None for lines to be read one by one."""
        numbers = [number for number in self.numbers if number is not None]
        if self.kind is None or len(numbers) < len(self.numbers):
            return None
        status_code, model = self.kind
        usages = usages_of(self.contents)
        return AlikeResults(
            status_code,
            [line.offset for line in self.lines],
            [line.raw for line in self.lines],
            [content.custom_id for content in self.contents],
            numbers,
            usages,
            costs_of(model, usages),
        )

    def one_by_one(self, cost_of: Costing) -> list[ResultLine]:
        """What the rules need of each line, with what it cost."""
        read = zip(self.lines, self.contents, strict=True)
        return [result_line(line, content, cost_of) for line, content in read]


def line_groups(
    lines: Sequence[RawLine], index: RequestIndex, cost_of: Costing
) -> Iterator[LineGroup]:
    """Lines in the order of their requests, many of one kind together.

    Those of one request stay in the order of the file; those of none come last.
    """
    contents = read_contents(lines, cost_of)
    numbers = index.numbers([content.custom_id for content in contents])
    none = len(index) + 1
    order = sorted(range(len(lines)), key=[number or none for number in numbers].__getitem__)
    lines, contents = [lines[place] for place in order], [contents[place] for place in order]
    numbers = [numbers[place] for place in order]
    begin = 0
    for kind, runs in groupby(_runs(map(kind_of, contents)), key=itemgetter(0)):
        behind = begin + sum(count for _, count in runs)
        while begin < behind:
            end = min(begin + GROUP_LINES, behind)
            yield LineGroup(kind, lines[begin:end], contents[begin:end], numbers[begin:end])
            begin = end


def _runs(kinds: Iterable[_Kind]) -> Iterator[tuple[_Kind, int]]:
    """How many lines of one kind follow each other; a few of them have none."""
    for kind, alike in groupby(kinds):
        count = len(list(alike))
        yield (kind if count >= FEWEST_ALIKE else None), count
