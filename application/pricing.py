"""Pricing result lines: each by its own usage, with each model looked up once."""

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from ..domain.alike import Tokens
from ..domain.checks import check_text
from ..domain.costs import FREE, ModelPrice, cost_of, costs_of
from ..domain.values import TokenUsage
from .ports import PriceBook

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def canonical(endpoint: str) -> str:
    """An endpoint as OpenAI writes it; Azure leaves the version out."""
    return f"/v1/{endpoint.strip('/').removeprefix('v1/')}"


class BatchCosting:
    """The costs of one batch's answers; without a price book none is known.

    `model` is what the requests asked for; it prices an answer that names no model itself.
    """

    def __init__(self, book: PriceBook | None, endpoint: str, model: str | None) -> None:
        self._book = book
        self._endpoint = canonical(endpoint)
        self._model = model
        self._prices: dict[str | None, ModelPrice | None] = {}

    @cached_property
    def source(self) -> str | None:
        """Which table the costs come from; asked once, as prices are, and needed for each."""
        book = self._book
        return None if book is None else _asked(lambda: _named(book.source))

    def cost_of(self, model: str | None, usage: TokenUsage | None) -> Decimal | None:
        """What one answer cost, in USD; None when its price or its usage is not known.

        What is free costs nothing even without a usage: moderations count no tokens.
        """
        price = self._price(model)
        if price is None:
            return None
        if usage is None:
            return FREE if price.is_free else None
        return cost_of(usage, price)

    def costs_of(self, model: str | None, usages: Sequence[Tokens]) -> Sequence[Decimal | None]:
        """What each of several answers by one model cost, when all tell what they used."""
        price = self._price(model)
        if price is None:
            return [None] * len(usages)
        return costs_of(usages, price)

    def _price(self, model: str | None) -> ModelPrice | None:
        model = model or self._model
        try:
            return self._prices[model]
        except KeyError:
            price = self._prices[model] = self._look_up(model)
            return price

    def _look_up(self, model: str | None) -> ModelPrice | None:
        book = self._book
        if book is None or self.source is None:
            return None
        return _asked(lambda: _usable(book.price(model, self._endpoint)))


def _named(source: str) -> str:
    """The name of a price table, checked. Raises `InputError` for one that the log cannot take."""
    check_text("the source of the price book", source)
    return source


def _usable(price: ModelPrice | None) -> ModelPrice | None:
    """A price, tried out: raises errors of many kinds for one that cannot be calculated with."""
    if price is not None:
        for above in (0, *(tier.above for tier in price.tiers)):
            cost_of(TokenUsage(input=above + 1), price)
    return price


def _asked(question: Callable[[], _T]) -> _T | None:
    """What a price book says; a broken one must not keep results that are paid for."""
    try:
        return question()
    except Exception:  # noqa: BLE001 (any, for the reason above)
        _log.exception("the price book failed; costs stay unknown")
        return None
