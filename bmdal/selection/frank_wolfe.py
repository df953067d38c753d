"""Frank-Wolfe: a sparse approximation of the pool's mean embedding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import DenseFeatures, Features
from bmdal.features.shard import explicit
from bmdal.group import Group
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.shadow import Shadow


class _State(GreedyState):
    """The sum u of the pool's features and the gap u - w to its current approximation w, both of shape (p,).

    On a CPU, a `Shadow` of the features shows which few points can have the largest score, and only these are computed
    from the features. The result is the same.
    """

    repeats = True

    def __init__(self, pool: Features, group: Group) -> None:
        self.pool, self.group = pool, group
        self.c = pool.diag().sqrt()
        self.scale = group.total(self.c) / self.c
        self.u = group.total_features(pool)
        self.gap = self.u.clone()
        self.free = self.c > 0
        self.shadow = Shadow.of(pool.matrix(), n_levels=2) if isinstance(pool, DenseFeatures) else None

    def best(self, still: Open) -> Pick:
        free = still.among(self.free)
        if self.shadow is None:
            return largest(torch.where(free, self.pool.rowwise(lambda Phi: Phi @ self.gap) / self.c, 0.0))
        rows = self._promising(free, self.shadow)
        if len(rows) == 0:
            return torch.zeros(1, dtype=torch.long), self.c.new_zeros(1)
        i, score = largest((self.pool[rows].matrix() @ self.gap) / self.c[rows])
        return rows[i], score

    def _promising(self, free: Tensor, shadow: Shadow) -> Tensor:
        """All free points that can have the largest score, and possibly a few more."""
        products, (off,) = shadow.products(self.gap[None])
        bound = off * shadow.error
        upper, lower = (products[0] + bound) / self.c, (products[0] - bound) / self.c
        return (free & (upper >= torch.where(free, lower, -torch.inf).max())).nonzero()[:, 0]

    def add(self, index: Tensor) -> None:
        point, (scale,) = self.group.point(self.pool, index, self.scale)
        step = torch.addcmul(self.gap - self.u, point.matrix()[0], scale)  # t - w
        self.gap.addcmul_(step, (step @ self.gap) / (step @ step), value=-1)
        self.free.index_fill_(0, self.group.rows(index), False)


@register
@dataclass(frozen=True)
class FrankWolfe(Selection):
    """argmax_i <u - w, phi_i> / |phi_i|, then w <- (1 - g) w + g t with t = r phi_i / |phi_i|.

    u = sum_i phi_i over the pool, r = sum_i |phi_i|, g = <t - w, u - w> / |t - w|^2, and initially w = 0. Training
    points are not used, so there is no mode TP. Needs a feature matrix. On ACS features it is known as ACS-FW.
    Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("fw",)
    modes = ("P",)
    needs_explicit = True
    takes_limits = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(explicit(problem.pool), problem.group), problem, batch_size)
