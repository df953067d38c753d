"""What a person sees while a run works: a bar with remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


class Progress:
    """Progress of one job, measured in units of work that the caller defines.

    On a terminal a bar shows what is being done at the moment and the time that is left; `line` writes above it.
    Elsewhere only the lines are written. Use it as a context.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.console = console or Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self.total = 0.0
        self.done = 0.0
        self._started = time.perf_counter()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]} {task.fields[status]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=None, left="", status="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()

    def expect(self, work: float) -> None:
        """Say that so much work lies ahead."""
        self.total += work
        self._bar.update(self._task, total=self.total)

    def advance(self, work: float, status: str) -> None:
        """Say that so much work has been done, and what is being done now."""
        self.done += work
        self._bar.update(self._task, completed=self.done, status=status, left=f"{self.left} left,")

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self.console.print(text, markup=False)

    @property
    def left(self) -> str:
        """The remaining time, if work goes on as fast as so far, e.g. "3 min 20 s"."""
        if not self.done:
            return "unknown time"
        seconds = (time.perf_counter() - self._started) * (self.total - self.done) / self.done
        return duration(seconds)


def duration(seconds: float) -> str:
    """A time for people: "45 s", "3 min 20 s", "2 h 05 min", "3 d 4 h"."""
    s = max(0, round(seconds))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    if s < 86400:
        return f"{s // 3600} h {s % 3600 // 60:02d} min"
    return f"{s // 86400} d {s % 86400 // 3600} h"
