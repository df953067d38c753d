"""KMeansPP: k-means++ seeding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.randomness import uniform, uniform_integer
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, drawn, greedy
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    """Draws all random numbers beforehand, since a step that is repeated on a GPU cannot draw on the CPU."""

    def __init__(self, pool: Features, selected: Features | None, generator: torch.Generator, batch_size: int) -> None:
        super().__init__(pool, selected)
        self.generator, self.batch_size = generator, batch_size
        self.before: list[Tensor] = []  # the generator before each pick
        self.draws: Tensor | None = None
        self.n_drawn = torch.zeros(1, dtype=torch.long, device=pool.device)

    def best(self, still: Open) -> Pick:
        if self.is_empty:
            self.before.append(self.generator.get_state())
            return self._uniform(still), torch.full_like(self.diag[:1], torch.nan)
        if self.draws is None:
            self.draws = torch.stack([self._draw() for _ in range(self.batch_size - len(self.before))]).to(
                self.d2.device
            )
        pick = drawn(still.rank(self.d2), self.draws.index_select(0, self.n_drawn))
        self.n_drawn += 1
        return pick

    def _draw(self) -> Tensor:
        self.before.append(self.generator.get_state())
        return uniform(self.generator)

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
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        state = _State(problem.pool, problem.selected, problem.generator, batch_size)
        batch = greedy(state, problem, batch_size)
        if len(batch) < batch_size:
            problem.generator.set_state(state.before[len(batch)])  # what was drawn in vain
        return batch
