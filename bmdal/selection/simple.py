"""Selection methods that treat each point separately."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
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
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        order = permutation(len(problem.pool), problem.generator, problem.pool.device)
        return Open(problem.limits).first(order, batch_size)


@register
@dataclass(frozen=True)
class MaxDiag(Selection):
    """The b points with the largest k(x, x): naive active learning, as in BALD (arXiv 2203.09410, Section 4.2)."""

    tokens = ("maxdiag",)
    modes = ()
    takes_limits = True
    takes_costs = True
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        still = Open(problem.limits)
        scores = still.rank(problem.pool.diag())
        if still.points is None:
            indices = scores.topk(batch_size).indices
        else:
            indices = still.first(scores.argsort(descending=True, stable=True), batch_size)
        for index, score in zip(indices.tolist(), scores[indices].tolist(), strict=True):
            problem.on_pick(index, score)
        return indices


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
    reads_stored = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        diag = problem.pool.diag().to(torch.float64)
        noise = -uniforms(len(diag), problem.generator).to(diag.device).log()  # exp(-g), exponentially distributed
        scores = Open(problem.limits).rank(diag / noise)
        order = scores.argsort(descending=True, stable=True)
        indices = Open(problem.limits).first(order[scores[order] > 0], batch_size)
        for index, score in zip(indices.tolist(), scores[indices].tolist(), strict=True):
            problem.on_pick(index, score)
        return indices
