"""The posterior given the selected points, as BAIT needs it, with few passes over the features."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.features import DenseFeatures
from bmdal.group import ALONE
from bmdal.selection.bait_state import Variances
from bmdal.selection.base import Open, Pick, largest_number
from bmdal.selection.shadow import AT_ONCE, Products, Shadow

ROUNDING = 1e-12
"""More than the rounding errors of q and the variances, relative to their first values."""
FEW = 4
"""If more than a FEW-th of the points may have the largest score, all are computed."""
N_FIRST = 16
"""Number of the points with the largest bounds that are computed first."""
CHUNK = 1024
"""Number of points that are computed at a time."""
MOST_PENDING = 256
"""Number of selected points after which all are computed at the latest."""
IN_VAIN = 8
"""If all are computed again after a single point this many times, bounds are given up."""


class _Pair(NamedTuple):
    """Products a and c of all points with the vectors v and w of a selected one, up to a multiple of the bounds."""

    a: Tensor
    c: Tensor
    a_off: float
    c_off: float


class BoundedVariances(Variances):
    """`Variances` with few passes over the features: between them, q and the variances are known up to bounds.

    Products with a `Shadow` update them. If a and c are off by up to a' and c', then q is larger by at most
    2 (|a| c' + |c| a' + a' c') / delta and the variance smaller by at most (2 |a| a' + a'^2) / delta. Only points whose
    scores can be the largest, given these bounds and ROUNDING, are computed from their features, with the vectors of
    all points selected since the last full pass. If they are not few, all points are, in one pass. So the points
    selected are the same, unless scores are equal up to rounding. Where rounding matters, and where bounds turn out to
    be of no use, all features are read for each point from then on.

    Attributes:
        shadow: None if it is no longer used.
        vectors, deltas: of the `n_pending` points s selected since the last full pass, the vectors and
            k_S(s, s) + sigma^2, shapes (2, MOST_PENDING, p) and (MOST_PENDING,).
        base: q and noisy at that pass, shape (2, n_pool); 0 instead of infinite. `q` and `noisy` are only right where
            they were computed after the last selected point.
        q_most, noisy_least: bounds on q and noisy, shape (n_pool,).
        next: rows with the largest known scores when a point was last selected.
        likely: rows whose products with v and w are vectors 0, 1, then 2, 3, and so on, of `ahead`.
        since: pending points since these were read.
    """

    ahead: Products

    def __init__(self, pool: DenseFeatures, M: Tensor, sigma: float, shadow: Shadow) -> None:
        super().__init__(pool, M, sigma, ALONE)
        self.Phi = Phi = pool.Phi
        self.shadow: Shadow | None = shadow
        self.vectors, self.deltas = Phi.new_empty(2, MOST_PENDING, Phi.shape[1]), Phi.new_empty(MOST_PENDING)
        self.n_in_vain, self.since = 0, list[tuple[int, _Pair]]()
        self._all_known()

    def _all_known(self) -> None:
        self.base = torch.stack([self.q, torch.where(self.noisy.isinf(), 0.0, self.noisy)])
        self.q_most = torch.add(self.q, self.base[0], alpha=ROUNDING)
        self.noisy_least = torch.sub(self.noisy, self.base[1], alpha=ROUNDING)
        self.n_pending, self.next, self.likely = 0, list[int](), list[int]()

    def best(self, still: Open) -> Pick:
        if self.shadow is None:
            return super().best(still)
        rows = self._promising(still)
        if FEW * len(rows) <= len(self.Phi) and self.n_pending < MOST_PENDING:
            index, score = largest_number(self._known_scores(still, rows))
            noise = self.doubtful * still.rank(self.q_then / self.noisy_least).max() if self.doubtful else 0.0
            if float(score) > float(noise):
                return rows[index], score
        self._compute_all()  # bounds may hide what is left to gain
        return super().best(still)

    def recompute(self, chosen: Tensor) -> bool:
        self.shadow = None
        return super().recompute(chosen)

    def _update(self, index: Tensor, vectors: Tensor, delta: Tensor, half: Tensor) -> None:
        if self.shadow is None:
            super()._update(index, vectors, delta, half)
            return
        s, self.n_pending = self.n_pending, self.n_pending + 1
        self.vectors[:, s], self.deltas[s] = vectors, delta[0]
        products = self._products(int(index), s, float(half), self.shadow)
        self._update_bounds(products, 1 / float(delta), self.shadow.error)

    def _products(self, i: int, s: int, half: float, shadow: Shadow) -> _Pair:
        """Products of all points with v and w of the s-th pending point, which is point i, up to bounds.

        A pass reads those of this point, and A phi and A M A phi of others that are likely to be selected next. If one
        of these is, what the points since the pass have taken from A and A M A is subtracted.
        """
        if i not in self.likely:
            self.likely = [i, *(j for j in self.next if j != i)][: AT_ONCE // 2]
            others = self.Phi[self.likely[1:]] @ self.matrices  # A phi and A M A phi, shape (2, n_others, p)
            self.ahead = shadow.times(torch.cat([self.vectors[:, s], others.transpose(0, 1).flatten(0, 1)]))
            self.since = []  # A and A M A are without this point already
            return _Pair(*self.ahead.of(0, 2), *self.ahead.off[:2])
        j, phi = 2 * self.likely.index(i), self.Phi[i]
        (a, c), (a_off, c_off) = self.ahead.of(j, 2), self.ahead.off[j : j + 2]
        for r, earlier in self.since:
            of_v, of_w = (self.vectors[:, r] @ phi / self.deltas[r]).tolist()
            a.sub_(earlier.a, alpha=of_v)
            c.sub_(earlier.c, alpha=of_v).sub_(earlier.a, alpha=of_w)
            a_off += abs(of_v) * earlier.a_off
            c_off += abs(of_v) * earlier.c_off + abs(of_w) * earlier.a_off
        products = _Pair(a, c.sub_(a, alpha=half), a_off, c_off + abs(half) * a_off)
        self.since.append((s, products))
        return products

    def _update_bounds(self, products: _Pair, share: float, error: Tensor) -> None:
        a, c, a_off, c_off = products
        self.q_most.addcmul_(a, c, value=-2 * share)
        self.noisy_least.addcmul_(a, a, value=-share)
        a, c = a.abs(), c.abs()
        self.q_most.addcmul_(a, error, value=2 * c_off * share).addcmul_(c, error, value=2 * a_off * share)
        self.q_most.addcmul_(error, error, value=2 * a_off * c_off * share)
        self.noisy_least.addcmul_(a, error, value=-2 * a_off * share)
        self.noisy_least.addcmul_(error, error, value=-(a_off**2) * share).clamp_(min=self.sigma2)

    def _promising(self, still: Open) -> Tensor:
        """Compute all points whose score can be the largest, and a few more, and return their rows in order."""
        most = still.rank(self.q_most / self.noisy_least)
        rows = most.topk(min(N_FIRST, len(most))).indices
        self._compute(rows)
        scores = self._known_scores(still, rows)
        self.next = rows[scores.topk(min(AT_ONCE // 2, len(rows))).indices].tolist()
        others = (~(most.index_fill_(0, rows, -torch.inf) < scores.max())).nonzero()[:, 0]  # all if one is NaN
        if 0 < FEW * len(others) <= len(most):
            self._compute(others)
        return torch.cat([rows, others]).sort().values

    def _known_scores(self, still: Open, rows: Tensor) -> Tensor:
        return still.rank(self.q[rows] / self.noisy[rows], rows)

    def _compute_all(self) -> None:
        self._compute(torch.arange(len(self.Phi)))
        self.n_in_vain += self.n_pending == 1
        if self.n_in_vain == IN_VAIN:
            self.shadow = None
        self._all_known()

    def _compute(self, rows: Tensor) -> None:
        for part in torch.split(rows, CHUNK):
            Phi, n, base = self.Phi[part], self.n_pending, self.base[:, part]
            a, c = (functional.linear(Phi, vectors[:n]) for vectors in self.vectors)
            scaled = a / self.deltas[:n]
            q = base[0] - 2 * (scaled * c).sum(dim=1)
            noisy = base[1] - (scaled * a).sum(dim=1)
            self.q[part], self.q_most[part] = q, q + ROUNDING * base[0]
            noisy.masked_fill_(self.noisy[part].isinf(), torch.inf)
            self.noisy[part], self.noisy_least[part] = noisy, noisy - ROUNDING * base[1]
