"""Squared distances from every pool point to its nearest selected point, kept up to date."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bmdal.features import Features
from bmdal.features.base import squared_distances

BLOCK_BYTES = 64 * 2**20


class NearestSelected:
    """Distances of the pool to the selected points.

    Attributes:
        d2: squared distance to the nearest selected point, shape (n_pool,); infinite while there is none.
        nearest: number of that point in the order in which they were added, shape (n_pool,).
        n_selected: how many points have been added.
    """

    def __init__(self, pool: Features, selected: Features | None) -> None:
        self.pool = pool
        self.diag = pool.diag()
        self.d2 = torch.full_like(self.diag, torch.inf)
        self.nearest = torch.full((len(pool),), -1, dtype=torch.long, device=pool.device)
        self.n_selected = 0
        self.chosen: list[int] = []
        if selected is not None:
            self._add_many(selected)

    def add(self, index: int) -> Tensor:
        """Count a pool point as selected; returns the pool points that are now nearest to it."""
        column = self.pool.kernel(self.pool[index])[:, 0]
        d2 = squared_distances(self.diag, self.diag[index], column)
        d2[index] = 0.0
        closer = (d2 < self.d2).nonzero()[:, 0]
        self.d2[closer] = d2[closer]
        self.nearest[closer] = self.n_selected
        self.n_selected += 1
        self.chosen.append(index)
        return closer

    def _add_many(self, selected: Features) -> None:
        diag = selected.diag()
        for rows in _blocks(len(self.pool), len(selected) * self.diag.element_size()):
            kernel = self.pool[rows].kernel(selected)
            d2 = squared_distances(self.diag[rows, None], diag[None, :], kernel)
            self.d2[rows], self.nearest[rows] = d2.min(dim=1)
        self.n_selected = len(selected)


def _blocks(n: int, row_bytes: int) -> Iterator[slice]:
    """Slices of rows that together take about BLOCK_BYTES."""
    size = max(1, BLOCK_BYTES // max(1, row_bytes))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
