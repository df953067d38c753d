"""Progress of long work on stderr: a bar with the remaining time, or a plain line where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def with_progress(items: Collection[Item], doing: str) -> Iterator[Item]:
    """The items, while their progress is shown; `doing` says what is done with them, as in "reading run records"."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{doing}: {len(items):,}", highlight=False)
        yield from items
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # What is printed meanwhile is to stand above the bar; but a redirected stdout keeps its lines.
    shares_screen = sys.stdout.isatty()
    with Progress(*columns, console=console, transient=True, redirect_stdout=shares_screen) as bar:
        yield from bar.track(items)
