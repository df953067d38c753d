"""KMeansPP: k-means++ seeding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features
from bmdal.group import Group
from bmdal.randomness import uniform, uniform_integer
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    """Draws all random numbers beforehand, since a step that is repeated on a GPU cannot draw on the CPU."""

    def __init__(
        self, pool: Features, selected: Features | None, generator: torch.Generator, batch_size: int, group: Group
    ) -> None:
        super().__init__(pool, selected, group=group)
        self.generator, self.batch_size = generator, batch_size
        self.unit: float | None = None
        self.before: list[Tensor] = []  # the generator before each pick
        self.draws: Tensor | None = None
        self.n_drawn = torch.zeros(1, dtype=torch.long, device=pool.device)

    def best(self, still: Open) -> Pick:
        if self.is_empty:
            self.before.append(self.generator.get_state())
            return self._uniform(still), self.diag.new_full((1,), torch.nan)
        if self.draws is None:
            self.draws = torch.stack([self._draw() for _ in range(self.batch_size - len(self.before))]).to(
                self.d2.device
            )
        if self.unit is None:
            self.unit = self.group.unit(self.d2)
        pick = self.group.draw(still.rank(self.d2), self.draws.index_select(0, self.n_drawn), self.unit)
        self.n_drawn += 1
        return pick

    def _draw(self) -> Tensor:
        self.before.append(self.generator.get_state())
        return uniform(self.generator)

    def _uniform(self, still: Open) -> Tensor:
        rows = torch.arange(len(self.pool), device=self.pool.device)
        rows = rows if still.points is None else rows[still.points]
        before, n = self.group.span(len(rows))
        i = uniform_integer(n, self.generator) - before
        return rows[i : i + 1] if i >= 0 else rows[:0]


@register
@dataclass(frozen=True)
class KMeansPP(Selection):
    """A random point, with probability proportional to min_s d_k(x, s)^2 (arXiv 2203.09410, Section 4.2).

    The first point is uniformly random if nothing is selected yet. On last-layer features the method is known as BADGE.
    """

    tokens = ("kmeanspp",)
    modes = ("TP", "P")
    takes_limits = True
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        state = _State(problem.pool, problem.selected, problem.generator, batch_size, problem.group)
        batch = greedy(state, problem, batch_size)
        if len(batch) < batch_size:
            problem.generator.set_state(state.before[len(batch)])  # what was drawn in vain
        return batch
