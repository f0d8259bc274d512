"""A user's own prices come first, and a mistake in their file is told in one sentence."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from batchtrail.adapters.prices import GenaiPrices, OverriddenPrices, read_prices
from batchtrail.application.errors import InputError
from batchtrail.domain.costs import ModelPrice, cost_of
from batchtrail.domain.values import TokenUsage

RESPONSES = "/v1/responses"
TIER = '[["m".tiers]]\nabove = 1\ninput = 1\noutput = 1\n'


class Listed:
    """A table with one model."""

    source = "a table of 2026-01-01"

    def price(self, model: str | None, endpoint: str) -> ModelPrice | None:
        return GenaiPrices().price("gpt-5", endpoint) if model == "listed" else None


def read(tmp_path: Path, text: str) -> OverriddenPrices:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    return read_prices(path, Listed())


def rates(book: OverriddenPrices, model: str | None) -> list[str] | None:
    price = book.price(model, RESPONSES)
    if price is None:
        return None
    found = price.rates
    return [str(rate) for rate in (found.input, found.cached, found.cache_write, found.output)]


def test_own_prices_come_first(tmp_path: Path) -> None:
    """The whole name before the longest beginning of it, and both before the list."""
    book = read(
        tmp_path,
        '["listed"]\ninput = 1\noutput = 2\n'
        '["llama-*"]\ninput = 0.1\ncached = 0.01\ncache_write = 0.125\noutput = 0.3\n'
        '["llama-3*"]\ninput = 0.2\noutput = 0.4\n'
        '["llama-3-70b"]\ninput = 0.7\noutput = 1.1\n',
    )
    assert rates(book, "listed") == ["1", "1", "1", "2"]
    assert rates(book, "llama-2") == ["0.1", "0.01", "0.125", "0.3"]
    assert rates(book, "llama-3-8b") == ["0.2", "0.2", "0.2", "0.4"]
    assert rates(book, "llama-3-70b") == ["0.7", "0.7", "0.7", "1.1"]
    assert rates(book, "unheard-of") is None
    assert rates(book, None) is None


def test_without_an_own_price_the_list_counts(tmp_path: Path) -> None:
    """A file changes only what it names."""
    book = read(tmp_path, '["another"]\ninput = 1\noutput = 2\n')
    assert rates(book, "listed") == ["0.625", "0.0625", "0.625", "5"]


def test_tiers(tmp_path: Path) -> None:
    """Above so many input tokens of one request, all its tokens cost the tier's rates."""
    book = read(
        tmp_path,
        '["m"]\ninput = 1\noutput = 5\n'
        "tiers = [{ above = 100, input = 2, output = 7.5 },"
        " { above = 200, input = 3, output = 9 }]",
    )
    price = book.price("m", RESPONSES)
    assert price is not None
    costs = [cost_of(TokenUsage(input=n, output=1), price) * 1_000_000 for n in (100, 101, 201)]
    assert costs == [Decimal(105), Decimal("209.5"), Decimal(612)]


def test_source_names_the_file_and_its_content(tmp_path: Path) -> None:
    """The log says which prices these were, even when the file changes later."""
    one = read(tmp_path, '["m"]\ninput = 1\noutput = 5\n').source
    other = read(tmp_path, '["m"]\ninput = 1\noutput = 6\n').source
    pattern = r"prices\.toml \(sha256 [0-9a-f]{12}\) over a table of 2026-01-01"
    assert re.fullmatch(pattern, one)
    assert re.fullmatch(pattern, other)
    assert one != other


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("m = 1", "'m' is no table"),
        ('["m"]\ninput = 1', "m.output is missing"),
        ('["m"]\noutput = 1', "m.input is missing"),
        ('["m"]\ninput = "1"\noutput = 1', "m.input is 1; write USD"),
        ('["m"]\ninput = -1\noutput = 1', "m.input is -1; write USD"),
        ('["m"]\ninput = nan\noutput = 1', "m.input is NaN; write USD"),
        ('["m"]\ninput = inf\noutput = 1', "m.input is Infinity; write USD"),
        ('["m"]\ninput = true\noutput = 1', "m.input is True; write USD"),
        ('["m"]\ninput = 1\noutput = 1000001', "m.output is 1000001; write USD"),
        ('["m"]\ninput = 0.0000000000001\noutput = 1', "m.input is 1E-13; write USD"),
        ('["m"]\ninput = 1\noutput = 1\nchached = 1', "m.chached is not known; write cache_write"),
        ("[gpt-5.3]\ninput = 1\noutput = 1", 'put names in quotes: ["gpt-5.3"]'),
        ('["m"]\ninput = 1\noutput = 1\ntiers = 3', "m.tiers is no list of tables"),
        ('["m"]\ninput = 1\noutput = 1\ntiers = [{ input = 1, output = 1 }]', "m.tiers[0].above"),
        (
            '["m"]\ninput = 1\noutput = 1\ntiers = [{ above = 1, input = 1 }]',
            "m.tiers[0].output is",
        ),
        (
            '["m"]\ninput = 1\noutput = 1\n' + TIER + TIER,
            "m.tiers do not rise",
        ),
        ("[", "is not valid TOML"),
        (f'["m"]\ninput = 1e{"9" * 21}\noutput = 1', "a number that no decimal can hold"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, problem: str) -> None:
    """File, key and remedy."""
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "prices.toml") in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The sentence names the setting that names the file."""
    with pytest.raises(InputError, match=r"nowhere\.toml cannot be read: .*BATCHTRAIL_PRICES"):
        read_prices(tmp_path / "nowhere.toml", Listed())


def test_file_that_is_no_text(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 are a mistake in the file, not in the program."""
    path = tmp_path / "prices.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="is not valid TOML"):
        read_prices(path, Listed())
