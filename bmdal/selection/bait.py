"""BAIT: the largest decrease of the summed posterior variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import DenseFeatures, Features, condition
from bmdal.features.shard import explicit
from bmdal.group import ALONE, Group
from bmdal.linalg import inverse_root
from bmdal.repeat import Repeated
from bmdal.selection.bait_bounded import BoundedVariances
from bmdal.selection.bait_state import Variances
from bmdal.selection.base import Selection, SelectionProblem, greedy
from bmdal.selection.shadow import Shadow


def _state(pool: Features, M: Tensor, sigma: float, group: Group) -> Variances:
    if isinstance(pool, DenseFeatures) and (shadow := Shadow.of(pool.Phi)) is not None:
        return BoundedVariances(pool, M, sigma, shadow)
    return Variances(pool, M, sigma, group)


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
