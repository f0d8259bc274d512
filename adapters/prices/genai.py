"""OpenAI's batch prices as the package genai-prices lists them, without any network.

The package takes a quarter of a second to import; so a copy of its table is asked before it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ...domain.costs import EXACT, FREE, ModelPrice, Rates, Tier
from .copied import EMBEDDINGS, CopiedPrices, copied_prices

if TYPE_CHECKING:
    from genai_prices import types as genai

_BATCH = {"processing": "batch"}
_HALF = Decimal("0.5")
_FREE = ModelPrice(Rates(FREE, FREE, FREE, FREE))
_RATES = ("input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok")
_TEXT = {"input_mtok", "output_mtok"}
_EMBEDDING = {"input_mtok"}
_PER_CALL = {"web_searches_kcount", "storage_searches_kcount"}
_NEWEST = datetime(9999, 1, 1, tzinfo=UTC)
"""The newest price counts, whatever the clock says: before its effective date, the package would
silently give the standard price for a batch."""


class GenaiPrices:
    """OpenAI's list prices for batches; docs/decisions/0006-costs.md says how they are read."""

    def __init__(self, copied: Callable[[], CopiedPrices | None] = copied_prices) -> None:
        """`copied` gives a copy of the installed table, if there is one."""
        self._copied = copied

    @cached_property
    def _openai(self) -> "genai.Provider":
        from genai_prices.data import providers  # noqa: PLC0415 (start-up time)

        return next(provider for provider in providers if provider.id == "openai")

    @property
    def source(self) -> str:
        """The package's version, and the newest date of the batch prices in it."""
        copied = self._copied()
        return self._source if copied is None else copied.source

    @cached_property
    def _source(self) -> str:
        from genai_prices import __version__  # noqa: PLC0415 (start-up time)
        from genai_prices.types import StartDateConstraint  # noqa: PLC0415

        dates = [
            variant.constraint.start_date
            for model in self._openai.models
            for variant in model.price_variants or ()
            if variant.when == _BATCH and isinstance(variant.constraint, StartDateConstraint)
        ]
        newest = max(dates).isoformat() if dates else "an unknown date"
        return f"genai-prices {__version__}, OpenAI batch prices of {newest}"

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        """The batch price of a model; None for one that the table has no batch price of."""
        if endpoint == "/v1/moderations":
            return _FREE
        if not model:
            return None
        copied = self._copied()
        known = None if copied is None else copied.find(model)
        if known is not None:
            return known.price(endpoint)
        found = self._openai.find_model(model)
        return None if found is None else price_of(found, endpoint)


def price_of(model: "genai.ModelInfo", endpoint: str) -> ModelPrice | None:
    """The batch price of a model of the package; None where the table has none."""
    if any(variant.when == _BATCH for variant in model.price_variants or ()):
        return _model_price(model.get_prices(_NEWEST, _BATCH), _TEXT)
    if endpoint == EMBEDDINGS:
        # Half, as everything in a batch; the package lists only the standard price.
        return _model_price(model.get_prices(_NEWEST), _EMBEDDING, share=_HALF)
    return None


def _model_price(
    prices: "genai.ModelPrice", needed: set[str], share: Decimal = Decimal(1)
) -> ModelPrice | None:
    """The rates of the package; None where it tells apart what a usage does not, such as images."""
    listed = {name: price for name, price in vars(prices).items() if price is not None}
    if needed - listed.keys() or listed.keys() - {*_RATES, *_PER_CALL}:
        return None
    starts = {tier.start for price in listed.values() for tier in getattr(price, "tiers", ())}
    return ModelPrice(
        _rates(listed, 0, share),
        tuple(Tier(start, _rates(listed, start + 1, share)) for start in sorted(starts)),
    )


def _rates(listed: dict[str, Any], input_tokens: int, share: Decimal) -> Rates:
    """The rates of a request with so many input tokens.

    Without rates of their own, cached and written tokens cost what other input costs; a model
    without an output rate makes no output.
    """
    given = {
        name: EXACT.multiply(_rate(listed[name], input_tokens), share)
        for name in _RATES
        if name in listed
    }
    plain = given["input_mtok"]
    return Rates(
        input=plain,
        cached=given.get("cache_read_mtok", plain),
        cache_write=given.get("cache_write_mtok", plain),
        output=given.get("output_mtok", FREE),
    )


def _rate(price: "Decimal | genai.TieredPrices", input_tokens: int) -> Decimal:
    if isinstance(price, Decimal):
        return price
    passed = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return passed[-1] if passed else price.base
