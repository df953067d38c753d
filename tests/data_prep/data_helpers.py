"""Small things that several of these tests need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_prep.progress import Advance, Unit


class Silent:
    """Reports nothing."""

    def note(self, text: str) -> None:
        """Drop the remark."""

    @contextmanager
    def task(self, text: str, total: float | None, unit: Unit) -> Iterator[Advance]:
        """Drop the amounts."""
        yield lambda done: None


class Notes(Silent):
    """Keeps the remarks."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder that may be read-only into one that is not."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
