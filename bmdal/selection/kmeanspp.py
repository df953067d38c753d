"""KMeansPP: k-means++ seeding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.randomness import uniform, uniform_integer
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    def __init__(self, pool: Features, selected: Features | None, generator: torch.Generator) -> None:
        super().__init__(pool, selected)
        self.generator = generator
        self.before: list[Tensor] = []  # the generator before each pick

    def best(self, still: Open) -> Pick:
        self.before.append(self.generator.get_state())
        if self.n_selected == 0:
            return self._uniform(still), torch.full_like(self.diag[:1], torch.nan)
        d2 = still.rank(self.d2)
        cumulative = d2.cumsum(dim=0, dtype=torch.float64)
        # The first index with cumulative weight > u * total has a positive weight; 1 - u is in (0, 1].
        target = cumulative[-1:] * (1 - uniform(self.generator, cumulative.device))
        index = torch.searchsorted(cumulative, target)
        return index, d2.index_select(0, index)

    def _uniform(self, still: Open) -> Tensor:
        rows = torch.arange(len(self.pool), device=self.pool.device)
        rows = rows if still.points is None else rows[still.points]
        i = uniform_integer(len(rows), self.generator)
        return rows[i : i + 1]


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
        batch = greedy(state, problem, batch_size)
        if len(batch) < batch_size:
            problem.generator.set_state(state.before[len(batch)])  # what was drawn in vain
        return batch
