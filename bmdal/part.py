"""The part of a pool that one of several processes maps with networks."""

from __future__ import annotations

from dataclasses import dataclass

from bmdal.inputs import Inputs
from bmdal.points import Points


@dataclass(frozen=True)
class Part:
    """The points start, start + 1, ... of a pool of which other processes hold the rest.

    Networks get them in chunks that are counted from the first point of the pool. The rounding of a product may depend
    on its shape, so copies of these points take the place of others. The outputs for a point thus do not depend on
    which process holds it.

    Attributes:
        X: these points.
        start: the number of the first one in the pool.
        n_pool: number of points of the pool.
    """

    X: Inputs
    start: int
    n_pool: int

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: slice | list[int]) -> Points:
        return self.X[rows]

    def padded(self, size: int) -> tuple[Inputs, slice]:
        """The points, of which there must be one, with copies that fill up chunks of a size, and where they are."""
        n_before = self.start % size
        n = min(-(-(n_before + len(self)) // size) * size, n_before + self.n_pool - self.start)
        return _Padded(self.X, n_before, n), slice(n_before, n_before + len(self))


@dataclass(frozen=True)
class _Padded:
    """n points: copies of the first of some, these, and copies of the last."""

    X: Inputs
    n_before: int
    n: int

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: slice | list[int]) -> Points:
        numbers = range(self.n)[rows] if isinstance(rows, slice) else rows
        wanted = [min(max(0, i - self.n_before), len(self.X) - 1) for i in numbers]
        first, last = min(wanted), max(wanted)
        points = self.X[first : last + 1]
        return points if len(points) == len(wanted) else points[[i - first for i in wanted]]
