"""Columns of the posterior kernel, of one selected point after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from bmdal.features import Features
from bmdal.features.shard import explicit
from bmdal.group import ALONE, Group


class PosteriorColumns:
    """l = k+(., x) / sqrt(k+(x, x) + sigma^2) for each selected point x, k+ being the posterior given those before.

    k+(a, b) falls by l(a) l(b). k+(., x) comes from the l of all points selected before or, in a batch of more points
    than features and with several processes, from k+ = phi^T A phi. One pass over the pool's features for each point.

    Attributes:
        repeats: whether each point takes the same operations in the same memory.
    """

    def __init__(self, pool: Features, batch_size: int, group: Group = ALONE) -> None:
        p, diag = pool.n_features, pool.diag()
        self.repeats = p is not None and (p < batch_size or group is not ALONE)
        self.pool, self.n_selected = explicit(pool) if self.repeats else pool, 0
        self.L = diag.new_empty(0 if self.repeats else batch_size, len(pool))
        self.A = torch.eye((p or 0) if self.repeats else 0, dtype=diag.dtype, device=diag.device)

    def add(self, index: Tensor, point: Features, root: Tensor) -> Tensor:
        """l of all pool points, shape (n_pool,), given a point, its features, and sqrt(k+(x, x) + sigma^2)."""
        if not self.repeats:
            L = self.L[: self.n_selected]
            column = self.pool.kernel(point)[:, 0] - L.T @ L.index_select(1, index)[:, 0]
            self.n_selected += 1
            return torch.div(column, root, out=self.L[self.n_selected - 1])
        v = self.A @ point.matrix()[0]
        column = self.pool.rowwise(lambda Phi: Phi @ v)
        self.A.addr_(v / root, v / root, alpha=-1)
        return column / root
