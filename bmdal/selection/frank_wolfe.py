"""Frank-Wolfe: a sparse approximation of the pool's mean embedding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.selection.base import Selection, SelectionProblem, argmax_if_positive, greedy


class _State:
    """u: sum of the pool's features; w: its current approximation; both of shape (p,)."""

    def __init__(self, Phi: Tensor) -> None:
        self.Phi = Phi
        self.c = torch.linalg.vector_norm(Phi, dim=1)
        self.r = self.c.sum()
        self.u = Phi.sum(dim=0)
        self.w = torch.zeros_like(self.u)
        self.free = self.c > 0

    def best(self) -> int | None:
        scores = (self.Phi @ (self.u - self.w)) / self.c
        return argmax_if_positive(torch.where(self.free, scores, 0.0))

    def add(self, index: int) -> None:
        t = self.r / self.c[index] * self.Phi[index]
        step = t - self.w
        g = (step @ (self.u - self.w)) / (step @ step)
        self.w = (1 - g) * self.w + g * t
        self.free[index] = False


@register
@dataclass(frozen=True)
class FrankWolfe(Selection):
    """argmax_i <u - w, phi_i> / |phi_i|, then w <- (1 - g) w + g t with t = r phi_i / |phi_i|.

    u = sum_i phi_i over the pool, r = sum_i |phi_i|, g = <t - w, u - w> / |t - w|^2, w = 0 at first. Training points
    play no part, so there is no mode TP. Needs an explicit feature matrix. On ACS features known as ACS-FW.
    Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("fw",)
    modes = ("P",)
    needs_explicit = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool.matrix()), batch_size, problem.pool.device)
