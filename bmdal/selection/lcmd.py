"""LCMD: largest cluster maximum distance, the paper's own method."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, argmax_if_positive, greedy
from bmdal.selection.distances import Moved, NearestSelected


class _State(NearestSelected):
    """Keeps the sum of squared distances of every cluster, in float64.

    Subtraction leaves rounding errors in the sums. If an emptied cluster therefore seems to be the largest, the sums
    are computed again.
    """

    def __init__(self, pool: Features, selected: Features | None, batch_size: int) -> None:
        super().__init__(pool, selected)
        self.sums = torch.zeros(self.n_selected + batch_size, dtype=torch.float64, device=pool.device)
        if self.n_selected:
            self._compute_sums()

    def best(self, still: Open) -> Pick | None:
        if self.n_selected == 0:
            return argmax_if_positive(still.rank(self.diag))
        best = self._farthest_in_largest(still)
        if best is None and float(self.d2.max()) > 0:
            self._compute_sums()
            best = self._farthest_in_largest(still)
        return best

    def add(self, index: int) -> Moved:
        first = self.n_selected == 0
        moved = super().add(index)
        if not first:
            self.sums.index_add_(0, moved.nearest_before, moved.d2_before.to(torch.float64), alpha=-1)
        self.sums[self.n_selected - 1] = moved.d2.sum(dtype=torch.float64)
        return moved

    def _farthest_in_largest(self, still: Open) -> Pick | None:
        """The farthest point in the largest cluster that has an open point away from its centre."""
        sums, d2 = self.sums, self.d2
        if still.points is not None:
            d2 = still.rank(d2)
            has_open = torch.zeros_like(sums, dtype=torch.bool)
            has_open[self.nearest[d2 > 0]] = True
            sums = torch.where(has_open, sums, -torch.inf)
        in_largest = self.nearest == sums.argmax()
        return argmax_if_positive(torch.where(in_largest, d2, 0.0))

    def _compute_sums(self) -> None:
        self.sums.zero_().index_add_(0, self.nearest, self.d2.to(torch.float64))


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

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool, problem.selected, batch_size), problem, batch_size)
