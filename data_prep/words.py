"""Values that are not numbers: count them, and guess what they look like."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

Likeness = Literal["numbers", "dates"]
Counts = tuple[tuple[str, int], ...]

_MOST_KEPT = 10_000
_MOST_AFFIXES = 5  # a few affixes such as kg, g, % are units; more kinds mean that the values are codes

_DATE = re.compile(
    r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T]\d.*)?"  # 2026-01-31, 31.1.2026, 2026-01-31T12:00
    r"|\d{1,2}:\d{2}(:\d{2}.*)?"
    r"|\d{1,2}[ .-]*[A-Za-z]{3,9}[ ,.-]*\d{2,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}"  # 31 Jan 2026, January 31, 2026
)
_OTHERWISE_WRITTEN = re.compile(
    r"(?P<before>[(<>=≤≥~≈±$€£¥+−-]*)\s*[-+−]?"
    r"(0[xX][0-9A-Fa-f]+|[.,]\d+"
    r"|(\d{1,3}([,.' \u00a0\u202f_]\d{3})+|\d{1,3}(,\d{2,3})+|\d+)([.,]\d*)?([eEdD][-+]?\d+)?)"
    r"\s*(?P<after>[%‰$€£¥°)−-]?[A-Za-zµ°/²³]{0,6})"
)


def holds_numbers(column: pd.Series) -> bool:
    """Return whether a column has a numeric type; bool does not count."""
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def is_number(word: str) -> bool:
    """Return whether a word is read as a number."""
    return bool(as_numbers(pd.Series([word], dtype=object)).notna().all())


def as_numbers(column: pd.Series) -> pd.Series:
    """Convert a column to numbers, with NaN for other values; the result does not depend on the type it was read as."""
    if holds_numbers(column):
        return column
    return pd.to_numeric(column.map(str, na_action="ignore"), errors="coerce").astype(np.float64)


class WordCount:
    """Count words chunk by chunk. After 10,000 distinct words, new ones only count towards `n`."""

    def __init__(self) -> None:
        self.n = 0
        self._counts: Counter[str] = Counter()

    def add(self, words: pd.Series) -> None:
        """Count the words of a chunk without missing values."""
        self.n += len(words)
        for word, n in words.map(str).value_counts().items():
            if word in self._counts or len(self._counts) < _MOST_KEPT:
                self._counts[str(word)] += int(n)

    def most_common(self) -> Counts:
        """Return the three most frequent words and their counts."""
        return tuple(self._counts.most_common(3))


def shown(words: Iterable[tuple[str, int]]) -> str:
    """Format words and their counts for a message: '-' (2), '?' (1)."""
    return ", ".join(f"{short(word)!r} ({n:,})" for word, n in words)


def likeness(values: Sequence[str]) -> Likeness | None:
    """Return what at least half of the distinct values of a column look like; None if they look like categories.

    Numbers may be written in a way that cannot be read: with thousands separators, a decimal comma, a unit or a sign.
    """
    plain = as_numbers(pd.Series(values, dtype=object)).notna()
    others = [value.strip() for value, known in zip(values, plain, strict=True) if not known]
    if 2 * sum(_DATE.fullmatch(value) is not None for value in others) >= len(values):
        return "dates"
    written = [match for value in others if (match := _OTHERWISE_WRITTEN.fullmatch(value))]
    if len({match.group("before", "after") for match in written}) > _MOST_AFFIXES:
        written = []
    return "numbers" if 2 * (plain.sum() + len(written)) >= len(values) else None


def alike(values: Iterable[str]) -> tuple[str, ...]:
    """Return the first two values that differ only in case, blanks or how a number is written; empty if none do."""
    groups: dict[str | float, list[str]] = {}
    for value in values:
        same = groups.setdefault(_plain(value), [])
        same.append(value)
        if len(same) > 1:
            return tuple(same)
    return ()


def _plain(value: str) -> str | float:
    try:
        return float(value)
    except ValueError:
        return " ".join(value.split()).casefold()


def short(word: str) -> str:
    """Cut a word to 40 characters."""
    return word if len(word) <= 40 else word[:39] + "…"
