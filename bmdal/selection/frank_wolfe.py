"""Frank-Wolfe: a sparse approximation of the pool's mean embedding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import DenseFeatures, Features
from bmdal.features.shard import explicit
from bmdal.group import ALONE, Group
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.shadow import AT_ONCE, Products, Shadow

ROUNDING = 16
"""Scores are rounded to less than this many epsilons of |u|."""
FEW = 16
"""If more than a FEW-th of the points may have the largest score, all are computed."""


class _State(GreedyState):
    """The sum u of the pool's features and the gap u - w to its current approximation w, both of shape (p,)."""

    repeats = True

    def __init__(self, pool: Features, group: Group) -> None:
        self.pool, self.group = pool, group
        self.c = pool.diag().sqrt()
        self.scale = group.total(self.c) / self.c
        self.u = group.total_features(pool)
        self.gap = self.u.clone()
        self.free = self.c > 0

    def best(self, still: Open) -> Pick:
        scores = self.pool.rowwise(lambda Phi: Phi @ self.gap) / self.c
        return largest(torch.where(still.among(self.free), scores, 0.0))

    def add(self, index: Tensor) -> None:
        self._move(index)

    def _move(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """w <- (1 - g) w + g t with t = r phi; return g and r."""
        point, (scale,) = self.group.point(self.pool, index, self.scale)
        step = torch.addcmul(self.gap - self.u, point.matrix()[0], scale)  # t - w
        share = (step @ self.gap) / (step @ step)
        self.gap.addcmul_(step, share, value=-1)
        self.free.index_fill_(0, self.group.rows(index), False)
        return share, scale


class _Bounded(_State):
    """The same with few passes over the features.

    Products with a `Shadow` tell which few points can have the largest score, and only these are computed from the
    features, so the points selected are the same. After a point n, the products of all with the gap are

        (1 - g) <gap, phi_i> + g <u, phi_i> - g r_n <phi_n, phi_i>,

    and a pass reads the last ones beforehand for points that are likely to be selected next. If another one is, the
    next pass starts from its gap.

    Attributes:
        with_u: <u, phi_i> / |phi_i|, shape (n_pool,).
        closed: rows that must not be selected, shape (n_closed,).
        scores: <gap, phi_i> / |phi_i| up to `off` times `error`, or -inf if closed, shape (n_pool,).
        noise: more than the rounding errors of scores.
        next: rows with the largest scores when a point was last selected.
        likely: rows whose products are vectors 1, 2, ... of `ahead`; vector 0 was the gap.
    """

    ahead: Products

    def __init__(self, pool: DenseFeatures, shadow: Shadow) -> None:
        super().__init__(pool, ALONE)
        self.Phi, self.shadow = pool.Phi, shadow
        self.norms = torch.where(self.free, self.c, 1.0)
        self.error = shadow.error / self.norms
        self.with_u = pool.rowwise(lambda Phi: Phi @ self.u).to(torch.float64) / self.norms
        self.closed = (~self.free).nonzero()[:, 0]
        self.scores, self.off = self.with_u.index_fill(0, self.closed, -torch.inf), 0.0
        self.noise = ROUNDING * torch.finfo(self.u.dtype).eps * float(torch.linalg.vector_norm(self.u))
        self.next, self.likely = list[int](), list[int]()

    def best(self, still: Open) -> Pick:
        rows = self._promising(still)
        if FEW * len(rows) > len(self.Phi):
            return super().best(still)
        scores = (self.Phi[rows] @ self.gap) / self.c[rows]
        self.next = rows[scores.topk(min(AT_ONCE, len(rows))).indices].tolist()
        i, score = largest(scores)
        return rows[i], score

    def _promising(self, still: Open) -> Tensor:
        """All points that can have the largest score, and possibly a few more."""
        scores = self.scores if still.points is None else torch.where(still.points, self.scores, -torch.inf)
        upper, lower = (torch.add(scores, self.error, alpha=off) for off in (self.off, -self.off))
        return (~(upper < lower.max() - self.noise)).nonzero()[:, 0]  # all points if one of them is NaN

    def add(self, index: Tensor) -> None:
        share, scale = map(float, self._move(index))
        if int(index) in self.likely:
            j, step = 1 + self.likely.index(int(index)), share * scale
            self.scores.mul_(1 - share).add_(self.with_u, alpha=share)
            self.scores.addcdiv_(self.ahead.of(j)[0], self.norms, value=-step)
            self.off = abs(1 - share) * self.off + abs(step) * self.ahead.off[j]
        else:
            self.likely = [i for i in self.next if i != int(index)][: AT_ONCE - 1]
            self.ahead = self.shadow.times(torch.cat([self.gap[None], self.Phi[self.likely]]))
            self.scores, self.off = self.ahead.of(0)[0] / self.norms, self.ahead.off[0]
        self.closed = torch.cat([self.closed, index])
        self.scores.index_fill_(0, self.closed, -torch.inf)


def _state(pool: Features, group: Group) -> _State:
    if isinstance(pool, DenseFeatures) and group is ALONE and (shadow := Shadow.of(pool.Phi)) is not None:
        return _Bounded(pool, shadow)
    return _State(pool, group)


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
        return greedy(_state(explicit(problem.pool), problem.group), problem, batch_size)
