"""Expected predictive information gain (EPIG): what a label tells about predictions at the target points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.group import Group
from bmdal.linalg import blocks
from bmdal.randomness import permutation
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.columns import PosteriorColumns

EPS = torch.finfo(torch.float64).eps
N_TARGETS = 256
"""Number of random pool points that serve as targets if none are given."""


class _State(GreedyState):
    """Posterior covariances between pool points and targets, and variances of both, given the selected points.

    With l = k+(., x) / sqrt(k+(x, x) + sigma^2) for a selected point x, k+(a, b) decreases by l(a) l(b). k+(., x) is
    computed from the l of all points selected before or, if the batch has more points than there are features, from
    k+ = phi^T A phi.
    """

    def __init__(self, pool: Features, target: Features, sigma: float, batch_size: int, group: Group) -> None:
        self.pool, self.sigma2, self.group = pool, sigma**2, group
        self.variance, self.of_target = pool.diag().clone(), target.diag().clone()
        self.covariance = self.variance.new_empty(len(pool), len(target))
        for rows in pool.slices(8 * len(target)):
            self.covariance[rows] = pool[rows].kernel(target)
        self.free = torch.ones(len(pool), dtype=torch.bool, device=pool.device)
        self.columns = PosteriorColumns(pool, batch_size, group)
        self.repeats = self.columns.repeats
        self.scores = torch.empty_like(self.variance)
        self._lower(torch.zeros_like(self.variance), torch.zeros_like(self.of_target))

    def best(self, still: Open) -> Pick:
        return largest_number(still.rank(torch.where(self.free, self.scores, 0.0)))

    def add(self, index: Tensor) -> None:
        point, (variance, covariance) = self.group.point(self.pool, index, self.variance, self.covariance)
        root = torch.sqrt(variance + self.sigma2)
        self.free.index_fill_(0, self.group.rows(index), False)
        self._lower(self.columns.add(index, point, root), covariance[0] / root)

    def _lower(self, of_pool: Tensor, of_target: Tensor) -> None:
        """Take l(a) l(b) off k+(a, b), and score the points with what is left, in one pass over the covariances."""
        self.variance.addcmul_(of_pool, of_pool, value=-1).clamp_(min=0)
        self.of_target.addcmul_(of_target, of_target, value=-1).clamp_(min=0)
        by_target = (self.of_target + self.sigma2).reciprocal_()
        by_point = (self.variance + self.sigma2).reciprocal_()[:, None]
        for rows in blocks(len(self.pool), 16 * len(self.of_target), self.pool.device):
            correlation2 = self.covariance[rows].addr_(of_pool[rows], of_target, alpha=-1).square()
            correlation2.mul_(by_target).mul_(by_point[rows]).clamp_(max=1 - EPS)  # it is < 1 apart from rounding
            self.scores[rows] = correlation2.neg_().log1p_().mean(dim=1).mul_(-0.5)


@register
@dataclass(frozen=True)
class EPIG(Selection):
    """The point with the largest mean_t -1/2 log(1 - k+(x,t)^2 / ((k+(x,x) + sigma^2) (k+(t,t) + sigma^2))).

    This is the mean information that the label of x gives about the label of a target t. k+ is the posterior kernel
    given the selected points and, in mode TP, the training points. Without given targets, a random sample of the pool
    is used.
    Memory: n_pool * (n_target + batch_size) numbers, or n_pool * n_target if the batch is larger than the number of
    features; in mode TP, a copy of the features besides.
    Source: Bickford Smith et al., arXiv 2304.08151.
    """

    tokens = ("epig",)
    needs_float64 = True
    takes_target = True
    takes_limits = True
    takes_costs = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool, target, group = problem.pool, problem.target, problem.group
        if target is None:
            target = group.points(pool, permutation(group.count(pool), problem.generator, pool.device)[:N_TARGETS])
        if problem.selected is not None:
            posterior = condition(problem.selected, problem.sigma)
            pool, target = pool.transformed(posterior), posterior(target)
        return greedy(_State(pool, target, problem.sigma, batch_size, group), problem, batch_size)
