"""Progress on stderr: a bar with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Collection, Iterator
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Show the progress of one task. Use it as a context manager.

    On a terminal, a bar shows the current step and the remaining time, and `line` writes above it. Elsewhere, and in
    worker processes, there are only lines: those written by `line` and, if `amount` is given, one every ten seconds.

    Args:
        title: what is being done.
        total: the amount of work, in any unit; None if it is unknown.
        amount: formats an amount of work, e.g. as "3.1 MB".
    """

    def __init__(
        self,
        title: str,
        total: float | None = 0.0,
        amount: Callable[[float], str] | None = None,
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True, highlight=False)
        self.title = title
        self.total = total
        self.done = 0.0
        self._amount = amount
        self._started = self._last_line = time.monotonic()
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
        )
        # Lines printed to the same terminal go above the bar; a redirected stdout is left alone.
        self._bar = Bar(*columns, console=self.console, transient=True, redirect_stdout=sys.stdout.isatty())
        self._bar.disable = not self.console.is_terminal or multiprocessing.parent_process() is not None
        self._task = self._bar.add_task(title, total=total or None, text="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()

    def expect(self, work: float) -> None:
        """Add to the amount of work that lies ahead."""
        self.total = (self.total or 0.0) + work
        self._bar.update(self._task, total=self.total)

    def advance(self, work: float, status: str = "") -> None:
        """Report that an amount of work has been done, and what is being done now."""
        self.done += work
        text = ", ".join(filter(None, (self.so_far, status)))
        self._bar.update(self._task, completed=self.done, text=text)
        now = time.monotonic()
        if self._bar.disable and self._amount and now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self.line(f"{self.title}: {self.so_far}")

    def line(self, text: str) -> None:
        """Print a line that stays on the screen."""
        self.console.print(text, markup=False)

    @property
    def so_far(self) -> str:
        """The work done and the time left, e.g. "3.1 MB of 6.2 MB, 20 s left"."""
        texts = []
        if self._amount:
            texts.append(self._amount(self.done) + (f" of {self._amount(self.total)}" if self.total else ""))
        if self.total:
            texts.append(f"{self.left} left")
        return ", ".join(texts)

    @property
    def left(self) -> str:
        """The estimated remaining time at the average speed so far, e.g. "3 min 20 s"."""
        if not self.done or not self.total:
            return "unknown time"
        return duration((time.monotonic() - self._started) * (self.total - self.done) / self.done)


def with_progress(items: Collection[Item], doing: str) -> Iterator[Item]:
    """Iterate over items and show the progress; `doing` is the title, such as "reading run records"."""
    with Progress(doing, len(items), lambda n: f"{n:,.0f}") as progress:
        for item in items:
            yield item
            progress.advance(1)


def duration(seconds: float) -> str:
    """Format a duration: "45 s", "3 min 20 s", "2 h 05 min" or "3 d 4 h"."""
    s = max(0, round(seconds))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    if s < 86400:
        return f"{s // 3600} h {s % 3600 // 60:02d} min"
    return f"{s // 86400} d {s % 86400 // 3600} h"
