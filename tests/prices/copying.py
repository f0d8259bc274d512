"""The copy of OpenAI's prices, made by asking the installed genai-prices for each of its models."""

from collections.abc import Iterator
from importlib.metadata import version

from genai_prices import types as genai
from genai_prices.data import providers
from msgspec import json

from batchtrail.adapters.prices import GenaiPrices
from batchtrail.adapters.prices.copied import EMBEDDINGS, CopiedModel, Rule
from batchtrail.adapters.prices.genai import price_of

ASKED = GenaiPrices(lambda: None)
"""The package itself."""

OPENAI = next(provider for provider in providers if provider.id == "openai")


def made() -> bytes:
    """The whole file: a line for each model."""
    head = json.encode({"release": version("genai-prices"), "source": ASKED.source})
    models = b",\n".join(json.encode(_copied(model)) for model in OPENAI.models)
    return head.removesuffix(b"}") + b',"models":[\n' + models + b"\n]}\n"


def _copied(model: genai.ModelInfo) -> CopiedModel:
    return CopiedModel(
        rules=tuple(_rules(model.match)),
        batch=price_of(model, "/v1/responses"),
        embeddings=price_of(model, EMBEDDINGS),
    )


def _rules(clause: genai.MatchLogic) -> Iterator[Rule]:
    """The conditions of which one must be met; the package has more kinds, but not for OpenAI."""
    match clause:
        case genai.ClauseOr(or_=clauses):
            for each in clauses:
                yield from _rules(each)
        case genai.ClauseEquals(equals=text):
            yield Rule("equals", text.lower())
        case genai.ClauseStartsWith(starts_with=text):
            yield Rule("starts_with", text.lower())
        case genai.ClauseContains(contains=text):
            yield Rule("contains", text.lower())
        case genai.ClauseRegex(regex=text):
            yield Rule("regex", text)
        case _:
            raise NotImplementedError(clause)
