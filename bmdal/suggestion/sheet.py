"""Read a table from a CSV, Parquet or Excel file, with its cells as they are written."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bmdal.errors import BmdalError
from bmdal.suggestion.decimals import writes_decimal_comma
from bmdal.suggestion.words import counted

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\r?\n')
_SAMPLE = 200  # rows from which the layout is guessed
_SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".xlsx", ".xlsm")


@dataclass(frozen=True, eq=False)
class Sheet:
    """A table with its cells as they are written, and how.

    Attributes:
        name: what messages call it, such as the name of its file.
        cells: the table, rows counted from 0. In text files, all cells are text.
        index: what the rows are called; None: their numbers.
        numbers: of the rows, in the table as it was given, counted from 1; None: all, in order.
        separator, decimal: of the file, and of what is written for its readers.
        notes: what was noticed on reading.
    """

    name: str
    cells: pd.DataFrame
    index: Any = None
    numbers: NDArray[np.int64] | None = None
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
        return replace(
            self, cells=self.cells[keep].reset_index(drop=True), index=index, numbers=self.row_numbers[keep], notes=()
        )

    @property
    def row_numbers(self) -> NDArray[np.int64]:
        """The number of each row in the table as it was given."""
        return np.arange(1, len(self.cells) + 1) if self.numbers is None else self.numbers

    def row(self, mask: Any) -> str:
        """The first row of a mask in words, and how many more there are."""
        first, *others = self.row_numbers[np.asarray(mask, dtype=bool)]
        return f"row {first} below the names" + (f" and {len(others):,} more" if others else "")


def sheet_of(name: str, frame: pd.DataFrame) -> Sheet:
    """A pandas frame as a sheet. Raises BmdalError for column names that are no text or occur twice."""
    cells = frame.reset_index(drop=True).rename(columns=str)
    if not len(cells) or not len(cells.columns):
        raise BmdalError(f"{name} has {len(cells)} rows and {len(cells.columns)} columns: nothing to choose from")
    twice = cells.columns[cells.columns.duplicated()]
    if len(twice):
        raise BmdalError(f"{name}: two columns are called {twice[0]!r}; rename one")
    for column in cells.columns:
        some = cells[column] if pd.api.types.is_object_dtype(cells[column].dtype) else ()
        odd = [cell for cell in some if not pd.api.types.is_hashable(cell)]
        if odd:
            raise BmdalError(f"{name}: the column {column!r} holds lists or the like, such as {str(odd[0])[:40]!r}")
    return Sheet(name, cells, frame.index, decimal=_decimal(cells))


def read_sheet(path: Path) -> Sheet:
    """Read a file by its suffix. Raises BmdalError for one that cannot be read, and OSError if there is none."""
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise BmdalError(
            f"{path}: cannot read files with the suffix {suffix!r}; unpack it or save it as {', '.join(_SUFFIXES)}"
        )
    try:
        if suffix in (".xlsx", ".xlsm"):
            return _excel(path)
        if suffix in (".parquet", ".pq"):
            frame = pd.read_parquet(path)
            named = any(name is not None for name in frame.index.names)  # an index that is stored, such as ids
            return _whole(sheet_of(path.name, frame.reset_index() if named else frame), "Parquet")
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
        table = pd.read_excel(book, header=None, dtype=object, keep_default_na=False, na_values=[""])
    if not len(table):
        raise BmdalError(f"{path}: the sheet {first!r} is empty")
    names = _named(path, ["" if pd.isna(name) else str(name) for name in table.iloc[0]])
    left = f"; its other sheets are not read: {', '.join(map(repr, others))}" if others else ""
    return _whole(sheet_of(path.name, table[1:].set_axis(names, axis=1)), f"sheet {first!r}{left}")


def _whole(sheet: Sheet, how: str) -> Sheet:
    """A sheet of a file without empty rows, with notes on these, its size and how it was read."""
    filled = ~(sheet.cells.isna() | sheet.cells.isin(["", " "])).all(axis=1).to_numpy()
    if not filled.any():
        raise BmdalError(f"{sheet.name}: there are names in the first line and no rows below it")
    kept = replace(sheet if filled.all() else sheet.rows(filled), index=None)
    empty = int((~filled).sum())
    nameless = [name for i, name in enumerate(kept.names) if name == _nameless(i)]
    notes = [f"{sheet.name}: {counted(len(kept.cells), 'row')}, {counted(len(kept.names), 'column')}, {how}"]
    if empty:
        notes.append(f"{sheet.name}: {counted(empty, 'empty row')} left out")
    if nameless:
        notes.append(f"{sheet.name}: without a name in the first line, so called {', '.join(map(repr, nameless))}")
    return replace(kept, notes=(*notes, *sheet.notes))


def _nameless(place: int) -> str:
    return f"column {place + 1}"


def _named(path: Path, names: list[str]) -> list[str]:
    """The names of the columns, from the first line. Raises BmdalError for one that occurs twice."""
    names = [name.strip() or _nameless(i) for i, name in enumerate(names)]
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BmdalError(f"{path}: two columns are called {twice!r}; rename one in the first line")
    return names


def _text(path: Path) -> Sheet:
    text, encoding = _decoded(path)
    told = _SEPARATOR_LINE.match(text)  # a line that some spreadsheets write above the names
    text = text[told.end() :] if told else text.lstrip("\r\n")
    if not text.strip():
        raise BmdalError(f"{path}: the file is empty")
    separator = told[1] if told else _separator(text)
    names = _named(path, next(csv.reader(io.StringIO(text, newline=""), delimiter=separator)))
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
                skip_blank_lines=False,
            )
        except (pd.errors.ParserWarning, pd.errors.ParserError) as error:
            if "EOF inside string" in str(error):
                raise BmdalError(f"{path}: a quotation mark is not closed ({error})") from error
            raise BmdalError(
                f"{path}: rows have more cells than the first line, which names {counted(len(names), 'column')}: "
                f"{', '.join(map(repr, names[:5]))}; delete titles above the names, and separate cells by something "
                f"else than the decimal mark ({' '.join(str(error).split())})"
            ) from error
    short = int((cells.isna().any(axis=1) & ~cells.isna().all(axis=1)).sum())
    notes = (
        (f"{path.name}: {counted(short, 'row')} shorter than the first line; the cells they lack are missing",)
        if short
        else ()
    )
    cells = cells.fillna("")
    sheet = Sheet(path.name, cells, separator=separator, decimal=_decimal(cells), notes=notes)
    return _whole(sheet, f"separated by {SEPARATORS[separator]}, {encoding}")


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
