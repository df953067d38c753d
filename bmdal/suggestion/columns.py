"""What the columns of two tables hold: numbers, dates, categories, text or ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any, Literal

import numpy as np
import pandas as pd

from bmdal.suggestion.decimals import as_numbers
from bmdal.suggestion.files import unquoted
from bmdal.suggestion.sheet import Sheet
from bmdal.suggestion.words import counted

Kind = Literal["number", "date", "category", "text", "id"]
MISSING = {"", "na", "n/a", "n.a.", "nan", "null", "none", "-", "--", "?", ".", "#n/a", "#na", "nat", "<na>", "missing"}
"""Words that stand for a missing value, in lower case."""
_MOST = 0.95  # share of the values of a column that must be numbers, or dates; others are then missing
_DATES = re.compile(
    r"(\d{1,4}([-/.])\d{1,2}\2\d{1,4}|\d{1,2}([ -])[A-Za-z]{3,9}\3\d{4}|[A-Za-z]{3,9} \d{1,2}, \d{4})"
    r"([ T]\d{1,2}:\d{2}.*)?"
)
_DAYS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%Y/%m/%d", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y")
_MONTHS = tuple(day.replace("B", month) for day in ("%d %B %Y", "%d-%B-%Y", "%B %d, %Y") for month in "bB")
_FORMATS = ("ISO8601", *_MONTHS, *(day + time for time in ("", " %H:%M", " %H:%M:%S") for day in _DAYS))
_ID_NAME = re.compile(
    r"(?i)(.*[ _-])?(id|uuid|guid|key|nr|no|index|row|serial|barcode|unnamed: \d+)([ _.-]?(nr|no|number))?"
)
_ID_CAMEL = re.compile(r"[a-z]+(ID|Id)")
_FEW = 10  # rows; with fewer, nothing can be said about ids
_EXACT = 2**53  # larger whole numbers are not exact as floats: they are read as words
_LARGEST = 1e30  # of an input: models compute with 32 bits


@dataclass(frozen=True, eq=False)
class Column:
    """A column of both tables as it is used.

    Attributes:
        name: its name.
        kind: what it holds.
        parts: its values in each table: float64, datetime64 or str, with NaN or NaT for missing ones.
        changed: what was changed, in words.
        doubts: what the user should look at.
    """

    name: str
    kind: Kind
    parts: tuple[pd.Series, ...]
    changed: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def values(self) -> pd.Series:
        """Its values in all tables, one below the other."""
        return pd.concat(self.parts, ignore_index=True)


def read_column(name: str, sheets: Sequence[Sheet]) -> Column:
    """Decide what a column holds that is in all sheets, and convert it."""
    given = [sheet.cells[name] for sheet in sheets]
    if all(pd.api.types.is_datetime64_any_dtype(cells.dtype) for cells in given):
        return Column(name, "date", tuple(_naive(cells) for cells in given))
    given = [as_words(cells) if is_numeric(cells) and _are_keys(cells) else cells for cells in given]
    if all(is_numeric(cells) for cells in given):
        return _number(name, [_as_float(cells) for cells in given], ())
    words = [_as_float(cells) if is_numeric(cells) else as_words(cells) for cells in given]
    marks = sorted(MISSING_MARKS & {c for cells in given if not is_numeric(cells) for c in set(cells.dropna())})
    changed = (f"{', '.join(map(repr, marks))} read as missing",) if marks else ()
    column = _read_numbers(name, words, [sheet.decimal for sheet in sheets])
    if column.kind != "number":
        texts = [as_words(cells) for cells in given]
        doubts = column.doubts
        column = _read_dates(name, texts) or _read_words(name, texts)
        column = replace(column, doubts=(*doubts, *column.doubts))
        if column.kind != "date" and _are_dates(texts):
            mixed = "its dates are written in several ways, so they are not read as dates; write all as 2026-01-31"
            column = replace(column, doubts=(*column.doubts, mixed))
    return replace(column, changed=(*changed, *column.changed))


MISSING_MARKS = {"-", "--", "?", "."}
"""Those of `MISSING` that might mean something else; messages name them."""


def is_numeric(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)


def _are_keys(cells: pd.Series) -> bool:
    """Whether cells are whole numbers with so many digits that they name something."""
    return pd.api.types.is_integer_dtype(cells.dtype) and bool((cells.abs() > _EXACT).any())


def _as_float(cells: pd.Series) -> pd.Series:
    """Numbers in float64; those in float32 as they are written, so that 0.1 stays 0.1 and equals that of a CSV file."""
    dtype: Any = getattr(cells.dtype, "numpy_dtype", cells.dtype)
    if dtype.kind == "f" and dtype.itemsize < 8:
        return pd.Series(cells.to_numpy(dtype, na_value=np.nan).astype(str).astype(np.float64))
    return pd.Series(cells.to_numpy(np.float64, na_value=np.nan))


def days(dates: pd.Series) -> pd.Series:
    """Dates as days since 1970, NaN where missing."""
    return (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)


def _naive(cells: pd.Series) -> pd.Series:
    """Dates in UTC, without a time zone, and in one unit, so that equal ones are equal."""
    aware = getattr(cells.dt, "tz", None) is not None
    dates: pd.Series = (cells.dt.tz_convert("UTC").dt.tz_localize(None) if aware else cells).dt.as_unit("us")
    return dates


def as_words(cells: pd.Series) -> pd.Series:
    """Cells as text without surplus blanks and quotes against formulas, None where missing."""
    if is_numeric(cells):
        numbers = _as_float(cells) if pd.api.types.is_float_dtype(cells.dtype) else cells
        cells = numbers.map(
            lambda value: str(int(value)) if value == np.round(value) else repr(value), na_action="ignore"
        )
    codes, distinct = pd.factorize(cells.astype(object))
    texts = [" ".join(unquoted(str(word)).split()) for word in distinct]
    table = np.array([None if text.casefold() in MISSING else text for text in texts] + [None], dtype=object)
    return pd.Series(table[codes], dtype=object)


def _number(name: str, parts: Sequence[pd.Series], changed: tuple[str, ...]) -> Column:
    large = sum(int((part.abs() > _LARGEST).sum()) for part in parts)
    if large:
        changed = (*changed, f"{counted(large, 'value')} infinite or beyond {_LARGEST:g} in size, read as missing")
    return Column(name, "number", tuple(part.where(part.abs() <= _LARGEST) for part in parts), changed)


def _read_numbers(name: str, words: Sequence[pd.Series], decimals: Sequence[str]) -> Column:
    """The column as numbers if most of its words are, and otherwise one of kind "category" with doubts."""
    parts, changed, units, odd = [], [], set[str](), list[str]()
    common = set[str]()  # the unit of each table
    n_odd = n_all = 0
    for part, decimal in zip(words, decimals, strict=True):
        if is_numeric(part):
            parts.append(part)
            n_all += int(part.notna().sum())
            common |= {""} if part.notna().any() else set()
            continue
        codes, distinct = pd.factorize(part)
        read = as_numbers(list(distinct), decimal)
        parts.append(pd.Series(np.append(read.values, np.nan)[codes]))
        changed += [note for note in read.changed if note not in changed]
        units |= set(read.units)
        common |= {read.unit} if np.isfinite(read.values).any() else set()
        odd += [word for word, value in zip(distinct, read.values, strict=True) if np.isnan(value)]
        n_odd += int((parts[-1].isna() & part.notna()).sum())
        n_all += int(part.notna().sum())
    units |= common - {""} if len(common) > 1 else set()
    if not n_all or n_all - n_odd < _MOST * n_all or len(common) > 1:
        doubts = []
        if units and all(re.match(r"[€$£¥]?\s*[-+]?[\d.,]", word) for word in odd[:20]):
            doubts = [
                f"its numbers have different units, or some have none ({_listed(sorted(units))}), so they are not read "
                "as numbers; write all, in both tables, in one unit"
            ]
        elif n_all and n_all - n_odd >= n_all / 2:
            share = 100 * (n_all - n_odd) / n_all
            doubts = [
                f"only {share:.0f} % of its values are numbers, others are {_listed(odd[:3])}, so "
                "none is read as a number"
            ]
        return Column(name, "category", tuple(words), (), tuple(doubts))
    if n_odd:
        changed.append(f"{counted(n_odd, 'value')} not a number, such as {_listed(odd[:3])}, read as missing")
    note = tuple(changed) if not changed or n_odd == n_all else ("read as numbers: " + ", ".join(changed),)
    return _number(name, parts, note)


def _read_dates(name: str, texts: Sequence[pd.Series]) -> Column | None:
    """The column as dates if most of its words are dates of one format."""
    if not _are_dates(texts):
        return None
    good = [_as_dates(part) for part in texts]  # by format, for each table
    if not all(good):
        return None
    common = next((form for form in good[0] if all(form in formats for formats in good)), None)
    chosen = [common or next(iter(formats)) for formats in good]
    parts = tuple(_naive(formats[form]) for formats, form in zip(good, chosen, strict=True))
    lost = sum(int(text.notna().sum() - part.notna().sum()) for text, part in zip(texts, parts, strict=True))
    orders = {form[1] for form in chosen if form not in _MONTHS}
    changed = [", ".join(["read as dates", *(said for order, said in _ORDERS.items() if order in orders)])]
    changed += [f"{counted(lost, 'other value')} read as missing"] if lost else []
    both = len(orders & set(_ORDERS)) == 2 or any({f[1] for f in formats} >= {"d", "m"} for formats in good)
    doubts = (
        "its dates could have the day or the month first, and are read with the day first; to be clear, write "
        "2026-01-31",
    )
    return Column(name, "date", parts, tuple(changed), doubts if both else ())


_ORDERS = {"d": "day first", "m": "month first"}


def _are_dates(texts: Sequence[pd.Series]) -> bool:
    """Whether most words look like dates, written in any way."""
    words = pd.concat(texts, ignore_index=True).dropna()
    return len(words) > 0 and bool(words.map(lambda word: _DATES.fullmatch(word) is not None).mean() >= _MOST)


def _as_dates(words: pd.Series) -> dict[str, pd.Series]:
    """The dates by each format that most of the words have."""
    read = {form: _naive(pd.to_datetime(words, format=form, errors="coerce", utc=True)) for form in _FORMATS}
    return {form: dates for form, dates in read.items() if dates.notna().sum() >= _MOST * words.notna().sum()}


def _read_words(name: str, texts: Sequence[pd.Series]) -> Column:
    """The column as categories, text or ids, with spellings that differ only in case made one."""
    words = pd.concat(texts, ignore_index=True).dropna()
    counts = words.value_counts()
    n_words = sum(len(word.split()) for word in words) / max(len(words), 1)
    own = [part.dropna().nunique() / max(part.notna().sum(), 1) for part in texts]
    if len(words) >= _FEW and min(own) > 0.9 and (n_words < 1.5 or is_id_name(name)):
        return Column(name, "id", tuple(texts))
    if n_words >= 3 and len(counts) > max(30, 0.2 * len(words)):
        return Column(name, "text", tuple(texts), ("read as free text",))
    spelling: dict[str, str] = {}
    for word in counts.index:
        spelling.setdefault(word.casefold(), word)
    merged = [word for word in counts.index if spelling[word.casefold()] != word]
    changed, doubts = tuple[str, ...](), list[str]()
    if merged:
        pairs = _listed([f"{word} as {spelling[word.casefold()]}" for word in merged[:3]])
        changed = (f"spellings that differ only in capitals made one ({len(merged)}, such as {pairs})",)
        texts = [part.map(lambda word: spelling[word.casefold()], na_action="ignore").astype(object) for part in texts]
        counts = pd.concat(texts, ignore_index=True).value_counts()
    if alike := _typos(counts):
        doubts.append(f"levels look alike and count as different, typos? {'; '.join(alike)}")
    return Column(name, "category", tuple(texts), changed, tuple(doubts))


def _typos(counts: pd.Series) -> list[str]:
    """Up to five pairs of a rare word and a ten times more frequent one that resemble each other."""
    found: list[str] = []
    words = [str(word) for word in counts.index[:300]]
    for place, word in enumerate(words):
        for other in words[:place]:
            like = abs(len(word) - len(other)) <= 1 and len(word) >= 4 and not any(c.isdigit() for c in word + other)
            if (
                like
                and counts[other] >= 10 * counts[word]
                and SequenceMatcher(None, word.casefold(), other.casefold()).ratio() >= 0.8
            ):
                found.append(f"{word!r} ({counts[word]:,}) and {other!r} ({counts[other]:,})")
                break
        if len(found) == 5:
            break
    return found


def is_id_name(name: str) -> bool:
    """Whether a name is that of row numbers or keys."""
    return bool(_ID_NAME.fullmatch(name) or _ID_CAMEL.fullmatch(name))


def numbers_rows(column: Column) -> bool:
    """Whether a column of numbers only numbers the rows: different whole numbers, dense or named like an id."""
    if column.kind != "number":
        return False
    parts = [part.dropna().to_numpy() for part in column.parts]
    whole = all((part == np.round(part)).all() and len(np.unique(part)) == len(part) for part in parts)
    n = max(len(part) for part in parts)
    if not whole or n < _FEW:
        return False
    values = np.unique(np.concatenate(parts))
    steps = np.diff(values)
    regular = steps.min() == steps.max() > 1  # a series of settings, such as 0, 10, 20
    return is_id_name(column.name) or (n >= 50 and not regular and len(values) > 0.1 * np.ptp(values))


def _listed(words: Sequence[Any]) -> str:
    shown = [repr(w) if len(str(w)) <= 30 else repr(str(w)[:29] + "…") for w in map(str, words)]
    return ", ".join(shown)
