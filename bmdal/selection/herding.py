"""MaxHerding and UHerding: cover a sample of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.features.base import squared_distances
from bmdal.linalg import blocks
from bmdal.randomness import permutation
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.lazy import Lazy

N_SAMPLE = 1024
"""Fewest pool points in the sample, if there are as many."""
SAMPLE_PER_POINT = 4
"""Fewest points in the sample for each point of the batch; few would be covered before a large batch is full."""


class _Coverage:
    """How well selected points cover a sample: c_t = max_{z in S} kappa(z, t), 0 while S is empty.

    kappa is computed from the features block by block whenever it is needed, and never stored.

    Attributes:
        norm2: of the unit-norm features of the sample, shape (n_sample,): 1, or 0 for features that are zero.
        inverse: 1 / |phi(t)|, or 0 for features that are zero, shape (n_sample,).
        h2: the squared median distance, shape ().
        rounding: below this, differences of kappa count as 0, shape ().
        covered: c_t, shape (n_sample,).
    """

    def __init__(self, sample: Features, weights: Tensor, selected: Features | None) -> None:
        self.sample, self.weights = sample, weights
        self.norm2, self.inverse = _unit(sample)
        d2 = squared_distances(self.norm2[:, None], self.norm2, self._cosines(sample))
        self.h2 = torch.where(d2 > 0, d2, torch.nan).nanmedian().nan_to_num(nan=1.0)
        self.rounding = 16 * torch.finfo(d2.dtype).eps * (1 + 1 / self.h2)
        self.covered = torch.zeros_like(self.norm2)
        if selected is not None:
            for rows in self._blocks(selected):
                self.add(selected[rows])

    def add(self, points: Features) -> None:
        """Count points as selected."""
        torch.maximum(self.covered, self._kappa(points).amax(dim=0), out=self.covered)

    def gains(self, points: Features) -> Tensor:
        """sum_t w_t max(0, kappa(x, t) - c_t), shape (n,)."""
        gains = self.covered.new_empty(len(points))
        for rows in self._blocks(points):
            more = self._kappa(points[rows]).sub_(self.covered)
            gains[rows] = torch.where(more > self.rounding, more, 0.0) @ self.weights
        return gains

    def _kappa(self, points: Features) -> Tensor:
        """exp(-d^2 / h^2) of unit-norm features, shape (n, n_sample)."""
        norm2 = _unit(points)[0]
        return self._cosines(points).mul_(2).sub_(norm2[:, None]).sub_(self.norm2).div_(self.h2).exp_()

    def _cosines(self, points: Features) -> Tensor:
        return points.kernel(self.sample) * _unit(points)[1][:, None] * self.inverse

    def _blocks(self, points: Features) -> list[slice]:
        return list(blocks(len(points), 2 * len(self.sample) * points.diag().element_size(), points.device))


def _unit(features: Features) -> tuple[Tensor, Tensor]:
    """Squared norms after division by the norm, and what to multiply with for that; 0 for features that are zero."""
    diag = features.diag()
    return torch.where(diag > 0, 1.0, torch.zeros_like(diag)), torch.where(diag > 0, diag, torch.inf).rsqrt()


class _Whole(GreedyState):
    """All gains after each point, without waiting for a GPU."""

    repeats = True

    def __init__(self, pool: Features, coverage: _Coverage) -> None:
        self.pool, self.coverage = pool, coverage
        self.free = torch.ones(len(pool), dtype=torch.bool, device=pool.device)

    def best(self, still: Open) -> Pick:
        return largest(still.rank(torch.where(self.free, self.coverage.gains(self.pool), 0.0)))

    def add(self, index: Tensor) -> None:
        self.coverage.add(self.pool[index])
        self.free.index_fill_(0, index, False)


class _Lazy(Lazy):
    """Gains of the few points that may be the best."""

    def __init__(self, pool: Features, coverage: _Coverage) -> None:
        super().__init__(coverage.gains(pool))
        self.pool, self.coverage = pool, coverage

    def observe(self, index: Tensor) -> None:
        self.coverage.add(self.pool[index])

    def current(self, rows: Tensor) -> Tensor:
        return self.coverage.gains(self.pool[rows])


@register
@dataclass(frozen=True)
class MaxHerding(Selection):
    """The point with the largest sum_t max(0, kappa(x, t) - max_{z in S} kappa(z, t)), S being the selected points.

    kappa(x, t) = exp(-|u(x) - u(t)|^2 / h^2) with the features u = phi / |phi|, or 0 where phi is zero. t runs over a
    random sample of the pool, of 1024 points or 4 for each point of the batch, whichever is more. h is the median of
    the distances between its points that are not 0. In mode TP, S starts with the training points.
    Memory: O(n_pool) numbers beside the features.
    Source: Bae et al., Generalized coverage for more robust low-budget active learning, arXiv 2407.12212.
    """

    tokens = ("maxherding",)
    takes_limits = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool, n_sample = problem.pool, max(N_SAMPLE, SAMPLE_PER_POINT * batch_size)
        sample = pool[permutation(len(pool), problem.generator, pool.device)[:n_sample]]
        coverage = _Coverage(sample, self._weights(sample), problem.selected)
        state = (_Lazy if pool.device.type == "cpu" else _Whole)(pool, coverage)
        return greedy(state, problem, batch_size)

    def _weights(self, sample: Features) -> Tensor:
        """The weight of each t, shape (n_sample,)."""
        return torch.ones_like(sample.diag())


@register
@dataclass(frozen=True)
class UHerding(MaxHerding):
    """The point with the largest sum_t k(t, t) max(0, kappa(x, t) - max_{z in S} kappa(z, t)).

    As `MaxHerding`, but each t counts as much as it is uncertain, if k is a posterior kernel: with the transformation
    `train` or `acs-...`, or the kernel `pred`.
    Source: Bae et al., Uncertainty herding: one active learning method for all label budgets, arXiv 2412.20644.
    """

    tokens = ("uherding",)

    def _weights(self, sample: Features) -> Tensor:
        return sample.diag().clamp(min=0)
