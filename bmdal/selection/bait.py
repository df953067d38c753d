"""BAIT: the largest decrease of the summed posterior variance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.component import register
from bmdal.features import DenseFeatures, Features, condition
from bmdal.features.shard import explicit
from bmdal.group import ALONE, Group
from bmdal.linalg import blocks, inverse_root, quadratic_forms, squared_norms
from bmdal.repeat import Repeated
from bmdal.selection.base import GreedyState, Open, Pick, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.shadow import AT_ONCE, Products, Shadow

WORST = 1e8
"""If the largest score is below this multiple of its rounding error, everything is recomputed."""
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


class _State(GreedyState):
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


class _Pair(NamedTuple):
    """Products a and c of all points with the vectors v and w of a selected one, up to a multiple of the bounds."""

    a: Tensor
    c: Tensor
    a_off: float
    c_off: float


class _Bounded(_State):
    """The same with few passes over the features: between them, q and the variances are known up to bounds.

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


def _state(pool: Features, M: Tensor, sigma: float, group: Group) -> _State:
    if isinstance(pool, DenseFeatures) and (shadow := Shadow.of(pool.Phi)) is not None:
        return _Bounded(pool, M, sigma, shadow)
    return _State(pool, M, sigma, group)


def _sums_of_squares(Phi: Tensor, W: Tensor, RW: Tensor) -> Tensor:
    """|W^T phi|^2 and |R W W^T phi|^2 for each row, shape (n, 2)."""
    sums = Phi.new_empty(len(Phi), 2)
    for rows in blocks(len(Phi), 3 * 8 * len(W), Phi.device):
        Y = Phi[rows] @ W
        sums[rows] = torch.stack([squared_norms(Y), squared_norms(Y @ RW.T)], dim=1)
    return sums


def _remove(Phi: Tensor, M: Tensor, sigma: float, n_remove: int) -> Tensor:
    """Which points stay if, one by one, those whose removal increases the summed variance least are removed.

    With H = (Phi Phi^T + sigma^2 I)^-1 of the selected points, k_S(x', s) = sigma^2 (H Phi phi')_s and
    k_S(s, s) = sigma^2 - sigma^4 H_ss. Hence the increase sum_x' k_S(x', s)^2 / (sigma^2 - k_S(s, s)) is B_ss / H_ss
    with B = H Phi M Phi^T H, without cancellation. Removing s: H <- H - h h^T / H_ss with h = H_s; B likewise.

    Args:
        Phi: features of the selected points in the order of selection, shape (m, p).
        M: second-moment matrix of the target points, shape (p, p).
        sigma: standard deviation of the observation noise.
        n_remove: number of points to remove.
    Returns: whether each of them stays, shape (m,).
    """
    root = inverse_root(Phi @ Phi.T, sigma**2)
    H = root @ root.T
    HPhi = H @ Phi
    B = HPhi @ M @ HPhi.T
    stays = torch.ones(len(Phi), dtype=torch.bool, device=Phi.device)

    def remove() -> None:
        s = torch.where(stays, B.diagonal() / H.diagonal(), torch.inf).argmin(dim=0, keepdim=True)
        of_s = H.index_select(0, s)[0]
        h = of_s / of_s.index_select(0, s)
        B.addr_(h, B.index_select(0, s)[0], alpha=-1)
        B.addr_(B.index_select(1, s)[:, 0], h, alpha=-1)
        H.addr_(h, of_s, alpha=-1)
        stays.index_fill_(0, s, False)

    remove_next = Repeated(remove, Phi.device)
    for _ in range(n_remove):
        remove_next()
    return stays


@register
@dataclass(frozen=True)
class BaitForward(Selection):
    """The point with the largest sum_x' k_S(x', x)^2 / (k_S(x, x) + sigma^2) over the target points x'.

    This point decreases the summed posterior variance most. Without given targets, the targets are the training and
    pool points; with given targets, this is variance-based transductive learning (VTL, arXiv 2402.15898). In mode TP,
    the selected set S starts with the training points. Needs a feature matrix.
    Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("bait-f",)
    needs_explicit = True
    needs_float64 = True
    takes_target = True
    takes_limits = True
    takes_costs = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        return greedy(_state(*_start(problem), problem.sigma, problem.group), problem, batch_size)


@register
@dataclass(frozen=True)
class BaitForwardBackward(Selection):
    """`bait-f` until 2 b points are selected, then b removals that each increase the summed variance least.

    If the pool has fewer than 2 b points, the forward part selects them all. Source: arXiv 2203.09410, Section 4.2.
    """

    tokens = ("bait-fb",)
    needs_explicit = True
    needs_float64 = True
    takes_target = True
    takes_limits = True
    takes_group = True

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        (pool, M), group = _start(problem), problem.group
        n_forward = min(2 * batch_size, group.count(pool))
        batch = greedy(_state(pool, M, problem.sigma, group), _without_scores(problem), n_forward)
        Phi = group.points(pool, batch).matrix()
        return batch[_remove(Phi, M, problem.sigma, max(0, len(batch) - batch_size))]


def _without_scores(problem: SelectionProblem) -> SelectionProblem:
    """The problem without score callbacks, since scores of the forward part say little about the points that stay."""
    return replace(problem, on_pick=lambda index, score: None)


def _start(problem: SelectionProblem) -> tuple[Features, Tensor]:
    """Features of the pool and second moments of the targets; in mode TP, after conditioning on the training points."""
    train, pool, target = problem.train, problem.pool, problem.target
    if problem.selected is not None:
        posterior = condition(problem.selected, problem.sigma)
        train, pool = posterior(train), pool.transformed(posterior)
        target = None if target is None else posterior(target)
    pool = explicit(pool)
    if target is not None:
        return pool, ALONE.second_moments(target)
    return pool, ALONE.second_moments(train) + problem.group.second_moments(pool)
