"""MaxDist: greedy k-centre."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bmdal.component import register
from bmdal.selection.base import Open, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.distances import NearestSelected


class _State(NearestSelected):
    def best(self, still: Open) -> Pick:
        return largest(still.rank(self.diag if self.is_empty else self.d2))


@register
@dataclass(frozen=True)
class MaxDist(Selection):
    """The point farthest from all selected ones, argmax_x min_s d_k(x, s) (arXiv 2203.09410, Section 4.2).

    If nothing is selected yet, the point with the largest k(x, x). Known as Core-Set and farthest-first (FF-Active).
    """

    tokens = ("maxdist",)
    modes = ("TP", "P")
    takes_limits = True
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool, problem.selected, group=problem.group), problem, batch_size)
