"""Files that appear whole or not at all, and cells that a spreadsheet does not run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bmdal.errors import BmdalError
from bmdal.suggestion.decimals import is_number

STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""The first characters of cells that spreadsheets take for formulas."""


def write_whole(texts: Mapping[Path, str]) -> None:
    """Write texts to temporary files beside their paths and then rename them, so that none appears in part."""
    aside = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in texts}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with aside[path].open("w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for path in texts:
            aside[path].replace(path)
    finally:
        for temporary in aside.values():
            temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise BmdalError if no file can be written at this path, before something takes long."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if path.is_dir():
        raise BmdalError(f"{path} is a folder; name a file")
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise BmdalError(f"{path} cannot be written: {folder} is {'write-protected' if folder.is_dir() else 'a file'}")


def as_csv(table: pd.DataFrame, separator: str, decimal: str) -> str:
    """A table as CSV in which text that a spreadsheet would take for a formula starts with an apostrophe.

    With letters beyond ASCII, it starts with a byte order mark, by which spreadsheets recognize UTF-8.
    """
    safe = table.rename(columns=quoted)
    for place, name in enumerate(table.columns):
        if not pd.api.types.is_numeric_dtype(table[name].dtype):
            safe.isetitem(place, table[name].map(quoted, na_action="ignore").array)
    text = safe.to_csv(index=False, sep=separator, decimal=decimal, lineterminator="\n")
    return text if text.isascii() else f"\ufeff{text}"


def quoted(cell: Any) -> Any:
    """A cell with an apostrophe in front if it is text that a spreadsheet would take for a formula."""
    text = cell.lstrip(" ") if isinstance(cell, str) else ""
    return f"'{cell}" if len(text) > 1 and text.startswith(STARTS_FORMULA) and not is_number(text) else cell


def unquoted(cell: str) -> str:
    """The cell before `quoted`."""
    return cell[1:] if cell.startswith("'") and quoted(cell[1:]) == cell else cell
