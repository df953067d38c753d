"""KMeansPP: k-means++ seeding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.randomness import uniform_integer
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    def __init__(self, pool: Features, selected: Features | None, generator: torch.Generator) -> None:
        super().__init__(pool, selected)
        self.generator = generator

    def best(self, still: Open) -> Pick | None:
        if self.n_selected == 0:
            return self._uniform(still), torch.nan
        d2 = still.rank(self.d2)
        cumulative = d2.cumsum(dim=0, dtype=torch.float64)
        if not float(cumulative[-1]) > 0:
            return None
        u = torch.rand((), generator=self.generator, device=self.generator.device, dtype=torch.float64)
        # The first index with cumulative weight >= (1 - u) * total has a positive weight, since 1 - u is in (0, 1].
        target = cumulative[-1] * (1 - u.to(cumulative.device))
        index = min(int(torch.searchsorted(cumulative, target)), int(d2.nonzero()[-1]))
        return index, float(d2[index])

    def _uniform(self, still: Open) -> int:
        if still.points is None:
            return uniform_integer(len(self.pool), self.generator)
        rows = still.points.nonzero()[:, 0]
        return int(rows[uniform_integer(len(rows), self.generator)])


@register
@dataclass(frozen=True)
class KMeansPP(Selection):
    """A random point, with probability proportional to min_s d_k(x, s)^2 (arXiv 2203.09410, Section 4.2).

    The first point is uniformly random if nothing is selected yet. On last-layer features the method is known as BADGE.
    """

    tokens = ("kmeanspp",)
    modes = ("TP", "P")
    takes_limits = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        state = _State(problem.pool, problem.selected, problem.generator)
        return greedy(state, problem, batch_size)
