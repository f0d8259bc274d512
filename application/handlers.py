"""Completion handlers: a user's code that is called once every request has its outcome."""

import asyncio
import inspect
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
)
from typing import Any, NoReturn

from ..domain.batch import Batch
from ..domain.checks import check_text
from ..domain.status import BatchStatus
from .completions import Completion, completion_pages, completions
from .errors import (
    HandlerFailedError,
    HandlerNotAllowedError,
    HandlerUnavailableError,
    InputError,
    problem_text,
)
from .own_thread import raised_on_own_thread
from .ports import CompletionHandlers
from .runtime import Runtime, raised_apart
from .views import BatchSummary

ON_COMPLETION = "on_batch_completion"
ON_SUCCESS = "on_batch_success"
ON_FAILURE = "on_batch_failure"

_REFERENCE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def check_reference(reference: str | None) -> None:
    """Raise `InputError` for a completion handler that is not written as `package.module:Name`."""
    if reference is None:
        return
    check_text("completion_handler", reference)
    if not _REFERENCE.fullmatch(reference):
        raise InputError(
            f"the completion handler {reference!r} names no class; write package.module:Name"
        )


class NoHandlers:
    """Stands where no completion handler may run."""

    def load(self, reference: str) -> NoReturn:
        """Raise `HandlerNotAllowedError`."""
        raise HandlerNotAllowedError(
            f"the completion handler {reference} may not run here: no package is allowed to"
        )


class HandlerFlow:
    """Calls the completion handler of a batch whose results are collected.

    `on_batch_completion` is called for every end, then `on_batch_success` for a batch that
    ended, or `on_batch_failure` for any other end; a method that the handler lacks is left out.
    Each is given the batch's summary and an iterator over its completions in input order. A
    coroutine function is awaited and gets an async iterator; a plain one runs on a thread of its
    own and gets a plain iterator.
    """

    def __init__(self, runtime: Runtime, handlers: CompletionHandlers) -> None:
        self._runtime = runtime
        self._handlers = handlers

    def check(self, reference: str) -> None:
        """Raise `InputError` for a handler that this process may import and could not call.

        The class is looked at, not made. What may not be imported here may be had elsewhere.
        """
        try:
            found = self._handlers.load(reference)
            if not (isinstance(found, type) and _may_make_methods(found)):
                _check_methods(reference, found)
        except HandlerNotAllowedError:
            return
        except HandlerUnavailableError as error:
            raise InputError(str(error)) from error

    async def dispatch(self, batch: Batch) -> Batch:
        """Call the handler and record that it ran to its end.

        A handler is called again, from its first method, until that is recorded: it must bear a
        repeat. Raises `HandlerUnavailableError`, and `HandlerFailedError` when it raises.
        """
        reference = batch.completion_handler
        assert reference is not None
        handler = _made(reference, self._handlers.load(reference))
        _check_methods(reference, handler)
        summary = BatchSummary.of(batch)
        for name, method in _methods(handler, summary):
            raised = await self._call(method, summary)
            if raised is not None:
                raise HandlerFailedError(
                    f"the completion handler {reference}.{name} raised {problem_text(raised)}"
                ) from raised
        return await self._runtime.command(
            batch.id, lambda batch, stamp: batch.record_handler_dispatched(stamp=stamp)
        )

    async def _call(
        self, method: Callable[..., Any], summary: BatchSummary
    ) -> BaseException | None:
        """What a method raised, whatever it is; None when it ran to its end."""
        if inspect.iscoroutinefunction(method):
            return await raised_apart(method(summary, completions(self._runtime, summary.id)))
        pages = completion_pages(self._runtime, summary.id)
        each = _each_blocking(pages, asyncio.get_running_loop())
        return await raised_on_own_thread(
            lambda: _check_ran(method(summary, each)), name="batchtrail-handler"
        )


def _check_ran(result: object) -> None:
    """Raise TypeError for a method that has only promised to run: nobody would hold it to that."""
    if isinstance(result, Coroutine):
        result.close()
    if isinstance(result, Awaitable | Generator | AsyncGenerator):
        raise TypeError(
            f"it returned a {type(result).__name__}, which nobody runs; use `async def`"
        )


def _made(reference: str, found: object) -> object:
    """The handler itself, anew where a class is found."""
    if not isinstance(found, type):
        return found
    try:
        return found()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise HandlerUnavailableError(
            f"the completion handler {reference} cannot be made: {problem_text(error)}"
        ) from error


def _may_make_methods(found: type) -> bool:
    """Whether the methods of a class may be there only once it is made."""
    own = {name for each in found.__mro__[:-1] for name in vars(each)}
    return not own.isdisjoint(("__init__", "__getattr__", "__getattribute__"))


def _check_methods(reference: str, handler: object) -> None:
    """Raise `HandlerUnavailableError` for a handler, or its class, that nobody could call."""
    names = (ON_COMPLETION, ON_SUCCESS, ON_FAILURE)
    if not any(getattr(handler, name, None) for name in names):
        raise HandlerUnavailableError(
            f"the completion handler {reference} has none of the methods {', '.join(names)}"
        )


def _methods(handler: object, summary: BatchSummary) -> list[tuple[str, Callable[..., Any]]]:
    """The methods of a handler that this end of a batch calls, in their order, by their names."""
    end = ON_SUCCESS if summary.status is BatchStatus.ENDED else ON_FAILURE
    methods = [(name, getattr(handler, name, None)) for name in (ON_COMPLETION, end)]
    return [(name, method) for name, method in methods if method is not None]


def _each_blocking(
    pages: AsyncIterator[list[Completion]], loop: asyncio.AbstractEventLoop
) -> Iterator[Completion]:
    """The completions for code on another thread; a page at a time is asked of the loop."""

    async def next_page() -> list[Completion]:
        return await anext(pages, [])

    while page := asyncio.run_coroutine_threadsafe(next_page(), loop).result():
        yield from page
