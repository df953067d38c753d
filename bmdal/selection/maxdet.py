"""MaxDet: greedy determinant maximization."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.columns import PosteriorColumns

N_FIRST = 64
"""Number of the most promising points that are updated first."""
CHUNK = 2048
"""Number of points updated at a time after that."""


class _State(GreedyState):
    """Posterior variances k_S(x, x) given the selected points S.

    Attributes:
        variance: k_S(x, x), shape (n_pool,); -inf for selected points.
    """

    def __init__(self, pool: Features, sigma: float) -> None:
        self.pool = pool
        self.sigma2 = sigma**2
        self.diag = pool.diag()
        self.variance = self.diag.clone()

    def _scores(self, still: Open) -> Tensor:
        """Variances or, with costs, the increase of 1/2 log det(I + K_S / sigma^2) per cost."""
        if still.limits.costs is None:
            return still.rank(self.variance)
        return still.rank((self.variance / self.sigma2).clamp_(min=0).log1p_() / 2)


class _Whole(_State):
    """All variances after each point, in one pass over the features: on a GPU less work than to look for the few."""

    def __init__(self, pool: Features, sigma: float, batch_size: int) -> None:
        super().__init__(pool, sigma)
        self.columns = PosteriorColumns(pool, batch_size)
        self.repeats = self.columns.repeats

    def best(self, still: Open) -> Pick:
        return largest_number(self._scores(still))

    def add(self, index: Tensor) -> None:
        column = self.columns.add(index, torch.sqrt(self.variance.index_select(0, index) + self.sigma2))
        self.variance.addcmul_(column, column, value=-1).index_fill_(0, index, -torch.inf)


class _Lazy(_State):
    """Variances are computed when they are needed.

    A posterior variance only ever falls, so the last known value is an upper bound: only points whose bound exceeds
    the largest variance that is known to be up to date have to be looked at.

    Attributes:
        n_known: of each point, for how many of the selected points its variance was last computed, shape (n_pool,).
    """

    def __init__(self, pool: Features, sigma: float) -> None:
        super().__init__(pool, sigma)
        self.n_known = torch.zeros(len(pool), dtype=torch.long, device=pool.device)
        self.n_selected = 0

    def best(self, still: Open) -> Pick:
        while True:
            scores = self._scores(still)
            index, score = largest_number(scores)
            best_score = float(score)
            if best_score <= 0 or int(self.n_known[int(index)]) == self.n_selected:
                return index, score
            values, first = scores.topk(min(N_FIRST, len(scores)))
            if float(values[-1]) == best_score:  # of many equal ones `topk` may have taken others
                first = torch.cat([first[first != index], index])
            self._bring_up_to_date(first)
            scores = self._scores(still)
            self._bring_up_to_date((scores > scores[first].max()).nonzero()[:, 0])

    def add(self, index: Tensor) -> None:
        self._observe(index)
        self.variance.index_fill_(0, index, -torch.inf)
        self.n_selected += 1

    def _bring_up_to_date(self, rows: Tensor) -> None:
        stale = rows[(self.n_known[rows] < self.n_selected) & (self.variance[rows] > 0)]
        for start in range(0, len(stale), CHUNK):
            part = stale[start : start + CHUNK]
            self.variance[part] = self._variances(part)
            self.n_known[part] = self.n_selected

    @abstractmethod
    def _observe(self, index: Tensor) -> None:
        """Count a pool point, whose variance is up to date, as selected."""

    @abstractmethod
    def _variances(self, rows: Tensor) -> Tensor:
        """k_S(x, x) for some pool points, shape (n_rows,)."""


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

    def _observe(self, index: Tensor) -> None:
        s, i = self.n_selected, int(index)
        self.factor[s, :s] = self.L[i, :s]
        self.factor[s, s] = torch.sqrt(self.variance[i] + self.sigma2)
        self.selected[s] = i

    def _variances(self, rows: Tensor) -> Tensor:
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

    def _observe(self, index: Tensor) -> None:
        """A <- A - A phi phi^T A / (k_S(x, x) + sigma^2)."""
        i = int(index)
        v = self.A @ self.Phi[i]
        self.A -= torch.outer(v / (self.variance[i] + self.sigma2), v)

    def _variances(self, rows: Tensor) -> Tensor:
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

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool = problem.pool
        if problem.selected is not None:
            pool = condition(problem.selected, problem.sigma)(pool)
        state: _State
        if pool.device.type != "cpu":
            state = _Whole(pool, problem.sigma, batch_size)
        elif pool.n_features is not None and pool.n_features < batch_size:
            state = _FeatureSpace(pool, problem.sigma)
        else:
            state = _KernelSpace(pool, problem.sigma, batch_size)
        return greedy(state, problem, batch_size)
