"""Costs as text for people, as JSON for programs, and from the command line."""

from decimal import Decimal, InvalidOperation
from typing import Any

from ...application.errors import InputError
from ...application.views import BatchSummary
from ...domain.costs import usd_text
from ...domain.values import Totals


def cost_text(totals: Totals) -> str:
    """What a batch cost; a cost that is not known is never shown as nothing."""
    if totals.cost is not None:
        return f"${usd_text(totals.cost)}"
    known = f"at least ${usd_text(totals.priced_cost)}" if totals.priced_cost else "unknown"
    if totals.unpriced:
        known += f"; requests without a known price: {totals.unpriced:,}"
    if missing := totals.outcomes.missing:
        known += f"; results that are missing, and may be paid: {missing:,}"
    return known


def cost_data(summary: BatchSummary) -> dict[str, Any]:
    """What a batch cost, in USD as decimal texts: `usd` is null when it is not known."""
    totals = summary.totals
    return {
        "usd": usd_or_none(totals.cost),
        "at_least_usd": usd_text(totals.priced_cost),
        "requests_without_price": totals.unpriced,
        "prices": summary.price_source,
    }


def usd_or_none(cost: Decimal | None) -> str | None:
    """A cost to its last digit, for a program."""
    return None if cost is None else usd_text(cost)


def parse_max_cost(text: str | None) -> Decimal | None:
    """The amount of --max-cost. Raises `InputError` for what is none."""
    if text is None:
        return None
    try:
        amount = Decimal(text.strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or amount < 0:
        raise InputError(f"--max-cost {text!r} is no amount; write USD, for example 2.50")
    return amount
