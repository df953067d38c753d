"""RPCholesky: randomly pivoted Cholesky decomposition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.group import Group
from bmdal.randomness import uniforms
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy
from bmdal.selection.columns import PosteriorColumns


class _State(GreedyState):
    """Posterior variances, shape (n_pool,), 0 for selected points; the random numbers are drawn beforehand."""

    def __init__(self, pool: Features, sigma: float, draws: Tensor, group: Group) -> None:
        self.pool, self.sigma2, self.draws, self.group = pool, sigma**2, draws, group
        self.variance = pool.diag().clamp(min=0)
        self.unit = group.unit(self.variance)
        self.columns = PosteriorColumns(pool, len(draws), group)
        self.repeats = self.columns.repeats
        self.n_drawn = torch.zeros(1, dtype=torch.long, device=pool.device)

    def best(self, still: Open) -> Pick:
        pick = self.group.draw(still.rank(self.variance), self.draws.index_select(0, self.n_drawn), self.unit)
        self.n_drawn += 1
        return pick

    def add(self, index: Tensor) -> None:
        point, (variance,) = self.group.point(self.pool, index, self.variance)
        column = self.columns.add(index, point, torch.sqrt(variance + self.sigma2))
        self.variance.addcmul_(column, column, value=-1).clamp_(min=0).index_fill_(0, self.group.rows(index), 0.0)


@register
@dataclass(frozen=True)
class RPCholesky(Selection):
    """A random point, with probability proportional to the posterior variance k_S(x, x) given the selected points S.

    This is `maxdet` with a draw in place of the maximum: less drawn to outliers, and another batch for each seed. The
    noise is sigma^2, which the source does not have. In mode TP, S starts with the training points, which is
    implemented by conditioning on them. Source: Chen et al., arXiv 2207.06503, Algorithm 2.1.
    """

    tokens = ("rpcholesky",)
    needs_float64 = True
    takes_limits = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool, draws = problem.pool, uniforms(batch_size, problem.generator).to(problem.pool.device)
        if problem.selected is not None:
            pool = pool.transformed(condition(problem.selected, problem.sigma))
        return greedy(_State(pool, problem.sigma, draws, problem.group), problem, batch_size)
