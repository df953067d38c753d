"""The points of a pool that one of several processes holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.errors import IncompatibleError
from bmdal.features.base import Features, Index
from bmdal.features.dense import DenseFeatures
from bmdal.features.stored import BLOCK_ROWS, StoredFeatures
from bmdal.linalg import squared_norms

ROWS_OF_A_BLOCK = {"cpu": BLOCK_ROWS, "cuda": 2**17}
"""A GPU takes longer for a block of this size than it takes to launch the kernels."""
ALIGNED = 64
"""Bytes: the order of the terms in a product may depend on where a matrix begins."""


@dataclass(frozen=True, eq=False)
class Shard(Features):
    """Points start, start + 1, ... of a pool with a feature matrix.

    They are computed in blocks of one size, counted from the first point of the pool. The rounding of a matrix product
    may depend on its shape, so where other processes hold a part of a block, zeros take its place. The numbers of a
    point thus do not depend on which process holds it.

    Args:
        stored: matrix of floating-point numbers in any precision, shape (N, p), possibly memory-mapped.
        start: number of the first of these points in the pool.
        rows: which of the N rows these points are, in order, shape (n,); None: all.
        transform: maps features to transformed ones whenever points are read; None: they stay as they are.
        precision: dtype of the results; None: that after `transform`, which gets at least float32.
        release: called after each read, as in `StoredFeatures`; None: the matrix is in memory.
    """

    stored: Tensor
    start: int = 0
    rows: Tensor | None = None
    transform: Callable[[Features], Features] | None = None
    precision: torch.dtype | None = None
    release: Callable[[], object] | None = None

    @classmethod
    def of(cls, features: Features) -> Shard:
        """A shard of given features. Raises IncompatibleError unless they are the rows of a matrix."""
        if isinstance(features, StoredFeatures):
            n = len(features.stored)
            rows = None if torch.equal(features.rows, torch.arange(n, device=features.device)) else features.rows
            return cls(features.stored, 0, rows, features.transform, features.precision, features.release)
        if not isinstance(features, DenseFeatures):
            raise IncompatibleError(
                f"over a group of processes the pool must be a matrix of features, it is {type(features).__name__}"
            )
        return cls(features.Phi)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.matrix(),)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Any:
        """Features in memory."""
        return DenseFeatures(*tensors)

    def __len__(self) -> int:
        return len(self.stored if self.rows is None else self.rows)

    def __getitem__(self, index: Index) -> Any:
        """Consecutive points, given by a slice, as a shard; others, transformed, in memory."""
        if isinstance(index, slice):
            first, last, _ = index.indices(len(self))
            if self.rows is None:
                return replace(self, start=self.start + first, stored=self.stored[first:last])
            return replace(self, start=self.start + first, rows=self.rows[first:last])
        rows = torch.as_tensor(index, device=self.device).reshape(-1)
        if self.transform is None:
            stored = self.stored.index_select(0, rows if self.rows is None else self.rows[rows])
            return self._read_as(DenseFeatures(stored.to(self._at_least)))
        return DenseFeatures(torch.cat([self[:0].matrix(), *(self[i : i + 1].matrix() for i in rows.tolist())]))

    def blocks(self) -> Iterator[tuple[slice, Features, slice]]:
        """Blocks that hold some of these points: which of the points, the block, and where in it they are."""
        size = ROWS_OF_A_BLOCK[self.device.type]
        for rows in self.slices(0):
            first = (self.start + rows.start) % size
            place = slice(first, first + rows.stop - rows.start)
            yield rows, self._block(rows, place, size), place

    def slices(self, row_bytes: int) -> Iterator[slice]:
        """One slice for each block, of whatever size: a part of a block takes as long as a whole one."""
        size = ROWS_OF_A_BLOCK[self.device.type]
        for first in range(self.start - self.start % size, self.start + len(self), size):
            yield slice(max(0, first - self.start), min(first + size - self.start, len(self)))

    def rowwise(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        rows_of = f(self._one.matrix())
        result = rows_of.new_empty(len(self), *rows_of.shape[1:])
        for rows, block, place in self.blocks():
            result[rows] = f(block.matrix())[place]
        return result

    def kernel(self, other: Features) -> Tensor:
        return self.rowwise(lambda Phi: functional.linear(Phi, other.matrix()))

    def diag(self) -> Tensor:
        return self.rowwise(squared_norms)

    def scaled(self, factor: float) -> Shard:
        return self.transformed(lambda features: features.scaled(factor))

    def transformed(self, transform: Callable[[Features], Features]) -> Shard:
        """The transformed features: in memory, or transformed again whenever they are read, if they stay stored."""
        later = replace(self, transform=lambda features: transform(self._read_as(features)), precision=None)
        return later if self.release is not None else Shard(later.matrix(), self.start)

    def in_one_matrix(self) -> DenseFeatures:
        """The same features as a matrix in memory."""
        return DenseFeatures(self.matrix())

    def only(self, rows: Tensor, start: int) -> Shard:
        """Some of the points, in order, as points start, start + 1, ... of a pool."""
        rows = rows.to(self.device)
        if len(rows) == len(self):
            return replace(self, start=start)
        return replace(self, start=start, rows=rows if self.rows is None else self.rows[rows])

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Self:
        if device is not None and torch.device(device) != self.device:
            raise IncompatibleError(f"a shard stays on {self.device}, it cannot be moved to {device}")
        if self.transform is None and self.release is None and self.stored.itemsize > 2:
            return replace(self, stored=self.stored.to(dtype=dtype))
        return replace(self, precision=dtype or self.precision)

    @property
    def n_features(self) -> int | None:
        return self._one.n_features

    def matrix(self) -> Tensor:
        return self.rowwise(lambda Phi: Phi)

    @property
    def device(self) -> torch.device:
        return self.stored.device

    @property
    def dtype(self) -> torch.dtype:
        return self._one.dtype

    @property
    def _at_least(self) -> torch.dtype:
        return torch.promote_types(self.stored.dtype, torch.float32)

    @cached_property
    def _one(self) -> Features:
        """A point of zeros, transformed."""
        return self._read_as(DenseFeatures(self.stored.new_zeros(1, self.stored.shape[1], dtype=self._at_least)))

    def _read_as(self, features: Features) -> Features:
        features = features if self.transform is None else self.transform(features)
        return features if self.precision is None else features.to(dtype=self.precision)

    def _block(self, rows: slice, place: slice, size: int) -> Features:
        Phi = self._read(rows)
        like_others = Phi.dtype == self._at_least and Phi.is_contiguous() and not Phi.data_ptr() % ALIGNED
        if len(Phi) < size or not like_others:
            padded = Phi.new_zeros(size, Phi.shape[1], dtype=self._at_least)
            padded[place] = Phi
            Phi = padded
        if self.release is not None:
            self.release()
        return self._read_as(DenseFeatures(Phi))

    def _read(self, rows: slice) -> Tensor:
        """Some points as they are stored."""
        return self.stored[rows] if self.rows is None else self.stored.index_select(0, self.rows[rows])


def explicit(features: Features) -> Features:
    """The same features with a matrix that is at hand, or in parts if it is in shards."""
    return features if isinstance(features, DenseFeatures | Shard) else DenseFeatures(features.matrix())
