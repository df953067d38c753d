"""MaxDet: greedy determinant maximization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.group import ALONE, Group
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.columns import PosteriorColumns
from bmdal.selection.lazy import Lazy


class _Whole(GreedyState):
    """All variances after each point, in one pass over the features: on a GPU less work than to look for the few.

    Attributes:
        variance: k_S(x, x) given the selected points S, shape (n_pool,); -inf for selected points.
    """

    def __init__(self, pool: Features, sigma: float, batch_size: int, group: Group) -> None:
        self.pool, self.sigma2, self.group = pool, sigma**2, group
        self.variance = pool.diag().clone()
        self.columns = PosteriorColumns(pool, batch_size, group)
        self.repeats = self.columns.repeats

    def best(self, still: Open) -> Pick:
        return largest_number(_scores(self.variance, self.sigma2, still))

    def add(self, index: Tensor) -> None:
        point, (variance,) = self.group.point(self.pool, index, self.variance)
        column = self.columns.add(index, point, torch.sqrt(variance + self.sigma2))
        self.variance.addcmul_(column, column, value=-1).index_fill_(0, self.group.rows(index), -torch.inf)


class _Lazy(Lazy):
    """Variances are computed when they are needed; `gains` are the last known ones."""

    def __init__(self, pool: Features, sigma: float) -> None:
        self.pool = pool
        self.sigma2 = sigma**2
        self.diag = pool.diag()
        super().__init__(self.diag.clone())

    def scores(self, still: Open) -> Tensor:
        return _scores(self.gains, self.sigma2, still)


def _scores(variance: Tensor, sigma2: float, still: Open) -> Tensor:
    """Variances or, with costs, the increase of 1/2 log det(I + K_S / sigma^2) per cost."""
    if still.limits.costs is None:
        return still.rank(variance)
    return still.rank((variance / sigma2).clamp_(min=0).log1p_() / 2)


class _KernelSpace(_Lazy):
    """Pivoted Cholesky decomposition of K + sigma^2 I.

    Attributes:
        L: rows of the Cholesky factor, shape (n_pool, batch_size); the first `n_known` entries of each row are known.
        factor: Cholesky factor of K_S + sigma^2 I in the first rows and columns, shape (batch_size, batch_size).
    """

    def __init__(self, pool: Features, sigma: float, batch_size: int) -> None:
        super().__init__(pool, sigma)
        self.L = self.diag.new_empty(len(pool), batch_size)
        self.factor = self.diag.new_zeros(batch_size, batch_size)
        self.selected = torch.zeros(batch_size, dtype=torch.long, device=pool.device)

    def observe(self, index: Tensor) -> None:
        s, i = self.n_selected, int(index)
        self.factor[s, :s] = self.L[i, :s]
        self.factor[s, s] = torch.sqrt(self.gains[i] + self.sigma2)
        self.selected[s] = i

    def current(self, rows: Tensor) -> Tensor:
        """Forward substitution for the entries of L that are missing in these rows."""
        known, s = int(self.n_known[rows].min()), self.n_selected
        L = self.L.index_select(0, rows)[:, :s]
        kernel = self.pool[rows].kernel(self.pool[self.selected[known:s]])
        rest = kernel - L[:, :known] @ self.factor[known:s, :known].T
        L[:, known:] = torch.linalg.solve_triangular(self.factor[known:s, known:s], rest.T, upper=False).T
        self.L[rows, :s] = L
        return self.diag[rows] - L.square().sum(dim=1)


class _FeatureSpace(_Lazy):
    """k_S(x, x) = phi^T A phi, with A of shape (p, p): for batches of more points than features, where L is large."""

    def __init__(self, pool: Features, sigma: float) -> None:
        super().__init__(pool, sigma)
        self.Phi = pool.matrix()
        self.A = torch.eye(self.Phi.shape[1], dtype=self.Phi.dtype, device=self.Phi.device)

    def observe(self, index: Tensor) -> None:
        """A <- A - A phi phi^T A / (k_S(x, x) + sigma^2)."""
        i = int(index)
        v = self.A @ self.Phi[i]
        self.A -= torch.outer(v / (self.gains[i] + self.sigma2), v)

    def current(self, rows: Tensor) -> Tensor:
        Phi = self.Phi[rows]
        return ((Phi @ self.A) * Phi).sum(dim=1)


@register
@dataclass(frozen=True)
class MaxDet(Selection):
    """The point with the largest posterior variance k_S(x, x) given the selected points S with noise sigma^2.

    This greedily maximizes det(K_S + sigma^2 I). In mode TP, S starts with the training points, which is implemented by
    conditioning on them. On last-layer posteriors it is known as BatchBALD. Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("maxdet",)
    needs_float64 = True
    takes_limits = True
    takes_costs = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool = problem.pool
        if problem.selected is not None:
            pool = pool.transformed(condition(problem.selected, problem.sigma))
        state: GreedyState
        if pool.device.type != "cpu" or problem.group is not ALONE:
            state = _Whole(pool, problem.sigma, batch_size, problem.group)
        elif pool.n_features is not None and pool.n_features < batch_size:
            state = _FeatureSpace(pool, problem.sigma)
        else:
            state = _KernelSpace(pool, problem.sigma, batch_size)
        return greedy(state, problem, batch_size)
