"""Progress as a bar on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress as Bar,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from ...application.progress import Delayed, OnProgress, Progress
from .progress import describe


@contextmanager
def showing_bar() -> Iterator[OnProgress]:
    """A bar on standard error that is gone at the end of the block."""
    bar = _bar()
    try:
        yield _on_bar(bar)
    finally:
        bar.stop()


def _bar() -> Bar:
    return Bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )


def _on_bar(bar: Bar) -> OnProgress:
    task = bar.add_task("starting", total=None)

    def show(progress: Progress) -> None:
        text, done, total = describe(progress)
        bar.start()  # not before there is something to show; again is nothing
        if isinstance(progress, Delayed):
            bar.console.print(Text(text))
            return
        bar.update(task, description=text, completed=done or 0, total=total)

    return show
