"""Numbers with more digits than float64 has, such as 64-bit identifiers and database decimals."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from data_prep.casting import TOLERANCE, spread
from data_prep.columns import Columns
from data_prep.errors import DataError
from data_prep.rows import Rows
from data_prep.tables import Table

_FIRST_ROUNDED = 2.0**53  # float64 represents every whole number up to here


def rounded_numbers(table: Table, columns: Columns, rows: Rows) -> dict[int, tuple[str, float]]:
    """Return the numeric columns in which float64 rounds whole numbers, with one value as written and as read.

    Only columns in which this is possible are read again, as text.

    Raises DataError if values become equal, or change by more than 1e-3 standard deviations.
    """
    numbers = [i for i in columns.used if i not in rows.categorical]
    doubtful = [i for i in numbers if _is_doubtful(rows.frame[i].to_numpy(np.float64))]
    if not doubtful:
        return {}
    written: dict[int, set[str]] = {i: set() for i in doubtful}
    for frame in rows.read_again(table, doubtful):
        for i in doubtful:
            written[i].update(frame[i].map(str).unique())
    found = {i: _rounded(written[i], table.columns[i], i in columns.targets) for i in doubtful}
    return {i: example for i, example in found.items() if example is not None}


def _is_doubtful(values: NDArray[np.float64]) -> bool:
    largest = np.abs(values).max()
    if not np.isfinite(largest):
        return False
    return bool(largest >= _FIRST_ROUNDED or 0 < TOLERANCE * spread(values) < np.finfo(np.float64).eps * largest)


def _rounded(written: Iterable[str], name: str, is_target: bool) -> tuple[str, float] | None:
    """Return an example of a rounded whole number, if any. Raises DataError if more than that is lost."""
    texts = sorted({text.strip() for text in written})
    exact = [Decimal(text) for text in texts]
    read = [float(text) for text in texts]
    # A float64 may be written with all its digits, or with the fewest that distinguish it from its neighbours.
    errors = [float(min(abs(e - Decimal(r)), abs(e - Decimal(repr(r))))) for e, r in zip(exact, read, strict=True)]
    worst = int(np.argmax(errors))
    before, after = len(set(exact)), len(set(read))
    if after < before or errors[worst] > TOLERANCE * spread(np.array(read)):
        remedy = "subtract a constant from them in the file"
        if not is_target:
            remedy += (
                f", or write `drop: [{name!r}]` to leave the column out, `categorical: [{name!r}]` if it is a category"
            )
        raise DataError(
            f"column {name!r} holds numbers with more digits than float64 has: {texts[worst]} becomes "
            f"{Decimal(read[worst])}, and of {before:,} different values {after:,} remain; {remedy}"
        )
    whole = [j for j, e in enumerate(exact) if errors[j] > 0 and e == e.to_integral_value()]
    return (texts[whole[0]], read[whole[0]]) if whole else None
