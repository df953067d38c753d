"""BAIT: the largest decrease of the summed posterior variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.component import register
from bmdal.features import DenseFeatures, Features, condition
from bmdal.features.shard import explicit
from bmdal.group import ALONE, Group
from bmdal.linalg import blocks, inverse_root, quadratic_forms, squared_norms
from bmdal.repeat import Repeated
from bmdal.selection.base import GreedyState, Open, Pick, Rows, Selection, SelectionProblem, greedy, largest_number
from bmdal.selection.shadow import Shadow

WORST = 1e8
"""If the largest score is below this multiple of its rounding error, everything is recomputed."""
ROUNDING = 1e-12
"""More than the rounding errors of q and the variances, relative to their first values."""
FEW = 16
"""If more than this part of the points may have the largest score, all are computed."""
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
        w.addcmul_(q / delta, v, value=-0.5)  # A M A <- A M A - (v w^T + w v^T) / delta
        scaled = v / delta
        self.matrices.view(2 * p, p).addr_(vectors.flatten(), scaled, alpha=-1)
        self.matrices[1].addr_(scaled, w, alpha=-1)
        self._update(vectors, delta)
        self.noisy.index_fill_(0, self.group.rows(index), torch.inf)
        self.doubtful = WORST * torch.finfo(self.q.dtype).eps

    def _update(self, vectors: Tensor, delta: Tensor) -> None:
        """q <- q - 2 a c / delta, k_S <- k_S - a^2 / delta; a and c are products with the vectors, shape (2, p)."""
        a, c = self.pool.rowwise(lambda Phi: functional.linear(Phi, vectors)).unbind(dim=1)
        scaled = a / delta
        self.q.addcmul_(scaled, c, value=-2)
        self.noisy.addcmul_(scaled, a, value=-1)


class _Bounded(_State):
    """The same with few passes over the features: between them, q and the variances are known up to bounds.

    Products with a `Shadow` update them. If a and c are off by up to a' and c', then q is off by up to
    2 (|a| c' + |c| a' + a' c') / delta and the variance by (2 |a| a' + a'^2) / delta. Only points whose scores can be
    the largest, given these bounds and ROUNDING, are computed from their features, with the vectors of all points
    selected since the last full pass. If they are not few, all points are, in one pass. So the points selected are the
    same, unless scores are equal up to rounding. Where rounding matters, and where bounds turn out to be of no use, all
    features are read for each point from then on.

    Attributes:
        shadow: None if it is no longer used.
        vectors, deltas: of the `n_pending` points s selected since the last full pass, the vectors and
            k_S(s, s) + sigma^2, shapes (2, MOST_PENDING, p) and (MOST_PENDING,).
        base: q and noisy at that pass, shape (2, n_pool); 0 instead of infinite.
        off: bounds on the errors of q and noisy, in multiples of `shadow.error`, shape (2, n_pool).
    """

    def __init__(self, pool: DenseFeatures, M: Tensor, sigma: float, shadow: Shadow) -> None:
        super().__init__(pool, M, sigma, ALONE)
        self.Phi = Phi = pool.Phi
        self.shadow: Shadow | None = shadow
        self.vectors, self.deltas = Phi.new_empty(2, MOST_PENDING, Phi.shape[1]), Phi.new_empty(MOST_PENDING)
        self.base, self.off = torch.stack([self.q, self.noisy]), Phi.new_zeros(2, len(Phi))
        self.n_pending = self.n_in_vain = 0

    def best(self, still: Open) -> Pick:
        if self.shadow is None:
            return super().best(still)
        rows = self._promising(still, self.shadow)
        if FEW * len(rows) > len(self.Phi) or self.n_pending == MOST_PENDING:
            self._compute_all()
        else:
            self._compute(rows)
        pick = super().best(still)
        if pick[1] > 0 or self.n_pending == 0:
            return pick
        self._compute_all()  # bounds may hide what is left to gain
        return super().best(still)

    def recompute(self, chosen: Tensor) -> bool:
        self.shadow = None
        return super().recompute(chosen)

    def _update(self, vectors: Tensor, delta: Tensor) -> None:
        if self.shadow is None:
            super()._update(vectors, delta)
        else:
            self._update_bounds(vectors, delta, self.shadow)

    def _update_bounds(self, vectors: Tensor, delta: Tensor, shadow: Shadow) -> None:
        self.vectors[:, self.n_pending], self.deltas[self.n_pending] = vectors, delta[0]
        self.n_pending += 1
        (a, c), (a_off, c_off) = shadow.products(vectors)
        share = 1 / float(delta)
        self.q.addcmul_(a, c, value=-2 * share)
        self.noisy.addcmul_(a, a, value=-share).clamp_(min=self.sigma2)
        q_off, noisy_off = self.off
        noisy_off.add_(a.abs_(), alpha=2 * a_off * share).add_(shadow.error, alpha=a_off**2 * share)
        q_off.add_(a, alpha=2 * c_off * share).add_(c.abs_(), alpha=2 * a_off * share)
        q_off.add_(shadow.error, alpha=2 * a_off * c_off * share)

    def _promising(self, still: Open, shadow: Shadow) -> Tensor:
        """All points whose score can be the largest, and possibly a few more."""
        q_off, noisy_off = self.off * shadow.error + ROUNDING * self.base
        upper = still.rank((self.q + q_off) / (self.noisy - noisy_off).clamp_(min=self.sigma2))
        lower = still.rank((self.q - q_off) / (self.noisy + noisy_off))
        return (~(upper < lower.max())).nonzero()[:, 0]  # all points if one of them is NaN

    def _compute_all(self) -> None:
        for rows in blocks(len(self.Phi), 3 * 8 * self.n_pending, self.Phi.device):
            self._compute(rows)
        self.n_in_vain += self.n_pending == 1
        if self.n_in_vain == IN_VAIN:
            self.shadow = None
        self.base[0], self.base[1] = self.q, torch.where(self.noisy.isinf(), 0.0, self.noisy)
        self.n_pending = 0

    def _compute(self, rows: Rows) -> None:
        Phi, n = self.Phi[rows], self.n_pending
        a, c = (functional.linear(Phi, vectors[:n]) for vectors in self.vectors)
        scaled = a / self.deltas[:n]
        noisy = self.base[1, rows] - (scaled * a).sum(dim=1)
        self.q[rows] = self.base[0, rows] - 2 * (scaled * c).sum(dim=1)
        self.noisy[rows] = noisy.masked_fill_(self.noisy[rows].isinf(), torch.inf)
        self.off[:, rows] = 0.0


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
