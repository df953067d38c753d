"""Values in sentences."""

from __future__ import annotations

from math import floor, log10

import pandas as pd

LONGEST = 40


def shown(value: object) -> str:
    """A cell in a sentence."""
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d" if value == value.normalize() else "%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return "missing" if value != value else f"{value:.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    text = "missing" if value is None or value is pd.NaT else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def counted(n: int, what: str) -> str:
    """A number of things: 1 row, 1,200 rows."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def rounded(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, without an exponent unless it is very small or large."""
    if value == 0 or not 1e-6 < abs(value) < 1e9:
        return f"{value:.{digits}g}"
    places = digits - 1 - floor(log10(abs(value)))
    return f"{round(value, places):,.{max(places, 0)}f}"


def with_uncertainty(value: float, uncertainty: float) -> str:
    """A number and its uncertainty, both to the second digit of the latter: 8,600 ± 4,000."""
    if not 1e-6 < uncertainty < 1e9:
        return f"{rounded(value, 4)} ± {rounded(uncertainty, 2)}"
    places = 1 - floor(log10(uncertainty))
    return " ± ".join(f"{round(number, places):,.{max(places, 0)}f}" for number in (value, uncertainty))
