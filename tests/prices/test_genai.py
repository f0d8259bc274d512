"""OpenAI's batch prices: each trap of the price table, computed by hand from OpenAI's list."""

from decimal import Context, Decimal, localcontext
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from genai_prices.data import providers

from batchtrail.adapters.prices import GenaiPrices
from batchtrail.domain.costs import cost_of
from batchtrail.domain.values import TokenUsage

PRICES = GenaiPrices()
RESPONSES, EMBEDDINGS = "/v1/responses", "/v1/embeddings"
MILLION = 1_000_000


def cost(model: str | None, usage: TokenUsage, endpoint: str = RESPONSES) -> Decimal | None:
    price = PRICES.price(model, endpoint)
    return None if price is None else cost_of(usage, price)


@pytest.mark.parametrize(
    ("model", "given", "cached", "made"),
    [
        ("gpt-3.5-turbo", "0.25", "0.25", "0.75"),  # no cached price at all: as other input
        ("gpt-5", "0.625", "0.0625", "5"),
        ("gpt-5-nano", "0.025", "0.0025", "0.2"),
        ("gpt-5-nano-2025-08-07", "0.025", "0.0025", "0.2"),  # the snapshot that answers name
        ("gpt-5.4", "1.25", "0.13", "7.5"),  # rounded by OpenAI itself: not half of 0.25
        ("gpt-5.4-mini", "0.375", "0.0375", "2.25"),
        ("gpt-6.1-sol", "1", "0.05", "5"),
        ("o3-pro", "10", "10", "40"),
        ("gpt-4o", "1.25", "1.25", "5"),  # no cached batch price: the standard cached one
        ("gpt-4.1", "1", "0.5", "4"),
        ("o4-mini", "0.55", "0.275", "2.2"),
        ("gpt-3.5-turbo-1106", "1", "1", "2"),  # listed for batches at the standard price
    ],
)
def test_listed_models(model: str, given: str, cached: str, made: str) -> None:
    """A million tokens of each kind, at the batch price."""
    small = MILLION // 10  # below every tier
    kinds = (
        TokenUsage(input=small),
        TokenUsage(input=small, cached=small),
        TokenUsage(output=small),
    )
    assert [cost(model, usage) for usage in kinds] == [
        Decimal(rate) / 10 for rate in (given, cached, made)
    ]


@pytest.mark.parametrize(
    ("model", "half"),
    [
        ("text-embedding-3-small", "0.01"),
        ("text-embedding-3-large", "0.065"),
        ("text-embedding-ada-002", "0.05"),
    ],
)
def test_embeddings_cost_half(model: str, half: str) -> None:
    """The table lists their standard price only."""
    assert cost(model, TokenUsage(input=MILLION), EMBEDDINGS) == Decimal(half)


@pytest.mark.parametrize("model", [None, "omni-moderation-latest", "text-moderation-stable"])
def test_moderation_is_free(model: str | None) -> None:
    """Known to be nothing, which is not the same as unknown."""
    price = PRICES.price(model, "/v1/moderations")
    assert price is not None
    assert price.is_free


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        (TokenUsage(input=272_000, output=1_000), "0.277"),  # 272,000 at 1, 1,000 at 5
        (TokenUsage(input=272_001, output=1_000), "0.551502"),  # at 2 and 7.5
        (TokenUsage(input=2_000, cache_write=1_000), "0.00225"),  # 1,000 at 1, 1,000 at 1.25
        (TokenUsage(input=300_000, cached=100_000, cache_write=100_000), "0.47"),
    ],
)
def test_long_prompts_and_cache_writes(usage: TokenUsage, usd: str) -> None:
    """gpt-6-sol: twice and one and a half times above 272K; a cache write at 1.25."""
    assert cost("gpt-6-sol", usage) == Decimal(usd)


def test_model_without_a_long_batch_tier() -> None:
    """gpt-5.5-pro has a long-prompt price, but none for batches."""
    assert cost("gpt-5.5-pro", TokenUsage(input=MILLION)) == 15


@pytest.mark.parametrize(
    ("model", "endpoint"),
    [
        (None, RESPONSES),
        ("", RESPONSES),
        ("llama-3.3-70b", RESPONSES),
        ("my-deployment", RESPONSES),
        ("gpt-5.3", RESPONSES),  # listed, but not for batches
        ("o1-mini", RESPONSES),
        ("text-embedding-3-small", RESPONSES),
        ("no-embedding", EMBEDDINGS),
        ("gpt-image-1.5", "/v1/images/generations"),  # image tokens have other rates
        ("whisper-1", RESPONSES),
    ],
)
def test_unknown_has_no_price(model: str | None, endpoint: str) -> None:
    """No price is better than a wrong one, and never nothing."""
    assert PRICES.price(model, endpoint) is None


def test_the_callers_decimal_context_rounds_no_rate() -> None:
    """Half of 0.13 is 0.065, however coarse the caller computes."""
    with localcontext(Context(prec=1)):
        assert str(PRICES.price("text-embedding-3-large", EMBEDDINGS)).count("'0.065'") == 3


def test_source_has_version_and_date() -> None:
    """Which release, and the newest date from which a batch price in it holds."""
    release, _, date = PRICES.source.partition(", OpenAI batch prices of ")
    assert release == f"genai-prices {version('genai-prices')}"
    assert "2026-10-14" <= date < "2100"


def openai() -> list[Any]:
    return next(list(provider.models) for provider in providers if provider.id == "openai")


def test_the_package_computes_the_same() -> None:
    """For every model with a batch price, request by request, on both sides of the tier."""
    usages = [
        TokenUsage(input=1_500, cached=1_024, output=500),
        TokenUsage(input=272_000, cached=1, output=7),
        TokenUsage(input=272_001, cached=99_999, output=12_345),
    ]
    compared = 0
    for model in openai():
        name = model.id
        price = PRICES.price(name, RESPONSES)
        if price is None:
            continue
        compared += 1
        for usage in usages:
            theirs = calc_price(
                Usage(
                    input_tokens=usage.input,
                    cache_read_tokens=usage.cached,
                    output_tokens=usage.output,
                ),
                name,
                provider_id="openai",
                price_context={"processing": "batch"},
            )
            assert (name, cost_of(usage, price)) == (name, theirs.total_price)
    assert compared > 30
