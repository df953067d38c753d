"""Features that stay where they are stored, on disk or in half precision, and are computed block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features.base import Features, Index, Sketch
from bmdal.features.dense import DenseFeatures

BLOCK_ROWS = 8192
"""Rows of a block. The rounding of a matrix product may depend on its shape: with blocks of one size, counted from the
first point, the numbers of a point depend neither on the memory at hand nor on who holds which part of a pool."""
SCATTERED_ROWS = 256
"""Rows that are read at a time from all over a memory map: each of them may map up to 2 MiB of its surroundings."""
MEMORY_BYTES = 4 * 2**30
"""The most memory that features take that are loaded as a whole."""


def _same(features: Features) -> Features:
    return features


def _nothing() -> None:
    pass


@dataclass(frozen=True, eq=False)
class StoredFeatures(Features):
    """Features of n points whose matrix stays in its own precision, often on disk: `read_features`.

    They are computed in float32, or in float64 if they are stored so or after `to(dtype=torch.float64)`, in blocks of
    BLOCK_ROWS points. Some points, `features[rows]`, are in memory if they are no more than a block.

    Args:
        stored: matrix of floating-point numbers in any precision, shape (N, p), possibly memory-mapped.
        rows: which of the N points these are, shape (n,); None: all.
        transform: maps features of some points to transformed ones, whenever points are read.
        precision: dtype of the results; None: that after `transform`, which gets at least float32.
        release: called after each read, to give back the memory that a memory map has taken.

    Raises BmdalError unless `stored` is a matrix of floating-point numbers with at least one column.
    """

    stored: Tensor
    rows: Tensor = None  # type: ignore[assignment]  # a tensor after __post_init__
    transform: Callable[[Features], Features] = _same
    precision: torch.dtype | None = None
    release: Callable[[], object] = _nothing

    def __post_init__(self) -> None:
        if self.rows is not None:
            return
        t: Any = self.stored
        if not isinstance(t, Tensor) or t.ndim != 2 or not t.shape[1] or not t.is_floating_point() or t.itemsize == 1:
            what = f"{tuple(t.shape)} of {t.dtype}" if isinstance(t, Tensor) else f"a {type(t).__name__}"
            raise BmdalError(
                "stored features must be a matrix of floating-point numbers of 16 bits or more, shape (n, p), "
                f"they are {what}"
            )
        object.__setattr__(self, "rows", torch.arange(len(t), device=t.device))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.rows,)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        (rows,) = tensors
        return replace(self, rows=rows)

    def __getitem__(self, index: Index) -> Any:
        """Some points, in memory if they are no more than BLOCK_ROWS, and stored otherwise."""
        some: StoredFeatures = super().__getitem__(index)
        return some._read() if len(some) <= BLOCK_ROWS else some

    def blocks(self) -> Iterator[tuple[slice, Features]]:
        """The features of each BLOCK_ROWS points, in memory, and which of the n points these are."""
        for start in range(0, len(self), BLOCK_ROWS):
            rows = slice(start, min(start + BLOCK_ROWS, len(self)))
            yield rows, self.with_tensors([self.rows[rows]])._read()

    def _read(self) -> Features:
        """The same features in memory."""
        rows, n = self.rows, len(self)
        in_order = n > 0 and bool((rows[1:] - rows[:-1] == 1).all())
        at_least = torch.promote_types(self.stored.dtype, torch.float32)
        Phi = torch.empty(n, self.stored.shape[1], dtype=at_least, device=self.device)
        step = n if in_order else SCATTERED_ROWS
        for start in range(0, n, step):
            some = rows[start : start + step]
            Phi[start : start + step] = (
                self.stored[int(some[0]) :][:n] if in_order else self.stored.index_select(0, some)
            )
            self.release()
        features = self.transform(DenseFeatures(Phi))
        return features if self.precision is None else features.to(dtype=self.precision)

    def kernel(self, other: Features) -> Tensor:
        if isinstance(other, StoredFeatures):
            return torch.cat([self.kernel(part) for _, part in other.blocks()] or [self._first.diag()[:0, None]], dim=1)
        kernel = torch.empty(len(self), len(other), dtype=self.dtype, device=self.device)
        for rows, block in self.blocks():
            kernel[rows] = block.kernel(other)
        return kernel

    def diag(self) -> Tensor:
        return self._diag

    @cached_property
    def _diag(self) -> Tensor:
        diag = torch.empty(len(self), dtype=self.dtype, device=self.device)
        for rows, block in self.blocks():
            diag[rows] = block.diag()
        return diag

    def scaled(self, factor: float) -> StoredFeatures:
        return self.mapped(lambda features: features.scaled(factor))

    def mapped(self, transform: Callable[[Features], Features]) -> StoredFeatures:
        """The transformed features; they are not stored, but transformed again whenever they are read."""
        before = self.with_tensors(self.tensors())  # without what it may have in its cache

        def both(features: Features) -> Features:
            features = before.transform(features)
            return transform(features if before.precision is None else features.to(dtype=before.precision))

        return replace(self, transform=both, precision=None)

    def transformed(self, transform: Callable[[Features], Features]) -> StoredFeatures:
        return self.mapped(transform)

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        if device is not None and torch.device(device).type != self.device.type:
            raise IncompatibleError(f"stored features stay on {self.device}, they cannot be moved to {device}")
        return replace(self, precision=dtype or self.precision)

    @cached_property
    def _first(self) -> Features:
        return self.with_tensors([self.rows[:1]])._read()

    @property
    def n_features(self) -> int | None:
        return self._first.n_features

    def in_memory(self) -> Features:
        """The same features in memory. Raises IncompatibleError if they would take more than MEMORY_BYTES."""
        needed = len(self) * self._first.nbytes
        if needed > MEMORY_BYTES:
            raise IncompatibleError(
                f"the features of {len(self)} stored points would take {needed / 2**30:.1f} GiB of memory, at most "
                f"{MEMORY_BYTES / 2**30:g} GiB are allowed: choose a selection method that reads them block by block, "
                "such as 'lcmd', 'maxdist', 'kmeanspp', 'maxdet' or 'maxdiag', or select from some of the points"
            )
        whole = [t.new_empty(len(self), *t.shape[1:]) for t in self._first.tensors()]
        for rows, block in self.blocks():
            for t, part in zip(whole, block.tensors(), strict=True):
                t[rows] = part
        return self._first.with_tensors(whole)

    def matrix(self) -> Tensor:
        """Feature matrix, shape (n, p). Raises IncompatibleError as `in_memory`, or if there is none."""
        return self.in_memory().matrix()

    def draw_sketch(self, n_features: int, generator: torch.Generator) -> Sketch:
        return self._first.draw_sketch(n_features, generator)

    @property
    def dtype(self) -> torch.dtype:
        return self._first.dtype

    @property
    def device(self) -> torch.device:
        return self.stored.device
