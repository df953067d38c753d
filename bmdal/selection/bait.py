"""BAIT: the greatest drop of the summed posterior variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import condition
from bmdal.linalg import squared_norms
from bmdal.selection.base import Selection, SelectionProblem, argmax_if_positive, greedy


class _State:
    """Posterior given the selected points, k_S(x, x') = phi^T A phi', in feature space.

    With M the second-moment matrix of training and pool points, the drop of the summed variance by point x is
    q / (k_S(x, x) + sigma^2), q = phi^T A M A phi. Only the (p, p) matrices A and A M A and two numbers for each pool
    point change: one product of the features with two vectors for each selected point.
    """

    def __init__(self, train: Tensor, pool: Tensor, sigma: float) -> None:
        self.Phi = pool  # shape: (n_pool, p)
        self.sigma2 = sigma**2
        self.A = torch.eye(pool.shape[1], dtype=pool.dtype, device=pool.device)
        self.AMA = train.T @ train + pool.T @ pool
        self.variance = squared_norms(pool)
        self.q = ((pool @ self.AMA) * pool).sum(dim=1)
        self.free = torch.ones(len(pool), dtype=torch.bool, device=pool.device)

    def best(self) -> int | None:
        return argmax_if_positive(torch.where(self.free, self.q / (self.variance + self.sigma2), 0.0))

    def add(self, index: int) -> None:
        self._update(self.Phi, index, float(self.variance[index]) + self.sigma2, sign=-1)
        self.free[index] = False

    def keep_only(self, rows: Tensor) -> None:
        """Forget all pool points but these, the selected ones, which is enough to remove some of them."""
        self.Phi, self.variance, self.q, self.free = (t[rows] for t in (self.Phi, self.variance, self.q, self.free))

    def remove_worst(self) -> None:
        """Remove the selected point whose removal raises the summed variance least."""
        gap = (self.sigma2 - self.variance).clamp(min=1e-15)
        rise = torch.where(self.free, torch.inf, self.q.clamp(min=0) / gap)
        row = int(rise.argmin())
        self._update(self.Phi, row, float(gap[row]), sign=1)
        self.free[row] = True

    def _update(self, Phi: Tensor, row: int, delta: float, sign: int) -> None:
        """A <- A + sign A phi phi^T A / delta, and what follows for A M A, q and the variances."""
        phi = Phi[row].clone()
        v, w, q = self.A @ phi, self.AMA @ phi, float(self.q[row])
        s = sign / delta
        self.A += s * torch.outer(v, v)
        cross = torch.outer(v, w)
        self.AMA += s * (cross + cross.T) + s**2 * q * torch.outer(v, v)
        a, c = (Phi @ torch.stack([v, w], dim=1)).unbind(dim=1)
        self.q += a * (2 * s * c + s**2 * q * a)
        self.variance += s * a**2


@register
@dataclass(frozen=True)
class BaitForward(Selection):
    """The point with the largest sum_x' k_S(x', x)^2 / (k_S(x, x) + sigma^2) over x' in train and pool.

    This is the greatest drop of the summed posterior variance. In mode TP the selected set S starts with the training
    points. Needs an explicit feature matrix. Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("bait-f",)
    needs_explicit = True
    needs_float64 = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_start(problem), batch_size, problem.pool.device)


@register
@dataclass(frozen=True)
class BaitForwardBackward(Selection):
    """`bait-f` until 2 b points are selected, then b times the removal that raises the summed variance least.

    With a pool of fewer than 2 b points the forward part takes them all. Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("bait-fb",)
    needs_explicit = True
    needs_float64 = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        state = _start(problem)
        batch = greedy(state, min(2 * batch_size, len(problem.pool)), problem.pool.device)
        state.keep_only(batch)
        for _ in range(len(batch) - batch_size):
            state.remove_worst()
        return batch[~state.free]


def _start(problem: SelectionProblem) -> _State:
    train, pool = problem.train, problem.pool
    if problem.selected is not None:
        posterior = condition(problem.selected, problem.sigma)
        train, pool = posterior(train), posterior(pool)
    return _State(train.matrix(), pool.matrix(), problem.sigma)
