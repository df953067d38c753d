"""Progress of long work: bars with remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

Unit = Literal["bytes", "rows"]
Advance = Callable[[float], None]  # called with the amount done so far

_SECONDS_BETWEEN_LINES = 10.0


class Progress(Protocol):
    """What the work reports to: remarks, and tasks with an amount done so far of a total (None if unknown)."""

    def note(self, text: str) -> None: ...

    def task(self, text: str, total: float | None, unit: Unit) -> AbstractContextManager[Advance]: ...


class ConsoleProgress:
    """Reports on standard error: live bars if that is a terminal, else a line every ten seconds."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)

    def note(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, text: str, total: float | None, unit: Unit) -> Iterator[Advance]:
        """Show a bar, or lines, until the block ends."""
        if self._console.is_terminal:
            bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[amount]}"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            with bars:
                bar = bars.add_task(text, total=total, amount="")
                yield lambda done: bars.update(bar, completed=done, amount=_amount(done, total, unit))
        else:
            yield self._lines(text, total, unit)

    def _lines(self, text: str, total: float | None, unit: Unit) -> Advance:
        started = last = time.monotonic()

        def advance(done: float) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last < _SECONDS_BETWEEN_LINES:
                return
            last = now
            remaining = f", {(now - started) * (total / done - 1):.0f} s remaining" if total and done else ""
            self.note(f"{text}: {_amount(done, total, unit)}{remaining}")

        return advance


def _amount(done: float, total: float | None, unit: Unit) -> str:
    def show(x: float) -> str:
        return decimal(int(x)) if unit == "bytes" else f"{int(x):,} rows"

    return show(done) if not total else f"{show(done)} of {show(total)}"
