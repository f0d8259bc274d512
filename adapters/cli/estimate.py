"""The command that says what a file would cost; it needs no key and no database."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ... import bootstrap
from ...adapters.prices import offline_counter
from ...application.estimation import Estimate, estimate
from ...application.input import (
    CheckedInput,
    check_file,
    check_input,
    copy_stream,
    is_stream,
    reread,
    spool,
)
from ...domain.costs import usd_text
from ...domain.values import Limits
from .costs import usd_or_none
from .exits import ExitStatus
from .output import check_input_path
from .place import Place
from .render import json_text
from .text import clean, size_text

_ENQUEUED = "the account's enqueued tokens for each model cannot be asked for, and are not checked"


def show_estimate(path: Path, place: Place, *, as_json: bool) -> ExitStatus:
    """Check a file as `run` does, and print what it would cost."""
    check_input_path(path, place.taken())
    settings = place.settings()
    limits = bootstrap.limits(settings)
    prices = bootstrap.price_book(settings)
    with _checked(path, limits) as checked:
        found = estimate(checked, prices, offline_counter)
    if as_json:
        print(json_text(_data(found, limits)))
    else:
        for name, value in _lines(found, limits):
            print(f"{name:<10} {clean(value)}")
    return ExitStatus.OK


@contextmanager
def _checked(path: Path, limits: Limits) -> Iterator[CheckedInput]:
    if not is_stream(path):
        yield check_file(path, limits)
        return
    with spool() as file:
        copy_stream(path, file, limits)
        yield check_input(str(path), partial(reread, file, limits), limits)


def _lines(found: Estimate, limits: Limits) -> Iterator[tuple[str, str]]:
    """An estimate for people: what, and its value."""
    yield "requests", f"{found.requests:,} of {limits.max_requests:,} that one batch takes"
    yield "size", f"{size_text(found.size)} of {size_text(limits.max_bytes)}"
    yield "endpoint", f"{found.endpoint}  model {found.model or 'none'}"
    yield "input", f"about {found.input_tokens:,} tokens ({found.token_method})"
    yield "output", _output_text(found)
    yield "cost", _cost_text(found)
    yield "prices", found.price_source or "none"
    for exceeded in found.exceeded:
        yield "limit", f"would be hit: {exceeded}"
    yield "limit", _ENQUEUED


def _output_text(found: Estimate) -> str:
    if found.without_maximum == found.requests:
        return "no request names a maximum"
    text = f"at most {found.output_limit:,} tokens"
    if found.without_maximum:
        return f"{text} where a maximum is named"
    return text


def _cost_text(found: Estimate) -> str:
    if found.least is None:
        return f"unknown: {found.unbounded}"
    if found.most is None:
        return f"from ${usd_text(found.least)}; no upper bound: {found.unbounded}"
    return f"from ${usd_text(found.least)} to ${usd_text(found.most)}"


def _data(found: Estimate, limits: Limits) -> dict[str, Any]:
    """An estimate for a program; USD as decimal texts."""
    return {
        "requests": found.requests,
        "input_bytes": found.size,
        "endpoint": found.endpoint,
        "model": found.model,
        "input_tokens": found.input_tokens,
        "token_method": found.token_method,
        "max_output_tokens": found.output_limit,
        "requests_without_maximum": found.without_maximum,
        "requests_with_more_than_text": found.not_text,
        "cost": {"least_usd": usd_or_none(found.least), "most_usd": usd_or_none(found.most)},
        "no_upper_bound": found.unbounded,
        "prices": found.price_source,
        "limits": {
            "max_requests": limits.max_requests,
            "max_bytes": limits.max_bytes,
            "exceeded": found.exceeded,
            "not_checked": ["enqueued tokens"],
        },
    }
