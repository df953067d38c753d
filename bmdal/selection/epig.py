"""Expected predictive information gain: what a label tells about the predictions on the target points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.linalg import blocks
from bmdal.randomness import permutation
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.columns import PosteriorColumns

EPS = torch.finfo(torch.float64).eps
N_TARGETS = 256
"""Pool points that stand for the targets where none are given."""


class _State(GreedyState):
    """Posterior covariances given the selected points: of pool points with targets, and variances of both.

    With l = k+(., x) / sqrt(k+(x, x) + sigma^2) for the selected point x, k+(a, b) falls by l(a) l(b).
    """

    def __init__(self, pool: Features, target: Features, sigma: float, batch_size: int) -> None:
        self.pool, self.sigma2 = pool, sigma**2
        self.variance, self.of_target = pool.diag().clone(), target.diag().clone()
        self.covariance = self.variance.new_empty(len(pool), len(target))
        for rows in blocks(len(pool), 8 * len(target), pool.device):
            self.covariance[rows] = pool[rows].kernel(target)
        self.columns = PosteriorColumns(pool, batch_size)
        self.free = torch.ones(len(pool), dtype=torch.bool, device=pool.device)

    def best(self, still: Open) -> Pick:
        scores = torch.zeros_like(self.variance)
        for rows in blocks(len(self.pool), 8 * len(self.of_target), self.pool.device):
            noisy = torch.outer(self.variance[rows] + self.sigma2, self.of_target + self.sigma2)
            correlation2 = self.covariance[rows].square().div_(noisy).clamp_(max=1 - EPS)  # up to rounding it is < 1
            scores[rows] = correlation2.neg_().log1p_().mean(dim=1).mul_(-0.5)
        return largest_number(still.rank(torch.where(self.free, scores, 0.0)))

    def add(self, index: Tensor) -> None:
        root = torch.sqrt(self.variance.index_select(0, index) + self.sigma2)
        of_pool = self.columns.add(index, root)
        of_target = self.covariance.index_select(0, index)[0] / root
        self.covariance.addr_(of_pool, of_target, alpha=-1)
        self.variance = (self.variance - of_pool.square()).clamp_(min=0)
        self.of_target = (self.of_target - of_target.square()).clamp_(min=0)
        self.free.index_fill_(0, index, False)


@register
@dataclass(frozen=True)
class EPIG(Selection):
    """The point with the largest mean_t -1/2 log(1 - k+(x,t)^2 / ((k+(x,x) + sigma^2) (k+(t,t) + sigma^2))).

    This is the mean information that a label of x gives about one of a target t, with the posterior kernel k+ given the
    selected points, in mode TP also the training points. Without targets a random sample of the pool stands for them.
    Memory: n_pool * (n_target + batch_size) numbers, without batch_size if it exceeds the number of features.
    Source: Bickford Smith et al., arXiv 2304.08151.
    """

    tokens = ("epig",)
    needs_float64 = True
    takes_target = True
    takes_limits = True
    takes_costs = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool, target = problem.pool, problem.target
        if target is None:
            target = pool[permutation(len(pool), problem.generator, pool.device)[:N_TARGETS]]
        if problem.selected is not None:
            posterior = condition(problem.selected, problem.sigma)
            pool, target = posterior(pool), posterior(target)
        return greedy(_State(pool, target, problem.sigma, batch_size), problem, batch_size)
