"""A price book of one model, and of none for the others."""

from decimal import Decimal

from batchtrail.domain.costs import ModelPrice, Rates

PRICED = "gpt-5-nano"
UNPRICED = "model-without-a-price"
INPUT = Decimal("0.1000000003")
OUTPUT = Decimal("0.2")


class Prices:
    """USD for a million tokens, as no binary fraction can say it."""

    source = "laboratory prices 1"

    @staticmethod
    def price(model: str | None, endpoint: str) -> ModelPrice | None:
        del endpoint
        return ModelPrice(Rates(INPUT, INPUT, INPUT, OUTPUT)) if model == PRICED else None
