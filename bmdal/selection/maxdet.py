"""MaxDet: greedy determinant maximization."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import DenseFeatures, Features, StoredFeatures, condition
from bmdal.group import ALONE, Group
from bmdal.linalg import quadratic_forms
from bmdal.selection.base import GreedyState, Open, Pick, Rows, Selection, SelectionProblem, greedy, largest_number
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

    def scores(self, still: Open, rows: Rows) -> Tensor:
        return _scores(self.gains[rows], self.sigma2, still, rows)


def _scores(variance: Tensor, sigma2: float, still: Open, rows: Rows = slice(None)) -> Tensor:
    """Variances or, with costs, the increase of 1/2 log det(I + K_S / sigma^2) per cost."""
    if still.limits.costs is None:
        return still.rank(variance, rows)
    return still.rank((variance / sigma2).clamp_(min=0).log1p_() / 2, rows)


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
    """k_S(x, x) = phi^T A phi: for batches of more points than features, where L is large, and for stored features.

    Adding a point s, A falls by v v^T, v = A phi_s / sqrt(k_S(s, s) + sigma^2). A is only computed for every
    N_TOGETHER points. A variance that was known at some time since then falls by <v, phi>^2 for each point since.

    Attributes:
        A: after `n_in_A` of the selected points, shape (p, p).
        V: v of the others, in the first rows, shape (N_TOGETHER, p).
    """

    N_TOGETHER = 64

    def __init__(self, pool: Features, sigma: float) -> None:
        super().__init__(pool, sigma)
        self.points = pool if isinstance(pool, StoredFeatures) else DenseFeatures(pool.matrix())
        self.A = torch.eye(self.points[:1].matrix().shape[1], dtype=self.diag.dtype, device=self.diag.device)
        self.V, self.n_in_A = self.A.new_empty(self.N_TOGETHER, len(self.A)), 0

    def observe(self, index: Tensor) -> None:
        phi, n = self.points[index].matrix()[0], self.n_selected - self.n_in_A
        v = torch.addmv(self.A @ phi, self.V[:n].T, self.V[:n] @ phi, alpha=-1)
        self.V[n] = v / torch.sqrt(self.gains[index] + self.sigma2)
        if n + 1 == self.N_TOGETHER:
            self.A.addmm_(self.V.T, self.V, alpha=-1)
            self.n_in_A += self.N_TOGETHER

    def current(self, rows: Tensor) -> Tensor:
        Phi, gains, known = self.points[rows].matrix(), self.gains[rows], self.n_known[rows] - self.n_in_A
        old = (known < 0).nonzero()[:, 0]
        gains[old] = quadratic_forms(Phi[old], self.A)
        start, n = max(0, int(known.min())), self.n_selected - self.n_in_A
        falls = (Phi @ self.V[start:n].T).square_()
        return gains - falls.masked_fill_(torch.arange(start, n) < known[:, None], 0.0).sum(dim=1)


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
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool = problem.pool
        if problem.selected is not None:
            pool = pool.transformed(condition(problem.selected, problem.sigma))
        if isinstance(pool, StoredFeatures) and pool.n_features is None and problem.group is ALONE:
            pool = pool.in_memory()
        state: GreedyState
        if pool.device.type != "cpu" or problem.group is not ALONE:
            state = _Whole(pool, problem.sigma, batch_size, problem.group)
        elif pool.n_features is not None and (pool.n_features < batch_size or isinstance(pool, StoredFeatures)):
            state = _FeatureSpace(pool, problem.sigma)
        else:
            state = _KernelSpace(pool, problem.sigma, batch_size)
        return greedy(state, problem, batch_size)
