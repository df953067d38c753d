"""Selection methods that treat each point separately."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.group import ALONE
from bmdal.randomness import permutation, uniforms
from bmdal.selection.base import Open, Selection, SelectionProblem


@register
@dataclass(frozen=True)
class Random(Selection):
    """Uniformly random points without replacement: no active learning (arXiv 2203.09410, Section 4.2)."""

    tokens = ("random",)
    modes = ()
    needs_kernel = False
    takes_limits = True
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        pool, group = problem.pool, problem.group
        order = permutation(group.count(pool), problem.generator, pool.device)
        limits = replace(problem.limits, candidates=group.whole(problem.limits.candidates))
        return Open(limits).first(order, batch_size)


@register
@dataclass(frozen=True)
class MaxDiag(Selection):
    """The b points with the largest k(x, x): naive active learning, as in BALD (arXiv 2203.09410, Section 4.2)."""

    tokens = ("maxdiag",)
    modes = ()
    takes_limits = True
    takes_costs = True
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        still = Open(problem.limits)
        scores = still.rank(problem.pool.diag())
        if still.points is None and problem.group is ALONE:
            rows = scores.topk(batch_size).indices
        else:
            rows = still.first(scores.argsort(descending=True, stable=True), batch_size)
        return _best(problem, rows, scores, batch_size)


@register
@dataclass(frozen=True)
class Power(Selection):
    """The b points with the largest log k(x, x) + g(x), with standard Gumbel noise g: stochastic `maxdiag`.

    These are random points without replacement, with probability proportional to k(x, x), and to no power of it (the
    temperature of the source is 1). The scores are k(x, x) exp(g). Points with k(x, x) = 0 are not selected. Source:
    Kirsch et al., Stochastic batch acquisition, arXiv 2106.12059.
    """

    tokens = ("power",)
    modes = ()
    takes_limits = True
    takes_group = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        diag, group = problem.pool.diag().to(torch.float64), problem.group
        draws = group.own(uniforms(group.count(problem.pool), problem.generator))
        noise = -draws.to(diag.device).log()  # exp(-g), exponentially distributed
        scores = Open(problem.limits).rank(diag / noise)
        order = scores.argsort(descending=True, stable=True)
        rows = Open(problem.limits).first(order[scores[order] > 0], batch_size)
        return _best(problem, rows, scores, batch_size)


def _best(problem: SelectionProblem, rows: Tensor, scores: Tensor, batch_size: int) -> Tensor:
    """The points with the largest scores, shape (batch_size,) or fewer, given the best rows of this process."""
    indices, of_indices = problem.group.first(rows, scores[rows], batch_size)
    for index, score in zip(indices.tolist(), of_indices.tolist(), strict=True):
        problem.on_pick(index, score)
    return indices
