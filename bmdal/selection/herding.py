"""MaxHerding and UHerding: cover a sample of the pool."""

from __future__ import annotations

from collections.abc import Iterator
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
        weights: w_t, shape (n_sample,).
        inverse: 1 / |phi(t)|, or 0 for features that are zero, shape (n_sample,).
        norm2: of the unit-norm features of the sample, shape (n_sample,): 1, or 0 for features that are zero.
        h2: the squared median distance between the first `N_SAMPLE` points of the sample.
        rounding: up to this, differences of kappa count as 0.
        covered: c_t, shape (n_sample,).
    """

    def __init__(self, sample: Features, weights: Tensor, selected: Features | None) -> None:
        self.sample, self.weights = sample, weights
        self.inverse, self.norm2 = _to_unit_norm(sample)
        few, inverse, norm2 = sample[:N_SAMPLE], self.inverse[:N_SAMPLE], self.norm2[:N_SAMPLE]
        d2 = squared_distances(norm2[:, None], norm2, few.kernel(few) * inverse[:, None] * inverse)
        self.h2 = float(torch.where(d2 > 0, d2, torch.nan).nanmedian().nan_to_num(nan=1.0))
        self.rounding = 16 * torch.finfo(d2.dtype).eps * (1 + 1 / self.h2)
        self.covered = torch.zeros_like(self.norm2)
        if selected is not None:
            for rows in self._blocks(selected):
                self.add(selected[rows])

    def add(self, points: Features) -> None:
        """Count points as selected."""
        torch.maximum(self.covered, self._kappa(points).amax(dim=0), out=self.covered)

    def gains(self, points: Features) -> Tensor:
        """sum_t w_t max(0, kappa(x, t) - c_t) to half of their digits, shape (n,).

        Two points of the sample that only cover each other have the same gain, and rounding must not decide.
        """
        gains = torch.empty(len(points), dtype=self.covered.dtype, device=self.covered.device)
        for rows in self._blocks(points):
            more = self._kappa(points[rows]).sub_(self.covered)
            gains[rows] = torch.threshold_(more, self.rounding, 0.0) @ self.weights
        mantissa, exponent = gains.frexp()
        unit = torch.finfo(gains.dtype).eps ** -0.5
        return torch.ldexp(mantissa.mul_(unit).round_().div_(unit), exponent)

    def _kappa(self, points: Features) -> Tensor:
        """exp(-d^2 / h^2) of unit-norm features, shape (n, n_sample)."""
        inverse, norm2 = _to_unit_norm(points)
        product = points.kernel(self.sample) * (inverse * (2 / self.h2))[:, None]
        product.mul_(self.inverse).sub_((norm2 / self.h2)[:, None]).sub_(self.norm2 / self.h2)
        return product.exp_()

    def _blocks(self, points: Features) -> Iterator[slice]:
        return blocks(len(points), 2 * len(self.sample) * self.covered.element_size(), points.device)


def _to_unit_norm(features: Features) -> tuple[Tensor, Tensor]:
    """1 / |phi|, and the squared norm of phi / |phi|; both 0 where phi is zero."""
    diag = features.diag()
    return torch.where(diag > 0, diag, torch.inf).rsqrt(), (diag > 0).to(diag)


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
    the distances between its first 1024 points that are not 0. In mode TP, S starts with the training points.
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
