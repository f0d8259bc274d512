"""A user's own prices: a TOML file whose entries come before every list price."""

import hashlib
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ...application.errors import InputError
from ...application.ports import PriceBook
from ...domain.costs import ModelPrice, Rates, Tier

_REQUIRED = ("input", "output")
_RATES = (*_REQUIRED, "cached", "cache_write")
_MOST = Decimal(1_000_000)
_FINEST = -12  # digits behind the point; with both, no sum of costs is ever rounded
_DIGEST = 12


class OverriddenPrices:
    """Prices by model name, or by the beginning of it, over another price book."""

    def __init__(
        self, prices: Mapping[str, ModelPrice], beneath: PriceBook, *, source: str
    ) -> None:
        """`prices` has names, or beginnings of names with a `*` behind them."""
        self._exact = {name: price for name, price in prices.items() if not name.endswith("*")}
        self._prefixes = {name[:-1]: price for name, price in prices.items() if name.endswith("*")}
        self._beneath = beneath
        self._source = source

    @property
    def source(self) -> str:
        """The file and its digest, and the table beneath it."""
        return f"{self._source} over {self._beneath.source}"

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        """The user's price, by the whole name before the longest beginning; else the listed one."""
        if model is not None:
            if model in self._exact:
                return self._exact[model]
            fitting = [prefix for prefix in self._prefixes if model.startswith(prefix)]
            if fitting:
                return self._prefixes[max(fitting, key=len)]
        return self._beneath.price(model, endpoint)


def read_prices(path: Path, beneath: PriceBook) -> OverriddenPrices:
    """Read a file of prices. Raises `InputError` naming the file, the key and the remedy."""
    import tomllib  # noqa: PLC0415 (start-up time)

    try:
        content = path.read_bytes()
        tables = tomllib.loads(content.decode(), parse_float=Decimal)
    except OSError as error:
        raise InputError(
            f"the prices file {path} cannot be read: {error.strerror}; mend BATCHTRAIL_PRICES"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the prices file {path} is not valid TOML: {error}") from error
    except InvalidOperation:
        raise InputError(f"the prices file {path} has a number that no decimal can hold") from None
    try:
        prices = {name: _model_price(name, table) for name, table in tables.items()}
    except _WrongError as error:
        raise InputError(f"the prices file {path}: {error}") from None
    digest = hashlib.sha256(content).hexdigest()[:_DIGEST]
    return OverriddenPrices(prices, beneath, source=f"{path.name} (sha256 {digest})")


class _WrongError(Exception):
    """What is wrong with an entry, and the remedy."""


def _model_price(name: str, table: Any) -> ModelPrice:
    if not isinstance(table, dict):
        raise _WrongError(f'{name!r} is no table; write ["{name}"] and its prices below')
    _check_keys(name, table, {*_RATES, "tiers"})
    tiers = table.get("tiers", [])
    if not isinstance(tiers, list) or not all(isinstance(tier, dict) for tier in tiers):
        raise _WrongError(
            f"{name}.tiers is no list of tables; write tiers = [{{ above = 272000, input = … }}]"
        )
    made = [_tier(f"{name}.tiers[{number}]", tier) for number, tier in enumerate(tiers)]
    if sorted({tier.above for tier in made}) != [tier.above for tier in made]:
        raise _WrongError(f"{name}.tiers do not rise; order them by above, each one once")
    return ModelPrice(_rates(name, table), tuple(made))


def _tier(where: str, table: dict[str, Any]) -> Tier:
    _check_keys(where, table, {*_RATES, "above"})
    above = table.get("above")
    if type(above) is not int or above < 0:
        raise _WrongError(f"{where}.above is {above!r}; write a number of input tokens")
    return Tier(above, _rates(where, table))


def _check_keys(where: str, table: dict[str, Any], known: set[str]) -> None:
    for key, value in table.items():
        if key not in known and isinstance(value, dict):
            raise _WrongError(f'{where}.{key} is not known; put names in quotes: ["{where}.{key}"]')
        if key not in known:
            raise _WrongError(f"{where}.{key} is not known; write {', '.join(sorted(known))}")


def _rates(where: str, table: dict[str, Any]) -> Rates:
    for key in _REQUIRED:
        if key not in table:
            raise _WrongError(
                f"{where}.{key} is missing; write USD for a million tokens, at the batch price"
            )
    rates = {key: _rate(f"{where}.{key}", table[key]) for key in _RATES if key in table}
    return Rates(
        input=rates["input"],
        cached=rates.get("cached", rates["input"]),
        cache_write=rates.get("cache_write", rates["input"]),
        output=rates["output"],
    )


def _rate(where: str, value: object) -> Decimal:
    if type(value) is int or isinstance(value, Decimal):
        rate = Decimal(value)
        exponent = rate.as_tuple().exponent
        if rate.is_finite() and 0 <= rate <= _MOST and int(exponent) >= _FINEST:
            return rate
    raise _WrongError(
        f"{where} is {value!s:.40}; write USD for a million tokens, for example 0.025"
    )
