"""Cast from float64 to the float32 of X, which has seven digits: detect losses, and centre values to avoid them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_prep.errors import DataError

TOLERANCE = 1e-3


def lost_values(values: NDArray[np.float64]) -> tuple[int, int] | None:
    """Return the number of distinct values before and after the cast if it loses their differences, else None.

    Differences count as lost if the largest rounding error is above 1e-3 standard deviations, or if more than half of
    the distinct values become equal to others. values: (n,), finite.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
        error = np.abs(rounded - values).max()
    if error == 0:
        return None
    before, after = _n_different(values), _n_different(rounded)
    return (before, after) if error > TOLERANCE * spread(values) or 2 * after < before else None


def centred(name: str, values: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Subtract the median, which is exact for values near it. Return the differences and the median.

    Raises DataError if the values are so close together that float32 cannot represent even their differences.
    """
    centre = float(np.median(values))
    with np.errstate(over="ignore"):
        differences = values - centre
        cast = differences.astype(np.float32)
    if np.isfinite(cast).all() and np.abs(cast - differences).max() > TOLERANCE * spread(differences):
        raise DataError(
            f"column {name!r}: its values differ by less than float32 can hold (standard deviation "
            f"{spread(differences):.3g}); multiply them by a constant in the file, or write `drop: [{name!r}]`"
        )
    return differences, centre


def spread(values: NDArray[np.float64]) -> float:
    """Return the population standard deviation, avoiding overflow and underflow."""
    with np.errstate(over="ignore"):
        differences = values - np.median(values)
        largest = np.abs(differences).max()
    return float(largest * np.std(differences / largest)) if 0 < largest < np.inf else float(largest)


def _n_different(values: NDArray[np.float64]) -> int:
    ascending = np.sort(values)
    return 1 + int(np.count_nonzero(ascending[1:] != ascending[:-1]))
