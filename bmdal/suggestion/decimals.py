"""Numbers written as text: with a decimal comma, thousands separators or a unit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_MOST_UNITS = 5  # a few words after numbers are units; more kinds mean that the values are codes
_SPACES = " \u00a0\u202f'’"
_WRITTEN = re.compile(
    rf"(?P<before>[€$£¥]?)\s*(?P<number>[-+−]?(\d{{1,3}}([{_SPACES}]\d{{3}})+([.,]\d+)?|[\d.,]*\d[.,]?)([eE][-+]?\d+)?)"
    r"\s*(?P<after>[^\d\s.,;+-][^\d,;]{0,11})?"
)
_GROUPED = re.compile(r"[-+−]?[1-9]\d{0,2}([.,])\d{3}(\1\d{3})*")  # 1,234 or 1.234.567: thousands, or a fraction?
_KEY = re.compile(r"\d{16,}")  # account numbers and the like, not exact as floats
_PADDED = re.compile(r"0\d+")
_COMMA = re.compile(r"[-+−]?\d{1,3}((\.\d{3})*|\d*),\d*([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Numbers:
    """What words say as numbers, NaN where they do not.

    changed: how they are written, in words; empty if plainly. unit: their common unit, which was left out. units: those
    that they have if there are several.
    """

    values: NDArray[np.float64]
    changed: tuple[str, ...] = ()
    unit: str = ""
    units: tuple[str, ...] = ()


def is_number(word: str) -> bool:
    """Whether a word is a number, plainly written or with a decimal comma or thousands separators."""
    read = as_numbers([word.strip()], ".")
    return bool(np.isfinite(read.values[0])) and not read.unit


def writes_decimal_comma(words: Iterable[str]) -> bool:
    """Whether most words are numbers that can only have a decimal comma."""
    words = list(words)
    commas = [word for word in words if _COMMA.fullmatch(word) and not _GROUPED.fullmatch(word)]
    return 3 * len(commas) > len(words)


def as_numbers(words: Sequence[str], decimal: str) -> Numbers:
    """Read distinct words as numbers; `decimal`, the mark used in the rest of the table, settles what may be either.

    All words must have the same unit; otherwise those with a unit are not read, and `units` names the units.
    """
    if any(_KEY.fullmatch(word) for word in words):  # numbers with so many digits would become equal
        return Numbers(np.full(len(words), np.nan))
    plain = pd.to_numeric(pd.Series(words, dtype=object), errors="coerce").to_numpy(np.float64)
    grouped = decimal == "," and all(_GROUPED.fullmatch(word) for word in words if "." in word)
    if np.isfinite(plain).all() and not (grouped and any("." in word for word in words)):
        return Numbers(plain, ("leading zeros, left out",) if any(_PADDED.fullmatch(word) for word in words) else ())
    if decimal == "," and not any("." in word for word in words):
        pointed = pd.Series([word.replace(",", ".") for word in words], dtype=object)
        plain = pd.to_numeric(pointed, errors="coerce").to_numpy(np.float64)
        if np.isfinite(plain).all():
            return Numbers(plain, ("decimal comma",))
    written = [_WRITTEN.fullmatch(word) for word in words]
    units = {(m["before"] or "") + (m["after"] or "").strip() for m in written if m}
    if len(units) > 1:
        named = tuple(sorted(units - {""})) if len(units) <= _MOST_UNITS else ()
        written = [m if m and not m["before"] and not m["after"] else None for m in written]
        unit = ""
    else:
        named, unit = (), next(iter(units), "")
    texts = [re.sub(f"[{_SPACES}]", "", m["number"]).replace("−", "-") if m else None for m in written]
    votes = [_mark(text) for text in texts if text]
    comma, point = votes.count(","), votes.count(".")
    used = decimal if comma == point else "," if comma > point else "."
    values = np.array([np.nan if text is None else _value(text, used) for text in texts])
    read = [(m, text) for m, text, value in zip(written, texts, values, strict=True) if m and text and value == value]
    changed = []
    if any("," in text and (_mark(text) or used) == "," for _, text in read):
        changed.append("decimal comma" if not point else "decimal commas and points")
    if any(_thousands(text, used) or len(text) < len(m["number"]) for m, text in read):
        changed.append("thousands separators")
    if unit:
        changed.append(f"the unit {unit!r}, left out")
    return Numbers(values, tuple(changed), unit, named)


def _mark(text: str) -> str | None:
    """The decimal mark that a number must have; empty if `,` or `.` may be either; None without marks."""
    marks = [c for c in text if c in ".,"]
    if not marks:
        return None
    if len(set(marks)) == 2:
        return marks[-1]
    if len(marks) > 1:
        return "." if marks[0] == "," else ","
    return "" if _GROUPED.fullmatch(text) else marks[0]


def _thousands(text: str, used: str) -> bool:
    return ("." if (_mark(text) or used) == "," else ",") in text


def _value(text: str, used: str) -> float:
    decimal = _mark(text) or used
    thousands = "." if decimal == "," else ","
    whole, _, fraction = text.partition(decimal)
    grouped = re.fullmatch(rf"[-+]?\d{{1,3}}(\{thousands}\d{{3}})+", whole)
    if thousands in fraction or (thousands in whole and not grouped):
        return float("nan")
    try:
        return float(text.replace(thousands, "").replace(decimal, "."))
    except ValueError:
        return float("nan")
