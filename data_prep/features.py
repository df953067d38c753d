"""Turn the kept rows into the columns of X and the target y, following arXiv 2203.09410, appendix on data sets.

Constant columns are dropped. Numeric columns come first; then categorical columns are one-hot encoded, those with the
fewest values first, while the total number of values stays within 300. The target is standardized over all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.casting import centred, lost_values
from data_prep.columns import Columns
from data_prep.errors import DataError
from data_prep.rows import Rows

MAX_ONE_HOT = 300
FAR_FROM_ZERO = 1e-6  # if the range of a target relative to its magnitude is smaller, its median is subtracted first


@dataclass(frozen=True)
class Feature:
    """One column of X: its name, its values (n,), and the column of the table that it comes from.

    centre: the number that was subtracted from the raw values. lost: the number of distinct values before and after the
    cast to float32, if the cast loses their differences.
    """

    name: str
    values: NDArray[np.generic]
    column: int
    centre: float | None = None
    lost: tuple[int, int] | None = None


@dataclass(frozen=True)
class Target:
    """y (n,) float64, standardized: (raw - mean) / std."""

    y: NDArray[np.float64]
    mean: float
    std: float


def make_features(rows: Rows, columns: Columns, names: Sequence[str], *, centre: bool) -> list[Feature]:
    """Make the columns of X, in order; `names` are the column names of the table.

    centre: whether to subtract the median of a column if the cast to float32 would lose the differences of its values.

    Raises DataError if no column varies, or if the values of a column are too close together even after centring.
    """
    varying = [i for i in columns.inputs if (rows.frame[i] != rows.frame[i].iloc[0]).any()]
    numbers = [i for i in varying if i not in rows.categorical]
    features = [_number(i, names[i], rows.frame[i].to_numpy(np.float64), centre) for i in numbers]
    for i in encoded_columns(rows.frame, [i for i in varying if i in rows.categorical]):
        features.extend(_indicators(i, names[i], rows.frame[i]))
    if not features:
        raise DataError(
            "no input column is left after dropping constant columns and those with too many values; "
            "check `drop`, `categorical` and `separator`"
        )
    return features


def make_target(rows: Rows, columns: Columns, log: bool) -> Target:
    """Make the target: the median of the target columns, its natural logarithm if `log`, standardized (population std).

    Raises DataError if the target is constant or not finite or, with `log`, not positive.
    """
    raw = np.median(rows.frame[list(columns.targets)].to_numpy(np.float64), axis=1)
    if log and raw.min() <= 0:
        raise DataError(
            f"log_target=true, but the target has values <= 0 (the smallest is {raw.min()}); leave log_target out"
        )
    raw = np.log(raw) if log else raw
    if not np.isfinite(raw).all():
        raise DataError(
            f"the target is infinite in row {int(np.argmin(np.isfinite(raw)))} of the kept rows; remove that row"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        spread = float(np.ptp(raw))
        # Far from zero, sums of the values lose digits; sums of differences from the median do not.
        near = float(np.median(raw)) if spread < FAR_FROM_ZERO * np.abs(raw).max() else 0.0
        rest = raw - near
        mean, std = float(np.mean(rest)), float(np.std(rest))
    if spread == 0:
        raise DataError(f"the target is constant ({near}), so there is nothing to learn; choose another `target`")
    if not 0 < std < np.inf:
        raise DataError(
            f"the target, from {raw.min():g} to {raw.max():g}, is too small or too large to be standardized; multiply "
            "it by a constant in the file"
        )
    return Target((rest - mean) / std, near + mean, std)


def encoded_columns(frame: pd.DataFrame, categorical: Sequence[int]) -> list[int]:
    """Return the categorical columns to encode, smallest first, while the total number of values stays within 300.

    Columns with the same number of values are encoded together or not at all, as in the published runs.
    """
    sizes = {i: frame[i].nunique() for i in categorical}
    by_size = sorted(categorical, key=sizes.__getitem__)
    totals = np.cumsum([sizes[i] for i in by_size])
    limit = next((sizes[i] for i, total in zip(by_size, totals, strict=True) if total > MAX_ONE_HOT), None)
    return [i for i in by_size if limit is None or sizes[i] < limit]


def _number(i: int, name: str, values: NDArray[np.float64], centre: bool) -> Feature:
    lost = lost_values(values) if np.isfinite(values).all() else None
    if lost is None or not centre:
        return Feature(name, values, i, lost=lost)
    differences, subtracted = centred(name, values)
    return Feature(name, differences, i, subtracted, lost_values(differences))


def _indicators(i: int, name: str, column: pd.Series) -> Iterator[Feature]:
    """Make one indicator per value (if there are two, only for the second) and one for "missing", which is all zero."""
    values = sorted(column.unique(), key=_value_order)
    for value in values[1:] if len(values) == 2 else values:
        yield Feature(f"{name}={value}", (column == value).to_numpy(), i)
    yield Feature(f"{name}=missing", np.zeros(len(column), dtype=bool), i)


def _value_order(value: str) -> tuple[int, float, str]:
    """Sort key: numbers by size, then words alphabetically."""
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
