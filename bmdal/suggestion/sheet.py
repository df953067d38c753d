"""Read a table from a CSV, Parquet or Excel file, with its cells as they are written."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bmdal.errors import BmdalError
from bmdal.suggestion.decimals import writes_decimal_comma

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SAMPLE = 200  # rows from which the layout is guessed
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".xlsm")


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table with its cells as they are written, and how.

    Attributes:
        name: what messages call it, such as the name of its file.
        cells: the table, rows counted from 0. In text files, all cells are text.
        index: what the rows are called; None: their numbers.
        separator, decimal: of the file, and of what is written for its readers.
        notes: what was noticed on reading.
    """

    name: str
    cells: pd.DataFrame
    index: Any = None
    separator: str = ","
    decimal: str = "."
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(map(str, self.cells.columns))

    @property
    def digest(self) -> str:
        """SHA-256 of the cells."""
        return hashlib.sha256(self.cells.to_csv(index=False).encode()).hexdigest()

    def rows(self, keep: NDArray[np.bool_]) -> Sheet:
        """The rows of a mask."""
        index = None if self.index is None else self.index[keep]
        return Sheet(self.name, self.cells[keep].reset_index(drop=True), index, self.separator, self.decimal)


def sheet_of(name: str, frame: pd.DataFrame) -> Sheet:
    """A pandas frame as a sheet. Raises BmdalError for column names that are no text or occur twice."""
    cells = frame.reset_index(drop=True).rename(columns=str)
    if not len(cells) or not len(cells.columns):
        raise BmdalError(f"{name} has {len(cells)} rows and {len(cells.columns)} columns: nothing to choose from")
    twice = cells.columns[cells.columns.duplicated()]
    if len(twice):
        raise BmdalError(f"{name}: two columns are called {twice[0]!r}; rename one")
    return Sheet(name, cells, frame.index, decimal=_decimal(cells))


def read_sheet(path: Path) -> Sheet:
    """Read a file by its suffix. Raises BmdalError for one that cannot be read, and OSError if there is none."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise BmdalError(f"{path}: the suffix {suffix!r} says nothing about the format; valid: {', '.join(_SUFFIXES)}")
    try:
        if suffix in (".xlsx", ".xlsm"):
            return _excel(path)
        if suffix in (".parquet", ".pq"):
            frame = sheet_of(path.name, pd.read_parquet(path)).cells
            return Sheet(path.name, frame, notes=(f"{path.name}: {_size(frame)}, Parquet",))
        return _text(path)
    except ImportError as error:
        raise BmdalError(
            f"{path}: {str(error).splitlines()[0]} (pip install openpyxl for Excel, pyarrow for Parquet)"
        ) from error
    except (BmdalError, OSError):
        raise
    except Exception as error:  # damaged files cause many kinds of errors in the readers
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BmdalError(f"{path}: not a readable {suffix[1:]} file ({reason})") from error


def _excel(path: Path) -> Sheet:
    with pd.ExcelFile(path, engine="openpyxl") as book:
        first, *others = book.sheet_names
        cells = sheet_of(path.name, pd.read_excel(book, dtype=object)).cells
    left = f"; its other sheets are not read: {', '.join(map(repr, others))}" if others else ""
    return Sheet(
        path.name, cells, decimal=_decimal(cells), notes=(f"{path.name}: {_size(cells)}, sheet {first!r}{left}",)
    )


def _text(path: Path) -> Sheet:
    text, encoding = _decoded(path)
    if not text.strip():
        raise BmdalError(f"{path}: the file is empty")
    separator = _separator(text)
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    names = [name.strip() or f"column {i + 1}" for i, name in enumerate(names)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BmdalError(f"{path}: two columns are called {twice!r}; rename one in the first line")
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # longer rows would lose cells
        try:
            cells = pd.read_csv(
                io.StringIO(text),
                sep=separator,
                header=0,
                names=names,
                dtype=str,
                keep_default_na=False,
                index_col=False,
            )
        except pd.errors.ParserWarning as error:
            raise BmdalError(f"{path}: rows have more cells than the first line, which names {len(names)}") from error
    if not len(cells):
        raise BmdalError(f"{path}: there are names in the first line and no rows below it")
    notes = [f"{path.name}: {_size(cells)}, separated by {SEPARATORS[separator]}, {encoding}"]
    short = int(cells.isna().any(axis=1).sum())
    if short:
        notes.append(f"{path.name}: {short:,} rows are shorter than the first line; the cells they lack are missing")
    return Sheet(path.name, cells.fillna(""), None, separator, _decimal(cells), tuple(notes))


def _size(cells: pd.DataFrame) -> str:
    return f"{len(cells):,} rows, {len(cells.columns)} columns"


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file and the encoding in words. Files that are not Unicode are taken to be from Western Windows."""
    raw = path.read_bytes()
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16"), "UTF-16"
    if b"\0" in raw[:4096]:
        raise BmdalError(f"{path}: not a text file; valid suffixes: {', '.join(_SUFFIXES)}")
    try:
        return raw.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace"), "not UTF-8, read as Windows-1252"


def _separator(text: str) -> str:
    """The separator that splits most rows into as many cells as the first, and into most cells."""

    def fit(separator: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        try:
            widths = [len(row) for _, row in zip(range(_SAMPLE), reader, strict=False) if row]
        except csv.Error:
            return 0.0, 0
        return sum(width == widths[0] > 1 for width in widths) / len(widths), widths[0]

    fits = {separator: fit(separator) for separator in SEPARATORS}
    good = {separator: width for separator, (share, width) in fits.items() if share > 0.9}
    return max(good, key=good.__getitem__) if good else max(fits, key=lambda s: (fits[s][0] > 0, fits[s][0]))


def _decimal(cells: pd.DataFrame) -> str:
    """`,` if a column has numbers that can only have a decimal comma."""
    for name in cells.columns:
        if not pd.api.types.is_numeric_dtype(cells[name].dtype):
            words = [cell.strip() for cell in cells[name].head(_SAMPLE) if isinstance(cell, str) and cell.strip()]
            if words and writes_decimal_comma(words):
                return ","
    return "."
