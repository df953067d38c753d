"""Columns of the posterior kernel, of one selected point after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from bmdal.features import Features


class PosteriorColumns:
    """l = k+(., x) / sqrt(k+(x, x) + sigma^2) for each selected point x, k+ being the posterior given those before.

    k+(a, b) falls by l(a) l(b). k+(., x) comes from the l of all points selected before or, in a batch of more points
    than features, from k+ = phi^T A phi. One pass over the pool's features for each point.

    Attributes:
        repeats: whether each point takes the same operations in the same memory.
    """

    def __init__(self, pool: Features, batch_size: int) -> None:
        self.pool, self.n_selected = pool, 0
        p, diag = pool.n_features, pool.diag()
        self.Phi = pool.matrix() if p is not None and p < batch_size else None
        self.repeats = self.Phi is not None
        self.L = diag.new_empty(batch_size if self.Phi is None else 0, len(pool))
        self.A = torch.eye(0 if self.Phi is None else self.Phi.shape[1], dtype=diag.dtype, device=diag.device)

    def add(self, index: Tensor, root: Tensor) -> Tensor:
        """l of all pool points, shape (n_pool,), given the point, shape (1,), and sqrt(k+(x, x) + sigma^2)."""
        if self.Phi is None:
            L = self.L[: self.n_selected]
            column = self.pool.kernel(self.pool[index])[:, 0] - L.T @ L.index_select(1, index)[:, 0]
            self.n_selected += 1
            return torch.div(column, root, out=self.L[self.n_selected - 1])
        v = self.A @ self.Phi.index_select(0, index)[0]
        column = self.Phi @ v
        self.A.addr_(v / root, v / root, alpha=-1)
        return column / root
