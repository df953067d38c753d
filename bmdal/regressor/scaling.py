"""Standardize inputs and targets for training, whatever their units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bmdal.errors import BmdalError

LIMIT = 1e300
"""Bound for targets, and for the inverse of their standard deviation: predictions must fit in float64."""


@dataclass(frozen=True)
class Spread:
    """Location and spread of the values in each column, in float64; all arrays have the shape of one row.

    Attributes:
        unit: the largest power of two that does not exceed the largest magnitude; 1 for a column of zeros. Division by
            it is exact, and the squares of the results neither overflow nor vanish.
        mean: mean of values / unit.
        std: standard deviation of values / unit (Bessel-corrected); 0 where `same`.
        same: whether all values are equal up to a few units in the last place.
    """

    unit: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    same: NDArray[np.bool_]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Spread:
        """The spread of finite real numbers, shape (n, ...)."""
        # In row-major order, because the memory layout affects the rounding of sums.
        table = np.ascontiguousarray(values, dtype=np.float64)
        largest = np.abs(table).max(axis=0)
        unit = np.where(largest > 0, np.ldexp(1.0, np.frexp(largest)[1] - 1), 1.0)
        scaled = table / unit
        eps = float(np.finfo(np.float64).eps)
        if values.dtype.kind == "f":
            eps = max(eps, float(np.finfo(values.dtype).eps))
        same = np.ptp(scaled, axis=0) <= 4 * eps * (largest / unit)
        std = np.where(same, 0.0, scaled.std(axis=0, ddof=min(1, len(table) - 1)))
        return cls(unit, np.where(same, scaled[0], scaled.mean(axis=0)), std, same)

    def standardized(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """(value - mean) / standard deviation, 0 for a constant column; shape (n, ...)."""
        centred = values.astype(np.float64) / self.unit - self.mean
        return np.where(self.same, 0.0, centred / np.where(self.same, 1.0, self.std))


def check_targets(y: NDArray[Any]) -> None:
    """Raise BmdalError, naming the target, if it cannot be predicted in float64; y: (n,) or (n, outputs).

    This is the case for values that are not finite in float64, that only differ by rounding, or that are too large or
    too close together.
    """
    for k, column in enumerate(y.reshape(len(y), -1).T):
        name = "y" if y.ndim == 1 else f"column {k} of y"
        with np.errstate(over="ignore"):
            bad = ~np.isfinite(column.astype(np.float64))
        if bad.any():
            raise BmdalError(f"{name} has a value that is not a finite number in float64, in row {bad.argmax()}")
        spread, largest = Spread.of(column), float(np.abs(column.astype(np.float64)).max())
        if (column == column[0]).all():
            continue
        if spread.same:
            raise BmdalError(
                f"the values of {name} are all {column[0]} up to rounding, so there is nothing to learn; subtract a "
                "constant before they are rounded"
            )
        if largest > LIMIT or spread.std < 1 / LIMIT / spread.unit:
            raise BmdalError(
                f"{name} must lie within +-{LIMIT:g} and have a standard deviation of at least {1 / LIMIT:g}, its "
                f"largest magnitude is {largest:.3g}: multiply it by a constant"
            )


class InputScaling(nn.Module):
    """x -> 5 tanh(z / 5), z = (x - mean) / standard deviation, shape (n, d) -> (n, d) (arXiv 2203.09410, Section 5.1).

    z is computed in float64, because float32 would lose the differences between points if the mean is large. The result
    has the dtype of the network's parameters, which `float`, `half` and `double` change. The mean and the standard
    deviation stay in float64.

    Args:
        spread: the spread of d columns. Deviations from a constant column are divided by the column's unit.
    """

    def __init__(self, spread: Spread) -> None:
        super().__init__()
        self.unit: Tensor
        self.mean: Tensor
        self.scale: Tensor
        self.bound: Tensor
        self.register_buffer("unit", torch.tensor(spread.unit))
        self.register_buffer("mean", torch.tensor(spread.mean))
        self.register_buffer("scale", torch.tensor(np.where(spread.same, 1.0, spread.std)))
        self.register_buffer("bound", torch.tensor(5, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        x = x.unflatten(-1, (len(self.mean),))  # type: ignore[no-untyped-call]  # a check: a single column would be broadcast
        z = (x.double() / self.unit - self.mean) / self.scale
        return (self.bound * torch.tanh(z / self.bound)).to(self.bound.dtype)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        before = {name: getattr(self, name) for name in ("unit", "mean", "scale")}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, exact in before.items():
            moved = getattr(self, name)
            if moved.dtype != exact.dtype:
                setattr(self, name, exact.to(moved.device))
        return self
