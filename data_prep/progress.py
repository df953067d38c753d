"""Progress reports, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

from rich.console import Console
from rich.filesize import decimal

from cli.progress import Progress as Shown

Unit = Literal["bytes", "rows"]
Advance = Callable[[float], None]  # called with the amount done so far


class Progress(Protocol):
    """Receives notes, and the progress of tasks towards a total (None if unknown)."""

    def note(self, text: str) -> None: ...

    def task(self, text: str, total: float | None, unit: Unit) -> AbstractContextManager[Advance]: ...


class ConsoleProgress:
    """Report on standard error."""

    def note(self, text: str) -> None:
        """Print one line."""
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, text: str, total: float | None, unit: Unit) -> Iterator[Advance]:
        """Show a bar, or print lines, until the block ends."""
        amounts: dict[Unit, Callable[[float], str]] = {
            "bytes": lambda done: decimal(int(done)),
            "rows": lambda done: f"{int(done):,} rows",
        }
        with Shown(text, total, amounts[unit]) as shown:
            yield lambda done: shown.advance(done - shown.done)
