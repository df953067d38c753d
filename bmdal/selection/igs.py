"""Improved greedy sampling (iGS): far from the labelled points, in inputs and in outputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.errors import IncompatibleError
from bmdal.features import Features
from bmdal.features.base import squared_distances
from bmdal.linalg import blocks
from bmdal.selection.base import GreedyState, Open, Outcomes, Pick, Selection, SelectionProblem, greedy, largest
from bmdal.selection.distances import MOST_AT_ONCE


class _State(GreedyState):
    """min_z |x - z| |f(x) - y_z| of each pool point x, shape (n_pool,), in float64."""

    repeats = True

    def __init__(self, pool: Features, train: Features, outcomes: Outcomes) -> None:
        self.pool, self.diag, self.f = pool, pool.diag(), outcomes.of_pool.to(torch.float64)
        self.nearness = torch.full_like(self.f, torch.inf)
        for start in range(0, len(train), MOST_AT_ONCE):
            some = slice(start, start + MOST_AT_ONCE)
            labelled, diag, y = train[some], train[some].diag(), outcomes.labels[some].to(torch.float64)
            for rows in blocks(len(pool), 8 * len(y), pool.device):
                d2 = squared_distances(self.diag[rows, None], diag, pool[rows].kernel(labelled))
                products = d2.sqrt_() * (self.f[rows, None] - y).abs_()
                self.nearness[rows] = torch.minimum(self.nearness[rows], products.amin(dim=1))

    def best(self, still: Open) -> Pick:
        return largest(still.rank(self.nearness))

    def add(self, index: Tensor) -> None:
        kernel = self.pool.kernel(self.pool[index])[:, 0]
        d2 = squared_distances(self.diag, self.diag.index_select(0, index), kernel)
        products = d2.sqrt_() * (self.f - self.f.index_select(0, index)).abs_()
        torch.minimum(self.nearness, products.index_fill_(0, index, 0.0), out=self.nearness)


@register
@dataclass(frozen=True)
class IGS(Selection):
    """The point with the largest min_z |x - z| |f(x) - y_z|, z being the labelled points and those of the batch.

    |x - z| is the distance d_k of the kernel, f(x) the prediction, the mean over models or members, and y_z the label,
    or for points of the batch the prediction. For a single output, whose predictions are in units of the labels.
    Source: Wu, Lin, Huang, Active learning for regression using greedy sampling, Information Sciences 474 (2019),
    arXiv 1808.04245.

    Raises IncompatibleError without labels and predictions.
    """

    tokens = ("igs",)
    modes = ("TP",)
    needs_predictions = True
    takes_limits = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        if problem.outcomes is None:
            raise IncompatibleError("'igs' needs the labels of the training points and predictions for the pool")
        return greedy(_State(problem.pool, problem.train, problem.outcomes), problem, batch_size)
