"""Selections that look at each point by itself."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bmdal.component import register
from bmdal.randomness import permutation
from bmdal.selection.base import Selection, SelectionProblem


@register
@dataclass(frozen=True)
class Random(Selection):
    """Uniformly random without replacement: no active learning (arXiv 2203.09410, Section 4.2)."""

    tokens = ("random",)
    modes = ()
    needs_kernel = False

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return permutation(len(problem.pool), problem.generator, problem.pool.device)[:batch_size]


@register
@dataclass(frozen=True)
class MaxDiag(Selection):
    """The b largest k(x, x): naive active learning, BALD (arXiv 2203.09410, Section 4.2)."""

    tokens = ("maxdiag",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return problem.pool.diag().topk(batch_size).indices
