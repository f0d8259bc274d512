"""Correlation ids: what one command led to, in however many steps and batches, bears one id."""

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from ..domain.checks import check_text

_P = ParamSpec("_P")
_T = TypeVar("_T")

_current: ContextVar[str | None] = ContextVar("batchtrail_correlation_id", default=None)


def new_id() -> str:
    """A new id for a chain of commands, or for one of them."""
    return uuid4().hex[:16]


def correlation_id() -> str:
    """The id of the chain that this is a part of, or a new one."""
    return _current.get() or new_id()


@contextmanager
def correlated(given: str | None = None) -> Iterator[str]:
    """Give everything that is recorded within the block one correlation id; yields it.

    A service passes its own, such as the id of the request that it answers, and finds it in the
    log. Without one, the block is a part of the block around it, or gets a new id. Tasks that are
    begun within the block belong to it. Raises `InputError` for an id that is no text.
    """
    if given is not None:
        check_text("the correlation id", given)
    token = _current.set(given or correlation_id())
    try:
        yield correlation_id()
    finally:
        _current.reset(token)


def one_chain(
    command: Callable[_P, Coroutine[Any, Any, _T]],
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Let each call of a command be one chain, or a part of the one that it is called in."""

    @wraps(command)
    async def in_one_chain(*args: _P.args, **options: _P.kwargs) -> _T:
        with correlated():
            return await command(*args, **options)

    return in_one_chain


def one_step(
    step: Callable[_P, Coroutine[Any, Any, _T]],
) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """Let each step of a worker be a chain of its own, whoever started the worker."""

    @wraps(step)
    async def in_chain_of_its_own(*args: _P.args, **options: _P.kwargs) -> _T:
        with correlated(new_id()):
            return await step(*args, **options)

    return in_chain_of_its_own
