"""Frank-Wolfe: a sparse approximation of the pool's mean embedding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.group import Pick
from bmdal.linalg import squared_norms
from bmdal.selection.base import GreedyState, Open, Selection, SelectionProblem, greedy, largest


class _State(GreedyState):
    """The sum u of the pool's features and the gap u - w to its current approximation w, both of shape (p,)."""

    repeats = True

    def __init__(self, Phi: Tensor) -> None:
        self.Phi = Phi
        self.c = squared_norms(Phi).sqrt_()
        self.scale = self.c.sum() / self.c
        self.u = Phi.sum(dim=0)
        self.gap = self.u.clone()
        self.free = self.c > 0
        self.shadow = _Shadow.of(Phi, self.c)

    def best(self, still: Open) -> Pick:
        free = still.among(self.free)
        if self.shadow is None:
            return largest(torch.where(free, (self.Phi @ self.gap) / self.c, 0.0))
        rows = self.shadow.candidates(self.gap, free)
        if len(rows) == 0:
            return torch.zeros(1, dtype=torch.long), self.c.new_zeros(1)
        i, score = largest((self.Phi.index_select(0, rows) @ self.gap) / self.c[rows])
        return rows[i], score

    def add(self, index: Tensor) -> None:
        phi, scale = self.Phi.index_select(0, index)[0], self.scale.index_select(0, index)
        step = torch.addcmul(self.gap - self.u, phi, scale)  # t - w
        self.gap.addcmul_(step, (step @ self.gap) / (step @ step), value=-1)
        self.free.index_fill_(0, index, False)


@dataclass(frozen=True)
class _Shadow:
    """Normalized features in half precision, which find the few points that can have the largest score.

    Let phi_i / |phi_i| = mean + h_i + e_i with h_i in half precision, and let v' be v in half precision. The score
    <v, phi_i> / |phi_i| differs from <v, mean> + <v', h_i> by at most |v| |e_i| + |v - v'| |h_i| plus the rounding of
    the product, and the mean is the same for all points. A pass over a quarter of the memory then replaces a full one.

    Attributes:
        half: h, shape (n, p), float16.
        error, size: |e_i| and |h_i|, shape (n,).
    """

    half: Tensor
    error: Tensor
    size: Tensor

    N_FEWEST = 4096  # with fewer points, everything is read

    @classmethod
    def of(cls, Phi: Tensor, c: Tensor) -> _Shadow | None:
        """The shadow of features with norms c; None if reading everything is no slower, as on a GPU."""
        n, p = Phi.shape
        if Phi.device.type != "cpu" or n < cls.N_FEWEST:
            return None
        norms = torch.where(c > 0, c, 1.0)[:, None]
        sample = slice(None, None, -(-n // cls.N_FEWEST))
        mean = (Phi[sample] / norms[sample]).mean(dim=0)
        half = Phi.new_empty(n, p, dtype=torch.float16)
        error, size = Phi.new_empty(n), Phi.new_empty(n)
        for start in range(0, n, 8192):
            rows = slice(start, start + 8192)
            centred = Phi[rows] / norms[rows] - mean
            half[rows] = centred
            size[rows] = torch.linalg.vector_norm(centred, dim=1)
            error[rows] = torch.linalg.vector_norm(centred.sub_(half[rows]), dim=1)
        return cls(half, error, size + error)

    def candidates(self, v: Tensor, free: Tensor) -> Tensor:
        """All free points that can have the largest score <v, phi_i> / |phi_i|, and possibly a few more."""
        length = torch.linalg.vector_norm(v)
        direction = v / length
        half_direction = direction.to(torch.float16)
        lost = torch.linalg.vector_norm(direction - half_direction)
        score = torch.where(free, (self.half @ half_direction).to(v.dtype), -torch.inf)
        eps = torch.finfo(torch.float16).eps
        uncertainty = self.error + (lost + eps) * self.size + eps * (score.abs() + eps)
        promising: Tensor = score + uncertainty >= (score - uncertainty).max()
        return promising.nonzero()[:, 0]


@register
@dataclass(frozen=True)
class FrankWolfe(Selection):
    """argmax_i <u - w, phi_i> / |phi_i|, then w <- (1 - g) w + g t with t = r phi_i / |phi_i|.

    u = sum_i phi_i over the pool, r = sum_i |phi_i|, g = <t - w, u - w> / |t - w|^2, and initially w = 0. Training
    points are not used, so there is no mode TP. Needs a feature matrix. On ACS features it is known as ACS-FW.
    Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("fw",)
    modes = ("P",)
    needs_explicit = True
    takes_limits = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_State(problem.pool.matrix()), problem, batch_size)
