"""Features of points with a given kernel matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.features.base import Features

N_CHECKED = 256
"""Number of points, evenly spread over the matrix, on which its symmetry is checked."""


@dataclass(frozen=True, eq=False)
class KernelMatrix(Features):
    """Points with a given kernel matrix, k(x_i, x_j) = K[i, j], e.g. a Gaussian process's covariance, Tanimoto or SOAP.

        K = KernelMatrix(matrix)  # over all points
        select("maxdet-p_train", pool=K[100:], batch_size=20, generator=0, train=K[:100])

    Args:
        K: symmetric and positive semidefinite matrix, shape (N, N), a tensor or an array, possibly memory-mapped. It is
            not copied, and only the parts that a selection needs are read.
        rows: which of the N points these are, shape (n,); None: all.
        factor: the kernel is multiplied by this number.
        precision: dtype of the results; None: that of K, at least float32.

    Raises BmdalError if K is not a square matrix of floating-point numbers, has a negative or non-finite diagonal, or
    is not symmetric.
    """

    K: Any
    rows: Any = None
    factor: float = 1.0
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        if self.rows is not None:
            return
        K = torch.from_numpy(self.K) if isinstance(self.K, np.ndarray) else self.K
        _check(K)
        object.__setattr__(self, "K", K)
        object.__setattr__(self, "rows", torch.arange(len(K), device=K.device))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.rows,)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        (rows,) = tensors
        return replace(self, rows=rows)

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        return replace(
            self, K=self.K.to(device=device), rows=self.rows.to(device=device), precision=dtype or self.precision
        )

    def kernel(self, other: Self) -> Tensor:
        few, many = (self, other) if len(self) <= len(other) else (other, self)  # reads whole rows for the smaller set
        kernel: Tensor = self.factor * self.K[few.rows][:, many.rows].to(self.dtype)
        return kernel if few is self else kernel.T

    def diag(self) -> Tensor:
        diagonal: Tensor = self.factor * self.K.diagonal()[self.rows].to(self.dtype)
        return diagonal

    def scaled(self, factor: float) -> KernelMatrix:
        return replace(self, factor=factor * self.factor)

    def is_of(self, other: Features) -> bool:
        """Whether other features are rows of the same matrix with the same factor."""
        return isinstance(other, KernelMatrix) and self.K is other.K and self.factor == other.factor

    @property
    def dtype(self) -> torch.dtype:
        own: torch.dtype = self.K.dtype
        return self.precision or torch.promote_types(own, torch.float32)


def _check(K: Tensor) -> None:
    if not isinstance(K, Tensor) or K.ndim != 2 or K.shape[0] != K.shape[1] or not K.is_floating_point():
        what = f"{tuple(K.shape)} of {K.dtype}" if isinstance(K, Tensor) else f"a {type(K).__name__}"
        raise BmdalError(
            f"a kernel matrix must be an array or tensor of floating-point numbers, shape (n, n), it is {what}"
        )
    diagonal = K.diagonal().to(torch.float64)
    bad = ~(torch.isfinite(diagonal) & (diagonal >= 0))
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise BmdalError(
            f"the diagonal of a kernel matrix must be finite and >= 0, but K[{i}, {i}] is {float(diagonal[i])}"
        )
    few = torch.linspace(0, len(K) - 1, min(len(K), N_CHECKED), device=K.device).long()
    part = K[few][:, few].to(torch.float64)
    difference = (part - part.T).abs()
    if not bool((difference <= 1e-3 * diagonal.max()).all()):
        i, j = (int(few[k]) for k in divmod(int(difference.nan_to_num(torch.inf).argmax()), len(few)))
        raise BmdalError(
            f"a kernel matrix must be symmetric, but K[{i}, {j}] = {float(K[i, j])} and K[{j}, {i}] = {float(K[j, i])}"
        )
