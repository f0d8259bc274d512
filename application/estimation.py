"""What a checked input would cost, before anything is sent."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
from attrs import define, evolve, frozen

from ..domain.costs import EXACT, FREE, usd_text
from ..domain.values import TokenUsage
from .errors import InputError
from .input import CheckedInput
from .ports import MOST_INPUTS_PER_REQUEST, PriceBook
from .pricing import BatchCosting, canonical
from .prompts import Prompt, prompt_of
from .token_counting import CounterOf, by_bytes

TOKENS_PER_MESSAGE = 4
MOST_EMBEDDING_INPUTS = 50_000
"""Over all requests of a batch (OpenAI's API reference, 2026)."""


class _Line(msgspec.Struct):
    body: dict[str, Any]


_decode = msgspec.json.Decoder(_Line, float_hook=float).decode  # alone, it refuses 1e400


@frozen
class Estimate:
    """What an input is and may cost, at the batch price; costs in USD.

    `least` is the cost of the estimated input tokens alone; `most` adds all the output that the
    requests allow, and takes the input for written to a cache where that costs more. Both are None
    when the price is not known; `most` also, unless the model is free, when a request names no
    maximum (`without_maximum`) or sends more than text (`not_text`: images, files, the provider's
    own tools, an earlier conversation), which is not counted. `exceeded` names the limits of the
    provider that the batch would hit.
    """

    requests: int
    size: int
    endpoint: str
    model: str | None
    input_tokens: int
    token_method: str
    output_limit: int
    without_maximum: int
    not_text: int
    least: Decimal | None
    most: Decimal | None
    price_source: str | None
    exceeded: tuple[str, ...] = ()

    @property
    def unbounded(self) -> str | None:
        """Why there is no upper bound, and what to do about it; None when there is one."""
        if self.most is not None:
            return None
        if self.least is None:
            return (
                f"no batch price is known of {self.model or 'a request without a model'} "
                "(add it to the file that BATCHTRAIL_PRICES names)"
            )
        if self.without_maximum:
            return (
                f"requests without a maximum of output tokens: {self.without_maximum:,} "
                f"(add {_LIMIT_NAMES.get(canonical(self.endpoint), 'one')} to each)"
            )
        return (
            f"requests that send more than text: {self.not_text:,} (images, files, hosted tools "
            "or an earlier conversation, whose tokens are known only afterwards)"
        )


_LIMIT_NAMES = {
    "/v1/responses": "max_output_tokens",
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
}


@define
class _Sum:
    """What has been counted of the requests so far."""

    input_tokens: int = 0
    output_limit: int = 0
    without_maximum: int = 0
    not_text: int = 0
    least: Decimal = FREE
    most: Decimal = FREE
    is_priced: bool = True
    inputs: int = 0
    most_inputs: int = 0

    def add(self, prompt: Prompt, tokens: int, costing: BatchCosting) -> None:
        """Count one request; its price tier is chosen by its own tokens."""
        self.input_tokens += tokens
        self.output_limit += prompt.output_limit or 0
        self.without_maximum += prompt.output_limit is None
        self.not_text += not prompt.is_whole
        self.inputs += prompt.inputs
        self.most_inputs = max(self.most_inputs, prompt.inputs)
        whole = TokenUsage(input=tokens, output=prompt.output_limit or 0)
        least, plain, written = (
            costing.cost_of(None, usage)
            for usage in (TokenUsage(input=tokens), whole, evolve(whole, cache_write=tokens))
        )
        if least is None or plain is None or written is None:
            self.is_priced = False
            return
        self.least = EXACT.add(self.least, least)
        self.most = EXACT.add(self.most, max(plain, written))


def estimate(
    checked: CheckedInput, prices: PriceBook | None, counter_of: CounterOf = by_bytes
) -> Estimate:
    """Count the requests of a checked input and price them, in constant memory.

    Raises `InputError` when the input is not what was checked.
    """
    costing = BatchCosting(prices, checked.endpoint, checked.model)
    endpoint = canonical(checked.endpoint)
    counter = counter_of(checked.model)
    total = _Sum()
    for body in _bodies(checked):
        prompt = prompt_of(endpoint, body)
        tokens = counter.count(prompt.texts) + prompt.tokens + prompt.messages * TOKENS_PER_MESSAGE
        total.add(prompt, tokens, costing)
    is_free = costing.cost_of(None, None) is not None  # whatever it takes and makes
    is_bounded = is_free or not (total.without_maximum or total.not_text)
    return Estimate(
        requests=len(checked.custom_ids),
        size=checked.size,
        endpoint=checked.endpoint,
        model=checked.model,
        input_tokens=total.input_tokens,
        token_method=f"{counter.method}, and {TOKENS_PER_MESSAGE} for each message",
        output_limit=total.output_limit,
        without_maximum=total.without_maximum,
        not_text=total.not_text,
        least=total.least if total.is_priced else None,
        most=total.most if total.is_priced and is_bounded else None,
        price_source=costing.source,
        exceeded=tuple(_exceeded(endpoint, total)),
    )


def _bodies(checked: CheckedInput) -> Iterator[dict[str, Any]]:
    for chunk in checked.chunks():
        for line in chunk.lines.split(b"\n")[:-1]:
            yield _decode(line).body


def _exceeded(endpoint: str, total: _Sum) -> Iterator[str]:
    if endpoint != "/v1/embeddings":
        return
    if total.inputs > MOST_EMBEDDING_INPUTS:
        yield f"{total.inputs:,} texts to embed; one batch takes {MOST_EMBEDDING_INPUTS:,}"
    if total.most_inputs > MOST_INPUTS_PER_REQUEST:
        yield (
            f"{total.most_inputs:,} texts in one request; a request takes "
            f"{MOST_INPUTS_PER_REQUEST:,}"
        )


def check_cost(name: str, found: Estimate, max_cost: Decimal) -> None:
    """Raise `InputError` when the input may cost more, or when nobody can say how much."""
    allowed = f"${usd_text(max_cost)}"
    if found.most is None:
        raise InputError(
            f"{name} cannot be promised to cost at most {allowed}: {found.unbounded}; "
            "nothing was sent"
        )
    if found.most > max_cost:
        raise InputError(
            f"{name} may cost up to ${usd_text(found.most)}, more than the {allowed} allowed; "
            "nothing was sent: allow more, lower the maximum of output tokens, or send fewer "
            "requests"
        )
