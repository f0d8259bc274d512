"""Price books and token counters, all offline."""

from .genai import GenaiPrices
from .overrides import OverriddenPrices, read_prices
from .vocabulary import offline_counter

__all__ = ["GenaiPrices", "OverriddenPrices", "offline_counter", "read_prices"]
