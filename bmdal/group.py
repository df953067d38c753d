"""What a selection asks of the processes that hold its pool."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.features import Features

Pick = tuple[Tensor, Tensor]
"""A pool point and its score, per cost if there are costs: numbers that stay on their device, both of shape (1,)."""


@dataclass
class Traffic:
    """What this process has received, its own contribution included.

    Attributes:
        messages: number of messages during the selection.
        n_bytes: their bytes.
        messages_before: number of messages before that.
        n_bytes_before: their bytes.
    """

    messages: int = 0
    n_bytes: int = 0
    messages_before: int = 0
    n_bytes_before: int = 0


class Group:
    """A single process, which holds the whole pool, so that nothing is sent. See `bmdal.processes` for several.

    Rows are numbers of points of this process, indices those of points of the whole pool.
    """

    traffic: Traffic | None = None

    def together(self) -> AbstractContextManager[None]:
        """Raise the errors that some processes meet in all of them, as a BmdalError that names their ranks."""
        return nullcontext()

    def count(self, pool: Features) -> int:
        """Number of points of the whole pool."""
        return len(pool)

    def best(self, row: Tensor, score: Tensor) -> Pick:
        """The index of the best point, and its score, given the row of this process's best one, both of shape (1,)."""
        return row, score

    def rows(self, indices: Tensor) -> Tensor:
        """The rows of those of some points that this process holds, shape (n_held,)."""
        return indices

    def point(self, pool: Features, index: Tensor, *values: Tensor) -> tuple[Features, list[Tensor]]:
        """The features of a point, shape (1,), and its values, given those of this process's points, shape (n, ...)."""
        return pool[index], [v.index_select(0, index) for v in values]

    def points(self, pool: Features, indices: Tensor) -> Features:
        """The features of several points, shape (m,)."""
        return pool[indices]

    def whole(self, mask: Tensor | None) -> Tensor | None:
        """A mask of all points of the pool, given that of this process's points; None stays None."""
        return mask

    def own(self, values: Tensor) -> Tensor:
        """Values of this process's points, given those of all points of the pool."""
        return values

    def in_pool(self, rows: Tensor, indices: Tensor) -> Tensor:
        """Row numbers of the user's pool, given those of this process's points, shape (n,), and some indices."""
        return rows[indices]

    def span(self, n: int) -> tuple[int, int]:
        """If each process has n things: how many the processes before this one have, and all of them."""
        return 0, n

    def first(self, rows: Tensor, scores: Tensor, n: int) -> Pick:
        """Indices and scores of the n best points, given this process's n best in descending order."""
        return rows, scores

    def maximum(self, values: Tensor) -> Tensor:
        """The largest value of a point of the pool, shape (), given those of this process's points."""
        return values.max()

    def total(self, values: Tensor) -> Tensor:
        """The sum of a value of each point of the pool, shape (), given those of this process's points, >= 0."""
        return values.sum()

    def total_features(self, pool: Features) -> Tensor:
        """sum_i phi_i over the pool, shape (p,)."""
        return pool.matrix().sum(dim=0)

    def second_moments(self, pool: Features) -> Tensor:
        """sum_i phi_i phi_i^T over the pool, shape (p, p)."""
        Phi = pool.matrix()
        return Phi.T @ Phi

    def unit(self, values: Tensor) -> float:
        """The unit for the sums of values, shape (n,), that are no larger than these."""
        return 1.0

    def sums(self, values: Tensor, places: Tensor, n: int, unit: float) -> Tensor:
        """The sum of the values at each place 0, ..., n - 1, shape (n,), in float64."""
        sums = torch.zeros(n, dtype=torch.float64, device=values.device)
        return sums.scatter_add_(0, places, values.to(torch.float64))

    def draw(self, weights: Tensor, u: Tensor, unit: float) -> Pick:
        """The row that a uniform number u in [0, 1), shape (1,), draws with probability proportional to its weight."""
        cumulative = weights.cumsum(dim=0, dtype=torch.float64)
        # The first index with cumulative weight > u * total has a positive weight; 1 - u is in (0, 1].
        row = torch.searchsorted(cumulative, cumulative[-1:] * (1 - u))
        return row, weights.index_select(0, row)


ALONE = Group()
