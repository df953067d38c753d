"""The posterior given the selected points, as BAIT needs it, kept up to date by passes over all features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.features import Features
from bmdal.group import Group
from bmdal.linalg import blocks, inverse_root, quadratic_forms, squared_norms
from bmdal.selection.base import GreedyState, Open, Pick, largest_number

WORST = 1e8
"""If the largest score is below this multiple of its rounding error, everything is recomputed."""


class Variances(GreedyState):
    """Posterior given the selected points, k_S(x, x') = phi^T A phi', in feature space.

    With the second-moment matrix M of the target points, point x decreases the summed variance by
    q / (k_S(x, x) + sigma^2), q = phi^T A M A phi. For each selected point, only the (p, p) matrices A and A M A and
    two numbers per pool point are updated, by one product of the features with two vectors.

    Updates of q leave rounding errors relative to its first values. If the scores come close to these errors, which
    happens when the selected points span all features, everything is recomputed as sums of squares.

    Attributes:
        matrices: A and A M A, shape (2, p, p).
        noisy: k_S(x, x) + sigma^2, shape (n_pool,); infinite for selected points.
        doubtful: what a score must exceed to be more than rounding error, for a q and a noisy variance of 1.
    """

    repeats = True

    def __init__(self, pool: Features, M: Tensor, sigma: float, group: Group) -> None:
        self.pool, self.M, self.group = pool, M, group  # M has shape (p, p)
        self.sigma2 = sigma**2
        self.matrices = torch.stack([torch.eye(len(M), dtype=M.dtype, device=M.device), M])
        self.noisy = pool.diag() + self.sigma2
        self.q = pool.rowwise(lambda Phi: quadratic_forms(Phi, M))
        self.q_then = self.q.clone()  # when it was last computed again
        self.doubtful = 0.0  # nothing is selected, or everything was just computed again

    def best(self, still: Open) -> Pick:
        index, score = largest_number(still.rank(self.q / self.noisy))
        if self.doubtful:
            noise = self.doubtful * self.group.maximum(still.rank(self.q_then / self.noisy).abs_())
            score = torch.where(score > noise, score, 0.0)
        return index, score

    def recompute(self, chosen: Tensor) -> bool:
        """A = sigma^2 W W^T with W W^T = (Phi_S^T Phi_S + sigma^2 I)^-1; k_S(x, x) and q as sums of squares."""
        if len(chosen) == 0:
            return False
        Phi_S = self.group.points(self.pool, chosen).matrix()
        W = inverse_root(Phi_S.T @ Phi_S, self.sigma2)
        values, vectors = torch.linalg.eigh(self.M)
        RW = values.clamp(min=0).sqrt()[:, None] * (vectors.T @ W)  # M = R^T R
        A = self.sigma2 * W @ W.T
        self.matrices = torch.stack([A, A @ self.M @ A])
        posterior = self.pool.rowwise(lambda Phi: _sums_of_squares(Phi, W, RW))
        self.noisy.copy_(posterior[:, 0]).mul_(self.sigma2).add_(self.sigma2)
        self.q.copy_(posterior[:, 1]).mul_(self.sigma2**2)
        self.noisy.index_fill_(0, self.group.rows(chosen), torch.inf)
        self.q_then, self.doubtful = self.q.clone(), 0.0
        return True

    def add(self, index: Tensor) -> None:
        """A <- A - A phi phi^T A / delta, and what follows for A M A, the variances and q."""
        p = len(self.M)
        point, (delta, q) = self.group.point(self.pool, index, self.noisy, self.q)
        vectors = (self.matrices.view(2 * p, p) @ point.matrix()[0]).view(2, p)
        v, w = vectors
        half = q / delta / 2
        w.addcmul_(half, v, value=-1)  # A M A <- A M A - (v w^T + w v^T) / delta
        scaled = v / delta
        self.matrices.view(2 * p, p).addr_(vectors.flatten(), scaled, alpha=-1)
        self.matrices[1].addr_(scaled, w, alpha=-1)
        self._update(index, vectors, delta, half)
        self.noisy.index_fill_(0, self.group.rows(index), torch.inf)
        self.doubtful = WORST * torch.finfo(self.q.dtype).eps

    def _update(self, index: Tensor, vectors: Tensor, delta: Tensor, half: Tensor) -> None:
        """q <- q - 2 a c / delta, k_S <- k_S - a^2 / delta; a and c are products with v and w, vectors of (2, p).

        w = A M A phi - `half` v for the point with this index.
        """
        a, c = self.pool.rowwise(lambda Phi: functional.linear(Phi, vectors)).unbind(dim=1)
        scaled = a / delta
        self.q.addcmul_(scaled, c, value=-2)
        self.noisy.addcmul_(scaled, a, value=-1)


def _sums_of_squares(Phi: Tensor, W: Tensor, RW: Tensor) -> Tensor:
    """|W^T phi|^2 and |R W W^T phi|^2 for each row, shape (n, 2)."""
    sums = Phi.new_empty(len(Phi), 2)
    for rows in blocks(len(Phi), 3 * 8 * len(W), Phi.device):
        Y = Phi[rows] @ W
        sums[rows] = torch.stack([squared_norms(Y), squared_norms(Y @ RW.T)], dim=1)
    return sums
