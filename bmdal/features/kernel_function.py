"""Features of points with a given kernel function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.features.base import Features
from bmdal.tables import as_tensor

N_CHECKED = 64
"""Number of points, evenly spread, on which the symmetry of the kernel is checked."""
N_DIAGONAL = 32
"""Number of points per block when the diagonal of the kernel is computed."""


@dataclass(frozen=True, eq=False)
class KernelFunction(Features):
    """Points X with the kernel k(x_i, x_j) = function(X, X)[i, j], which is computed when a selection needs it.

        train, pool = KernelFunction(gp.kernel_, X), KernelFunction(gp.kernel_, X_pool)  # scikit-learn
        select("maxdet-tp", pool, 20, generator=0, train=train, sigma=0.1)

    Args:
        function: maps points (n, ...) and (m, ...) of the same type as X to their kernel matrix (n, m), without noise
            on the diagonal. The matrix can be an array, a tensor or an object with `to_dense`, as in GPyTorch.
        X: the points, an array or a tensor, shape (n, ...).
        factor: the kernel is multiplied by this number.
        precision: dtype of the results; None: that of the function, at least float32.
        diagonal: k(x_i, x_i), shape (n,); None: it is computed.

    Raises BmdalError if the function does not return finite real matrices of the right shape, is not symmetric, or has
    a negative diagonal.
    """

    function: Callable[[Any, Any], Any]
    X: Any
    factor: float = 1.0
    precision: torch.dtype | None = None
    diagonal: Any = None

    def __post_init__(self) -> None:
        if self.diagonal is not None:
            return
        if not callable(self.function):
            raise BmdalError(f"a kernel function must be callable, got {type(self.function).__name__}")
        if not isinstance(self.X, np.ndarray | Tensor) or not self.X.ndim or not len(self.X):
            raise BmdalError(f"points must be an array or a tensor, shape (n, ...), got {type(self.X).__name__}")
        if isinstance(self.X, np.ndarray):
            object.__setattr__(self, "X", as_tensor("X", self.X).numpy())
        some = self.X[np.linspace(0, len(self.X) - 1, min(len(self.X), N_CHECKED)).astype(int).tolist()]
        part = self._matrix(some, some)
        difference = (part - part.T).abs()
        if not bool((difference <= 1e-3 * part.abs().max()).all()):
            raise BmdalError(
                f"the kernel must be symmetric, but k(x, x') and k(x', x) differ by {float(difference.max()):.3g}"
            )
        blocks = [slice(start, start + N_DIAGONAL) for start in range(0, len(self.X), N_DIAGONAL)]
        diagonal = torch.cat([self._matrix(self.X[rows], self.X[rows]).diagonal().clone() for rows in blocks])
        if not bool((diagonal >= 0).all()):
            i = int((diagonal < 0).nonzero()[0])
            raise BmdalError(
                f"the diagonal of the kernel must not be negative, but k(x, x) is {float(diagonal[i])} for point {i}"
            )
        object.__setattr__(self, "diagonal", diagonal)

    def _matrix(self, X: Any, Y: Any) -> Tensor:
        try:
            result = self.function(X, Y)
        except Exception as error:
            kind = type(error).__name__
            raise BmdalError(f"the kernel function cannot be used with the points: {kind}: {error}") from error
        result = result.to_dense().detach() if hasattr(result, "to_dense") else result
        K = as_tensor("the result of the kernel function", result)
        finite = bool(torch.isfinite(K).all())
        if K.shape != (len(X), len(Y)) or not K.is_floating_point() or not finite:
            what = f"{tuple(K.shape)} of {K.dtype}" + ("" if finite else ", with NaN or infinity")
            raise BmdalError(
                f"the kernel function must return a matrix of finite real numbers, shape ({len(X)}, {len(Y)}), for "
                f"{len(X)} and {len(Y)} points; it returned {what}"
            )
        return K.to(torch.promote_types(K.dtype, torch.float32))

    def tensors(self) -> tuple[Tensor, ...]:
        return torch.as_tensor(self.X), self.diagonal

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        X, diagonal = tensors
        return replace(self, X=X.numpy() if isinstance(self.X, np.ndarray) else X, diagonal=diagonal)

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        X = self.X if isinstance(self.X, np.ndarray) else self.X.to(device=device)
        return replace(self, X=X, diagonal=self.diagonal.to(device=device), precision=dtype or self.precision)

    def kernel(self, other: Self) -> Tensor:
        return self.factor * self._matrix(self.X, other.X).to(self.diagonal.device, self.dtype)

    def diag(self) -> Tensor:
        diagonal: Tensor = self.factor * self.diagonal.to(self.dtype)
        return diagonal

    def scaled(self, factor: float) -> KernelFunction:
        return replace(self, factor=factor * self.factor)

    def is_of(self, other: Features) -> bool:
        """Whether other features have the same kernel function and factor."""
        same = isinstance(other, KernelFunction) and self.function == other.function
        return same and self.factor == other.factor  # type: ignore[attr-defined]

    @property
    def dtype(self) -> torch.dtype:
        own: torch.dtype = self.diagonal.dtype
        return self.precision or own
