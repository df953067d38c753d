"""LCMD: largest cluster maximum distance, the paper's own method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    """Keeps the nearest selected points, the clusters; their sizes are summed up for each pick, in float64."""

    def __init__(self, pool: Features, selected: Features | None, batch_size: int) -> None:
        super().__init__(pool, selected, with_nearest=True)
        self.sizes = torch.zeros(int(self.number) + batch_size, dtype=torch.float64, device=pool.device)

    def best(self, still: Open) -> Pick:
        """Of the clusters that have an open point away from their centre, the largest, and the farthest of these."""
        if self.is_empty:
            return largest(still.rank(self.diag))
        sizes, d2 = self._sums(self.d2), self.d2
        if still.points is not None:
            d2 = still.rank(d2)
            sizes = torch.where(self._sums(d2) > 0, sizes, -torch.inf)
        return largest(torch.where(self.nearest == sizes.argmax(), d2, 0.0))

    def _sums(self, values: Tensor) -> Tensor:
        """Of each cluster's points, shape (n_clusters,)."""
        return torch.zeros_like(self.sizes).scatter_add_(0, self.nearest, values.to(torch.float64))


@register
@dataclass(frozen=True)
class LCMD(Selection):
    """The point in the largest cluster that is farthest from the cluster's centre (arXiv 2203.09410, Section 4.2).

    Every pool point belongs to the cluster of its nearest selected point s, and the size of a cluster is the sum of
    d_k(x, s)^2 over its points. If nothing is selected yet, the point with the largest k(x, x).
    """

    tokens = ("lcmd",)
    modes = ("TP", "P")
    takes_limits = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool, problem.selected, batch_size), problem, batch_size)
