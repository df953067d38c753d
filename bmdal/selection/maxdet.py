"""MaxDet: greedy determinant maximization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.selection.base import Selection, SelectionProblem, argmax_if_positive, greedy


class _State:
    """Pivoted Cholesky decomposition of K + sigma^2 I, one column for each selected point."""

    def __init__(self, pool: Features, sigma: float, batch_size: int) -> None:
        self.pool = pool
        self.sigma2 = sigma**2
        self.variance = pool.diag().clone()  # k_S(x, x); 0 for selected points
        self.L = torch.empty(len(pool), batch_size, dtype=pool.dtype, device=pool.device)
        self.n_selected = 0

    def best(self) -> int | None:
        return argmax_if_positive(self.variance)

    def add(self, index: int) -> None:
        L = self.L[:, : self.n_selected]
        column = self.pool.kernel(self.pool[index])[:, 0] - L @ L[index]
        column /= torch.sqrt(self.variance[index] + self.sigma2)
        self.L[:, self.n_selected] = column
        self.variance -= column**2
        self.variance[index] = -torch.inf
        self.n_selected += 1


@register
@dataclass(frozen=True)
class MaxDet(Selection):
    """The point with the largest posterior variance k_S(x, x) given the selected points S with noise sigma^2.

    This is greedy maximization of det(K_S + sigma^2 I). In mode TP, S starts with the training points, whose effect
    is that of a posterior. On last-layer posteriors known as BatchBALD. Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("maxdet",)
    needs_float64 = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool = problem.pool
        if problem.selected is not None:
            pool = condition(problem.selected, problem.sigma)(pool)
        return greedy(_State(pool, problem.sigma, batch_size), batch_size, pool.device)
