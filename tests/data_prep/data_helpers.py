"""Small things that several of these tests need."""

from __future__ import annotations

import shutil
from pathlib import Path

from data_prep.progress import Silent


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
