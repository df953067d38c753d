"""LCMD: largest cluster maximum distance, the paper's own method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.group import Group
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    """Keeps the nearest selected points, the clusters; their sizes are summed up for each pick."""

    def __init__(self, pool: Features, selected: Features | None, batch_size: int, group: Group) -> None:
        super().__init__(pool, selected, with_nearest=True, group=group)
        self.n_clusters = int(self.number) + batch_size
        self.unit: float | None = None

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
        if self.unit is None:
            self.unit = self.group.unit(self.d2)
        return self.group.sums(values, self.nearest, self.n_clusters, self.unit)


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
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool, problem.selected, batch_size, problem.group), problem, batch_size)
