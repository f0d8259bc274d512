"""How completion handlers are called: which methods, on which thread, and how they may fail."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from batchtrail.application.errors import HandlerFailedError, HandlerUnavailableError, InputError
from batchtrail.application.handlers import NoHandlers, check_reference
from batchtrail.application.runtime import raised_by
from batchtrail.domain.status import WorkStep
from batchtrail.domain.values import NewBatch

if TYPE_CHECKING:
    from collections.abc import Generator
    from uuid import UUID

    from tests.application.conftest import Lab

    from batchtrail.application.ports import CompletionHandlers
    from batchtrail.application.service import BatchService


class One:
    """The only handler there is."""

    def __init__(self, handler: object) -> None:
        self.handler = handler

    def load(self, reference: str) -> object:
        assert reference == "shop:Done"
        return self.handler


async def ended(lab: Lab, handler: object) -> tuple[BatchService, UUID]:
    """Submit a batch with this handler and bring it to its end at the provider."""
    service = lab.service(handlers=One(handler))
    batch_id = await service.submit(lab.lines(), completion_handler="shop:Done")
    lab.complete_all()
    return service, batch_id


class Plain:
    """A handler without a coroutine."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[str], bool]] = []

    def on_batch_completion(self, batch: Any, completions: Any) -> None:
        self._note(f"completion of {batch.request_count}", completions)

    def on_batch_success(self, _: Any, completions: Any) -> None:
        self._note("success", completions)

    def _note(self, what: str, completions: Any) -> None:
        ids = [each.custom_id for each in completions]
        self.told.append((what, ids, threading.current_thread() is threading.main_thread()))


async def test_a_plain_handler_has_a_thread_of_its_own(lab: Lab) -> None:
    """It may block; each method gets all completions in a plain iterator."""
    handler = Plain()
    service, batch_id = await ended(lab, handler)
    assert (await service.wait(batch_id)).handler_dispatched
    assert handler.told == [
        ("completion of 3", ["a", "b", "c"], False),
        ("success", ["a", "b", "c"], False),
    ]
    await service.wait(batch_id)
    assert len(handler.told) == 2


async def test_a_plain_handler_does_not_keep_the_loop(lab: Lab) -> None:
    """While it blocks, the loop goes on: here to let it go."""
    go_on = threading.Event()
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Blocking:
        def on_batch_completion(self, *_: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            assert go_on.wait(30)

    service, batch_id = await ended(lab, Blocking())

    async def release() -> None:
        await begun.wait()
        go_on.set()

    await asyncio.gather(service.wait(batch_id), release())
    assert (await service.status(batch_id)).handler_dispatched


async def test_a_handler_that_cancels_itself(lab: Lab) -> None:
    """That is its failure, and nobody else's end."""

    class Canceling:
        async def on_batch_completion(self, *_: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)

    service, batch_id = await ended(lab, Canceling())
    with pytest.raises(HandlerFailedError, match="raised CancelledError"):
        await service.wait(batch_id)
    assert (await service.status(batch_id)).trouble is not None


async def test_a_handler_whose_error_says_nothing(lab: Lab) -> None:
    """Not even as a text; the name is that of the method, whatever stands under it."""

    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def fail(*_: Any) -> None:
        raise SilentError

    class Partial:
        def __init__(self) -> None:
            self.on_batch_completion = partial(fail)

    service, batch_id = await ended(lab, Partial())
    words = (
        r"shop:Done.on_batch_completion raised SilentError: \(its text cannot be told: ValueError\)"
    )
    with pytest.raises(HandlerFailedError, match=words):
        await service.wait(batch_id)


async def test_methods_that_a_class_has_only_when_it_is_made(lab: Lab) -> None:
    """Such a class cannot be judged before."""

    class Made:
        def __init__(self) -> None:
            self.on_batch_completion = told.append

    class Lending:
        def __getattr__(self, name: str) -> Any:
            return told.append

    class Bare:
        pass

    told: list[Any] = []
    with pytest.raises(InputError, match="none of the methods"):
        await lab.service(handlers=One(Bare)).submit(lab.lines(), completion_handler="shop:Done")
    for made in (Lending, Made):
        service = lab.service(handlers=One(made))
        await service.submit(lab.lines(), new=True, completion_handler="shop:Done")


async def test_methods_that_are_missing_are_left_out(lab: Lab) -> None:
    """A handler for failures alone has nothing to do after a success, and that is its end."""

    class OnlyFailures:
        def on_batch_failure(self, *_: Any) -> None:
            raise AssertionError("it was no failure")

    service, batch_id = await ended(lab, OnlyFailures())
    assert (await service.wait(batch_id)).handler_dispatched


async def test_a_handler_may_stop_reading(lab: Lab) -> None:
    """Who needs the first completion only leaves nothing open behind him."""

    class Brief:
        def __init__(self) -> None:
            self.first: list[str] = []

        async def on_batch_completion(self, _: Any, completions: Any) -> None:
            async for each in completions:
                self.first.append(each.custom_id)
                break

        def on_batch_success(self, _: Any, completions: Any) -> None:
            self.first.append(next(completions).custom_id)

    handler = Brief()
    service, batch_id = await ended(lab, handler)
    assert (await service.wait(batch_id)).handler_dispatched
    assert handler.first == ["a", "a"]


@pytest.mark.parametrize("handler", [3, object(), object, len])
async def test_what_has_none_of_the_methods(lab: Lab, handler: object) -> None:
    """Nothing would be called: that is a mistake in the reference and not a handler's end."""
    batch_id = await lab.service().submit(lab.lines(), completion_handler="shop:Done")
    lab.complete_all()
    service = lab.service(handlers=One(handler))
    with pytest.raises(HandlerUnavailableError, match="none of the methods"):
        await service.wait(batch_id)
    trouble = (await service.status(batch_id)).trouble
    assert trouble is not None
    assert trouble.step is WorkStep.COMPLETION_HANDLER


class Demanding:
    """A class that cannot be made without arguments."""

    def __init__(self, needed: object) -> None:
        self.needed = needed

    def on_batch_completion(self, *_: Any) -> None:
        raise AssertionError("it was never made")


def _breaking(error: BaseException) -> type:
    class Breaking(Plain):
        def __init__(self) -> None:
            raise error

    return Breaking


async def test_a_class_is_made_for_each_batch(lab: Lab) -> None:
    """Anew, and not before its batch is over."""

    class Counted:
        made = 0

        def __init__(self) -> None:
            Counted.made += 1

        def on_batch_completion(self, *_: Any) -> None:
            """Do nothing."""

    for number in range(2):
        service, batch_id = await ended(lab, Counted)
        assert Counted.made == number
        await service.wait(batch_id)


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (Demanding, "TypeError: .*needed"),
        (_breaking(SystemExit(7)), "SystemExit: 7"),
        (_breaking(GeneratorExit()), "GeneratorExit: "),
    ],
)
async def test_what_cannot_be_made(lab: Lab, handler: type, problem: str) -> None:
    """It is a handler that cannot be had, like one that cannot be imported."""
    service, batch_id = await ended(lab, handler)
    with pytest.raises(HandlerUnavailableError, match=f"shop:Done cannot be made: {problem}"):
        await service.wait(batch_id)


class Missing:
    """Where handlers may be imported, and this one is not there."""

    def load(self, reference: str) -> object:
        raise HandlerUnavailableError(f"{reference} cannot be imported")


@pytest.mark.parametrize(
    ("handlers", "problem"),
    [(Missing(), "cannot be imported"), (One(object), "none of the methods"), (One(3), "none of")],
)
async def test_what_may_run_here_must_be_there(
    lab: Lab, handlers: CompletionHandlers, problem: str
) -> None:
    """It would be missed only after all was paid: nothing is recorded or sent."""
    service = lab.service(handlers=handlers)
    with pytest.raises(InputError, match=problem):
        await service.submit(lab.lines(), completion_handler="shop:Done")
    draft = NewBatch("fake", "/v1/responses", completion_handler="shop:Done")
    with pytest.raises(InputError, match=problem):
        await service.draft(draft)
    assert await service.batches() == []
    assert lab.provider.batch_ids == ()


async def test_what_was_submitted_goes_on_without_its_handler(lab: Lab) -> None:
    """It is paid for: its results do not wait for a handler that was lost since; nor a retry."""
    batch_id = await lab.service().submit(lab.lines(), completion_handler="shop:Done")
    service = lab.service(handlers=Missing())
    assert await service.submit(lab.lines(), completion_handler="shop:Done") == batch_id
    lab.provider.expire(lab.provider.batch_ids[0])
    with pytest.raises(HandlerUnavailableError):
        await service.wait(batch_id)
    retry = await service.status(await service.retry(batch_id))
    assert retry.completion_handler == "shop:Done"


class Panic(BaseException):
    """What native code raises when it breaks: no Exception, so that nobody catches it."""


def _raising(error: BaseException) -> type:
    class Raising:
        def on_batch_completion(self, *_: Any) -> None:
            raise error

    return Raising


def _raising_async(error: BaseException) -> type:
    class Raising:
        async def on_batch_completion(self, *_: Any) -> None:
            raise error

    return Raising


class Lazy:
    """A plain method that hands the work to a coroutine."""

    def on_batch_completion(self, *_: Any) -> Any:
        return self._later()

    async def _later(self) -> None:
        raise AssertionError("nobody runs this")


class Yielding:
    """A method that is a generator by mistake."""

    def on_batch_completion(self, *_: Any) -> Any:
        yield 1


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (_raising(ValueError("no")), "ValueError: no"),
        (_raising_async(ValueError("no")), "ValueError: no"),
        (_raising(StopIteration()), "StopIteration"),
        (_raising(SystemExit(7)), "SystemExit: 7"),
        (_raising_async(SystemExit(7)), "SystemExit: 7"),
        (_raising(asyncio.CancelledError()), "CancelledError"),
        (_raising_async(asyncio.CancelledError()), "CancelledError"),
        (_raising(Panic("no")), "Panic: no"),
        (_raising_async(Panic("no")), "Panic: no"),
        (_raising(GeneratorExit()), "GeneratorExit"),
        (_raising_async(GeneratorExit()), "GeneratorExit"),
        (_raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (_raising(ValueError("\udcff")), r"\\udcff"),
        (_raising(ValueError("x" * 10_000)), "xxx…"),
        (Lazy, "returned a coroutine, which nobody runs"),
        (Yielding, "returned a generator, which nobody runs"),
    ],
)
async def test_however_it_fails(lab: Lab, handler: type, problem: str) -> None:
    """The results are safe, the reason is in the status, and it is called again."""
    service, batch_id = await ended(lab, handler())
    with pytest.raises(HandlerFailedError, match="on_batch_completion raised"):
        await service.wait(batch_id)
    summary = await service.status(batch_id)
    assert summary.trouble is not None
    assert problem.replace("\\\\", "\\") in summary.trouble.problem
    assert len(summary.trouble.problem) < 3_000
    assert (summary.results_collected, summary.handler_dispatched) == (True, False)
    good = lab.service(handlers=One(Plain()))
    assert (await good.wait(batch_id)).handler_dispatched


async def test_an_interrupt_is_no_failure(lab: Lab) -> None:
    """Ctrl-C that comes while a coroutine runs goes to whoever waits; nothing is recorded."""
    service, batch_id = await ended(lab, _raising_async(KeyboardInterrupt())())
    with pytest.raises(KeyboardInterrupt):
        await service.wait(batch_id)
    summary = await service.status(batch_id)
    assert (summary.results_collected, summary.handler_dispatched) == (True, False)
    assert summary.trouble is None


def test_what_is_closed_inside_a_handler_does_not_go_on() -> None:
    """As a loop that ends closes what it never comes back to: that is no failure of the handler."""

    class Endless:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def waiting() -> None:
        raised.append(await raised_by(Endless()))

    raised: list[BaseException | None] = []
    wait = waiting()
    wait.send(None)
    wait.close()
    assert raised == []


async def test_waiting_that_is_broken_off_is_no_failure(lab: Lab) -> None:
    """Whoever cancels the wait is told so; the handler is called again."""

    class Endless:
        async def on_batch_completion(self, *_: Any) -> None:
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    service, batch_id = await ended(lab, Endless())
    task = asyncio.create_task(service.wait(batch_id))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    summary = await service.status(batch_id)
    assert (summary.handler_dispatched, summary.trouble) == (False, None)


@pytest.mark.parametrize(
    "reference", ["", "shop", "shop:", ":Done", "shop.:Done", "1shop:Done", "shop:Done()", "a b:C"]
)
async def test_references_that_name_no_class(lab: Lab, reference: str) -> None:
    """Refused before anything is recorded."""
    with pytest.raises(InputError, match=r"package\.module:Name"):
        await lab.service().submit(lab.lines(), completion_handler=reference)
    assert await lab.service().batches() == []
    check_reference("shop.batches:Done.Inner")


async def test_another_handler_is_refused(lab: Lab) -> None:
    """It would never be called; the same one, or none, goes on, and a new batch has its own."""
    service = lab.service()
    plain = await service.submit(lab.lines())
    with pytest.raises(InputError, match=f"is batch {plain} already.* no completion handler"):
        await service.submit(lab.lines(), completion_handler="shop:Done")
    handled = await service.submit(lab.lines(), completion_handler="shop:Done", new=True)
    with pytest.raises(InputError, match="begun with the completion handler shop:Done"):
        await service.submit(lab.lines(), completion_handler="shop:Other")
    for again in (None, "shop:Done"):
        assert await service.submit(lab.lines(), completion_handler=again) == handled
    assert {each.id for each in await service.batches()} == {plain, handled}


async def test_without_an_allow_list_nothing_runs(lab: Lab) -> None:
    """A service that was given no handlers calls none, and says so."""
    service = lab.service(handlers=NoHandlers())
    batch_id = await service.submit(lab.lines(), completion_handler="shop:Done")
    lab.complete_all()
    with pytest.raises(HandlerUnavailableError, match="may not run here"):
        await service.wait(batch_id)
    await lab.assert_each_once(service, batch_id)
