"""Progress for people: silent unless a program, such as the command line, turns it on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from kft.messages import one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Item = TypeVar("Item")

_console: ContextVar[Console | None] = ContextVar("console", default=None)
_epoch_bar: ContextVar[EpochBar | None] = ContextVar("epoch_bar", default=None)


@contextmanager
def shown_on(console: Console) -> Iterator[None]:
    """Shows progress on `console` while the context lasts, and leaves it tidy after an error."""
    before = _console.set(console)
    try:
        yield
    finally:
        _console.reset(before)
        if (left := _epoch_bar.get()) is not None:
            left.close()


@contextmanager
def hidden() -> Iterator[None]:
    """Shows no progress while the context lasts: several workers would show the same."""
    before = _console.set(None)
    try:
        yield
    finally:
        _console.reset(before)


def say(message: str) -> None:
    """Shows one line, if anyone is looking."""
    console = _console.get()
    if console is not None:
        console.print(message, markup=False, highlight=False, soft_wrap=True)


def warn(message: str) -> None:
    """Shows one line of what went wrong; where nobody looks, by Python's own way to warn."""
    if _console.get() is None:
        warnings.warn(message, stacklevel=2)
    else:
        say(f"warning: {message}")


@contextmanager
def for_people(what: str) -> Iterator[None]:
    """Does what is for people alone, so that it ends no run: where it fails, says so and why."""
    try:
        yield
    except Exception as error:
        warn(f"{what} is not written: {one_line(error) or type(error).__name__}")


def track(items: Iterable[Item], title: str, total: int) -> Iterator[Item]:
    """Yields `items`, showing a bar on a terminal and one line at the end elsewhere."""
    console = _console.get()
    if console is None or not console.is_terminal:
        say(title)
        yield from items
        return
    with bar(console) as progress:
        task = progress.add_task(title, total=total, note="")
        for item in items:
            yield item
            progress.advance(task)


def bar(console: Console) -> Progress:
    """Returns a bar with title, count, time left and a note."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", markup=False),
        console=console,
        transient=True,
        # Rich would send what goes to a file or pipe to the terminal of the bar.
        redirect_stdout=sys.stdout.isatty(),
    )


class EpochBar:
    """The bar of one epoch of training; does nothing where nobody looks."""

    def __init__(self, title: str, steps: int) -> None:
        console = _console.get()
        self._bar = bar(console) if console is not None and console.is_terminal else None
        if self._bar is not None:
            self._bar.start()
            _epoch_bar.set(self)
            self._task = self._bar.add_task(title, total=steps, note="")

    def show(self, done: int, note: str) -> None:
        """Shows how many steps are done, and `note` behind the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done, note=note)

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.stop()
