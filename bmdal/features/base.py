"""Features phi(x_1), ..., phi(x_n), represented by their inner products.

Every kernel of arXiv 2203.09410, Section 3, is a matrix, a sum, a product, the NNGP kernel, or a posterior in kernel
space. Only the factors are stored, never their product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from bmdal.errors import IncompatibleError
from bmdal.linalg import blocks

Index = int | slice | Tensor
Sketch = Callable[["Features"], Tensor]
"""A random projection after it is drawn: maps features of n points to a matrix (n, P)."""


class Features(ABC):
    """Features of n points in a space with kernel k(x, x') = <phi(x), phi(x')>.

    A subclass defines which tensors hold its points (`tensors`, `with_tensors`) and how to compute inner products from
    them (`kernel`, `diag`, `scaled`); everything else is derived. Never change values in place, neither those of
    `tensors()` nor those that other functions return, because they may share memory.
    """

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors that hold the points; the first dimension of each runs over the n points."""

    @abstractmethod
    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        """Features of the same kind for other points, given by tensors as from `tensors()`."""

    @abstractmethod
    def kernel(self, other: Self) -> Tensor:
        """Kernel matrix k(x_i, x'_j), shape (n, m), for `other` with m points, in memory that the caller may change."""

    @abstractmethod
    def diag(self) -> Tensor:
        """Kernel diagonal k(x_i, x_i), shape (n,)."""

    @abstractmethod
    def scaled(self, factor: float) -> Features:
        """Features of the kernel factor * k."""

    @property
    def n_features(self) -> int | None:
        """Number of columns p of `matrix()`, or None if there is no feature matrix."""
        return None

    def matrix(self) -> Tensor:
        """Feature matrix Phi, shape (n, p). Raises IncompatibleError if there is none."""
        raise IncompatibleError(
            f"{type(self).__name__} have no explicit feature matrix; a selection that needs one must set needs_explicit"
        )

    def draw_sketch(self, n_features: int, generator: torch.Generator) -> Sketch:
        """Draw a random projection to `n_features` dimensions that is unbiased for the kernel.

        Raises IncompatibleError for features without finite-dimensional factors.
        """
        raise IncompatibleError(f"{type(self).__name__} cannot be sketched")

    def __len__(self) -> int:
        return self.tensors()[0].shape[0]

    def __getitem__(self, index: Index) -> Self:
        """The features of some of the points; an integer selects one point and keeps the leading dimension."""
        if isinstance(index, Tensor) and index.dtype == torch.long:
            return self.with_tensors([t.index_select(0, index) for t in self.tensors()])
        rows = index
        if not isinstance(index, slice | Tensor):
            i = range(len(self))[index]  # supports negative integers and integers of NumPy
            rows = slice(i, i + 1)
        return self.with_tensors([t[rows] for t in self.tensors()])

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        """The same features on another device or in another precision; integers, such as row numbers, stay integers."""
        tensors = [t.to(device=device, dtype=dtype if t.is_floating_point() else None) for t in self.tensors()]
        return self.with_tensors(tensors)

    def rowwise(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """f(matrix()), shape (n, ...), where row i of the result depends only on row i of the matrix."""
        return f(self.matrix())

    def transformed(self, transform: Callable[[Features], Features]) -> Features:
        """The features after a transformation that maps each point by itself."""
        return transform(self)

    def slices(self, row_bytes: int) -> Iterator[slice]:
        """Slices of the points for passes that need `row_bytes` bytes for each point."""
        return blocks(len(self), row_bytes, self.device)

    def squared_distances(self, other: Self) -> Tensor:
        """d_k(x, x')^2 = k(x,x) + k(x',x') - 2 k(x,x'), shape (n, m), never negative."""
        return squared_distances(self.diag()[:, None], other.diag()[None, :], self.kernel(other))

    @property
    def device(self) -> torch.device:
        return self.tensors()[0].device

    @property
    def dtype(self) -> torch.dtype:
        return self.tensors()[0].dtype

    @property
    def nbytes(self) -> int:
        """Memory of the points in bytes."""
        return sum(t.numel() * t.element_size() for t in self.tensors())


def squared_distances(diag: Tensor, other_diag: Tensor, kernel: Tensor) -> Tensor:
    """d^2 = k(x,x) + k(x',x') - 2 k(x,x'), broadcast.

    Values within rounding of zero are set to zero, because the distance of exact duplicates must not depend on the
    order in which a matrix product adds its terms.
    """
    total = diag + other_diag
    distances = torch.sub(total, kernel, alpha=2)
    beyond_rounding = torch.sub(distances, total, alpha=8 * torch.finfo(total.dtype).eps)
    kept: Tensor = torch.ops.aten.threshold_backward(distances, beyond_rounding, 0)  # a `where` in one pass, not two
    return kept
