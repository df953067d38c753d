"""Squared distances from every pool point to its nearest selected point, updated for each new point."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.features import DenseFeatures, Features, StoredFeatures
from bmdal.features.base import squared_distances
from bmdal.group import ALONE, Group
from bmdal.selection.base import GreedyState

MOST_AT_ONCE = 4096
"""Number of selected points per matrix product; with more, its blocks would have too few rows to be fast."""


class NearestSelected(GreedyState):
    """Distances of the pool to the selected points.

    A new point only affects the few pool points that are nearer to it than to any other selected point. If a lower
    bound on the distance (`PrincipalBound`) cheaply shows which points these can be, no other features are read. The
    result is the same.

    Attributes:
        d2: squared distance to the nearest selected point, shape (n_pool,); infinite while there is none.
        nearest: number of that point in the order in which points were added, shape (n_pool,); only with
            `with_nearest`.
        number: of the next point, shape ().
        is_empty: whether no point has been added.
    """

    repeats = True

    def __init__(
        self, pool: Features, selected: Features | None, with_nearest: bool = False, group: Group = ALONE
    ) -> None:
        self.pool, self.group = pool, group
        self.diag = pool.diag()
        self.d2 = torch.full_like(self.diag, torch.inf)
        self.with_nearest = with_nearest
        self.nearest = torch.zeros(len(pool) if with_nearest else 0, dtype=torch.long, device=pool.device)
        self.number = torch.zeros((), dtype=torch.long, device=pool.device)
        self.is_empty = True
        if selected is not None:
            self._add_many(selected)
        self._bound = PrincipalBound.of(pool)

    def add(self, index: Tensor) -> None:
        centre, (of_centre,) = self.group.point(self.pool, index, self.diag)
        rows = self._concerned(index)
        if rows is None:
            d2 = squared_distances(self.diag, of_centre, self.pool.kernel(centre)[:, 0])
            d2.index_fill_(0, self.group.rows(index), 0.0)
            if self.with_nearest:
                torch.where(d2 < self.d2, self.number, self.nearest, out=self.nearest)
            torch.minimum(self.d2, d2, out=self.d2)
        else:
            d2 = squared_distances(self.diag[rows], of_centre, self.pool[rows].kernel(centre)[:, 0])
            d2.masked_fill_(rows == index, 0.0)
            closer = d2 < self.d2[rows]
            rows = rows[closer]
            self.d2[rows] = d2[closer]
            if self.with_nearest:
                self.nearest.index_fill_(0, rows, self.number)
        self.number += 1
        self.is_empty = False

    def _concerned(self, index: Tensor) -> Tensor | None:
        """Pool points that can be nearer to point `index` than they are to a selected one; None: any, read them all."""
        if self._bound is None or self.is_empty:
            return None
        rows = self._bound.closer_than(index, self.d2)
        least = 2 if isinstance(self.pool, StoredFeatures) else 8  # in memory, gathering rows costs more than reading
        return rows if least * len(rows) < len(self.pool) else None

    def _add_many(self, selected: Features) -> None:
        for start in range(0, len(selected), MOST_AT_ONCE):
            part = selected[start : start + MOST_AT_ONCE]
            diag = part.diag()
            for rows, points in _parts(self.pool, len(part) * self.diag.element_size()):
                closeness = points.kernel(part).sub_(diag / 2)  # (k(x, x) - d^2) / 2
                largest, nearest = closeness.max(dim=1)
                d2 = squared_distances(self.diag[rows], diag[nearest], largest + diag[nearest] / 2)
                if self.with_nearest:
                    self.nearest[rows] = torch.where(d2 < self.d2[rows], start + nearest, self.nearest[rows])
                self.d2[rows] = torch.minimum(self.d2[rows], d2)
        self.number.fill_(len(selected))
        self.is_empty = len(selected) == 0


def _parts(pool: Features, row_bytes: int) -> Iterator[tuple[slice, Features]]:
    """The pool in parts: in blocks of one size if it is stored, and in blocks of about BLOCK_BYTES if not."""
    if isinstance(pool, StoredFeatures):
        return pool.blocks()
    return ((rows, pool[rows]) for rows in pool.slices(row_bytes))


@dataclass(frozen=True)
class PrincipalBound:
    """Lower bound |z - z'|^2 + (r - r')^2 <= d^2 from principal coordinates z and the norm r of the remainder.

    In matrix form it is |phi|^2 + |phi'|^2 - 2 <(z, r), (z', r')> for centred phi: one product with N_COORDINATES + 1
    columns instead of p. A margin covers the rounding errors of the bound and of the distance itself.

    Attributes:
        coordinates: (z, r) of all points, shape (n, N_COORDINATES + 1).
        least: |phi|^2 of the centred features, less a bound on the rounding error for each point, shape (n,).
    """

    coordinates: Tensor
    least: Tensor

    N_COORDINATES = 40
    N_SAMPLE = 8192  # points that the axes are computed from; any axes give a valid bound
    N_MOST_FEATURES = 1024  # with more, the axes cost more than they save

    @classmethod
    def of(cls, pool: Features) -> PrincipalBound | None:
        """The bound for a pool, or None if it saves nothing: few points, few or very many features, or a GPU."""
        n, p = len(pool), pool.n_features
        if not isinstance(pool, DenseFeatures | StoredFeatures) or p is None or pool.device.type != "cpu":
            return None
        if n < 4096 or not 3 * cls.N_COORDINATES <= p <= cls.N_MOST_FEATURES:
            return None
        sample = pool[:: -(-n // cls.N_SAMPLE)].matrix()
        mean = sample.mean(dim=0)
        sample = sample - mean
        try:
            eigenvectors = torch.linalg.eigh((sample.T @ sample).to(torch.float64)).eigenvectors
        except RuntimeError:  # LinAlgError: no convergence; all features are read instead
            return None
        axes = eigenvectors[:, -cls.N_COORDINATES :].to(sample.dtype)
        coordinates, norms, diag = mean.new_empty(n, cls.N_COORDINATES + 1), mean.new_empty(n), mean.new_empty(n)
        for rows, part in _parts(pool, p * mean.element_size()):
            Phi = part.matrix()
            centred = Phi - mean
            z = centred @ axes
            norms[rows] = torch.linalg.vector_norm(centred, dim=1) ** 2
            diag[rows] = torch.linalg.vector_norm(Phi, dim=1) ** 2
            coordinates[rows, :-1] = z
            coordinates[rows, -1] = (norms[rows] - torch.linalg.vector_norm(z, dim=1) ** 2).clamp(min=0).sqrt()
        eps = torch.finfo(mean.dtype).eps
        return cls(coordinates, norms - eps * (32 * norms + 16 * diag))

    def closer_than(self, index: Tensor, d2: Tensor) -> Tensor:
        """All points, and few others, whose squared distance to point `index`, shape (1,), is smaller than d2."""
        gap = torch.addmv(self.least, self.coordinates, self.coordinates[index][0], alpha=-2).sub_(d2)
        return (gap < -float(self.least[index])).nonzero()[:, 0]
