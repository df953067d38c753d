"""The interface of selection methods, and the greedy loop that most of them share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bmdal.component import Component
from bmdal.features import DenseFeatures, Features
from bmdal.group import ALONE, Group
from bmdal.group import Pick as Pick
from bmdal.repeat import Repeated

Rows = slice | Tensor
"""Some of the pool points."""
Mode = Literal["P", "TP"]
"""P: only pool points count as selected. TP: the training points count as already selected."""


@dataclass(frozen=True, eq=False)
class Limits:
    """Which pool points may be selected, and at what cost.

    Attributes:
        candidates: whether a point may be selected, shape (n_pool,); other points still count as part of the pool.
            None: all points may be selected.
        groups: number of the group of each point, shape (n_pool,); None: no groups.
        per_group: maximal number of selected points per group.
        costs: cost of each point, greater than 0, shape (n_pool,); scores are divided by it. None: no costs.
    """

    candidates: Tensor | None = None
    groups: Tensor | None = None
    per_group: int = 1
    costs: Tensor | None = None

    def to(self, device: torch.device) -> Limits:
        """The same limits on another device."""
        given = (self.candidates, self.groups, self.costs)
        candidates, groups, costs = (None if t is None else t.to(device) for t in given)
        return Limits(candidates, groups, self.per_group, costs)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What a model has learned, in units of the labels.

    Attributes:
        labels: y of the training points, shape (n_train,).
        of_train: predictions f(x) for the training points, shape (n_train,).
        of_pool: predictions f(x) for the pool points, shape (n_pool,).
    """

    labels: Tensor
    of_train: Tensor
    of_pool: Tensor


def _nothing(index: int, score: float) -> None:
    pass


@dataclass(frozen=True)
class SelectionProblem:
    """The input of a selection method.

    Attributes:
        train: transformed features of the n_train training points.
        pool: transformed features of the n_pool pool points.
        mode: "P" or "TP"; None for a method without modes.
        sigma: standard deviation of the observation noise.
        generator: source of all random draws.
        target: transformed features of the points that matter; None if the user did not give any.
        outcomes: labels and predictions; only for selection methods with `needs_predictions`.
        limits: which pool points may be selected; only for selection methods with `takes_limits`.
        group: the processes that hold the pool; several only for selection methods with `takes_group`.
        on_pick: called with each selected point and its score, by selection methods with scores.
    """

    train: Features
    pool: Features
    mode: Mode | None
    sigma: float
    generator: torch.Generator
    target: Features | None = None
    outcomes: Outcomes | None = None
    limits: Limits = field(default_factory=Limits)
    group: Group = ALONE
    on_pick: Callable[[int, float], object] = _nothing

    @property
    def selected(self) -> Features | None:
        """The points that count as selected at the start."""
        return self.train if self.mode == "TP" else None


class Selection(Component):
    """Selects a batch of pool points (arXiv 2203.09410, Section 4).

    Attributes:
        modes: the modes that the method supports, the default first; empty if its name has no mode.
        needs_kernel: whether it uses features at all.
        needs_explicit: whether it needs a feature matrix.
        needs_float64: whether features are converted to float64 first.
        needs_predictions: whether it needs the training labels and a model's predictions for the pool.
        takes_target: whether it uses target points.
        takes_limits: whether it respects `SelectionProblem.limits`, except for costs.
        takes_costs: whether its scores are gains that can be divided by costs.
        takes_group: whether the pool may be spread over several processes.
        reads_stored: whether it reads a pool of `StoredFeatures` block by block; otherwise it gets them in memory.
    """

    kind = "selection method"
    modes: ClassVar[tuple[Mode, ...]] = ("P", "TP")
    needs_kernel: ClassVar[bool] = True
    needs_explicit: ClassVar[bool] = False
    needs_float64: ClassVar[bool] = False
    needs_predictions: ClassVar[bool] = False
    takes_target: ClassVar[bool] = False
    takes_limits: ClassVar[bool] = False
    takes_costs: ClassVar[bool] = False
    takes_group: ClassVar[bool] = False
    reads_stored: ClassVar[bool] = False

    @abstractmethod
    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        """Distinct pool indices in the order of selection, shape (batch_size,), or fewer if nothing is left to gain."""


class Open:
    """Keeps track of the pool points that may still be selected.

    Attributes:
        points: whether a point may still be selected, shape (n_pool,); None: all points that are not selected yet.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.points = None if limits.candidates is None else limits.candidates.clone()
        if limits.groups is not None:
            self.points = torch.ones_like(limits.groups, dtype=torch.bool) if self.points is None else self.points
            self._n_chosen = limits.groups.new_zeros(int(limits.groups.max()) + 1)  # of each group

    def among(self, points: Tensor) -> Tensor:
        """Restrict a mask of points, shape (n_pool,), to those that may be selected."""
        return points if self.points is None else points & self.points

    def rank(self, scores: Tensor, rows: Rows = slice(None)) -> Tensor:
        """Scores of some points per cost, shape (n_rows,); 0 for points that must not be selected."""
        scores = scores if self.limits.costs is None else scores / self.limits.costs[rows]
        return scores if self.points is None else torch.where(self.points[rows], scores, 0.0)

    def close(self, index: Tensor) -> None:
        """Mark points, shape (n_chosen,), as selected, and close their groups if these are full."""
        if self.points is None:
            return
        self.points.index_fill_(0, index, False)
        if self.limits.groups is not None:
            of_chosen = self.limits.groups.index_select(0, index)
            self._n_chosen.index_add_(0, of_chosen, torch.ones_like(of_chosen))
            self.points &= (self._n_chosen < self.limits.per_group).index_select(0, self.limits.groups)

    def first(self, order: Tensor, n: int) -> Tensor:
        """The first n points of an order that may be selected together, or fewer if there are not enough."""
        if self.points is None:
            return order[:n]
        if self.limits.groups is None:
            return order[self.points[order]][:n]
        chosen = [order[:0]]
        for index in torch.split(order[self.points[order]], 1):
            if len(chosen) <= n and bool(self.points[index]):
                chosen.append(index)
                self.close(index)
        return torch.cat(chosen)


PICKS_AT_ONCE = {"cpu": 1, "cuda": 16}
"""Points that are picked before somebody looks at them: a GPU would wait for its next work in the meantime."""

N_FIRST = 2
"""Picks before one is recorded: the first may be chosen in another way, since nothing is selected yet."""


class GreedyState(ABC):
    """The state of a greedy selection, which proposes a point and then adds it, without waiting for a GPU.

    Of several processes, each has the state of its own points and proposes one of them.

    Attributes:
        repeats: whether, from the third point on, this is the same operations in the same memory, as `Repeated` wants.
    """

    repeats: bool = False

    @abstractmethod
    def best(self, still: Open) -> Pick:
        """The best of this process's points that are still open, none if it has none.

        Any point with a score of 0 or less if there is nothing to gain.
        """

    @abstractmethod
    def add(self, index: Tensor) -> None:
        """Count a pool point, shape (1,), as selected."""

    def recompute(self, chosen: Tensor) -> bool:
        """Recompute everything from the points chosen so far, shape (n_chosen,). Return whether that can help.

        Called if there seems to be nothing left to gain; by then, more points have been added.
        """
        return False


def greedy(state: GreedyState, problem: SelectionProblem, batch_size: int) -> Tensor:
    """Add the best point until the batch is full or nothing is left to gain."""
    device = problem.pool.device
    still, batch, n_recomputed = Open(problem.limits), list[int](), -1
    at_once = most = PICKS_AT_ONCE[device.type]
    pick = _picking(state, still, problem)
    while len(batch) < batch_size:
        picks = torch.stack([pick() for _ in range(min(at_once, batch_size - len(batch)))])
        good = list(takewhile(lambda numbers: not numbers[1] <= 0, picks.tolist()))  # a NaN is no score, but a pick
        for index, score in good:
            problem.on_pick(int(index), score)
            batch.append(int(index))
        at_once = min(2 * at_once, most)
        if len(good) < len(picks):
            chosen = torch.tensor(batch, dtype=torch.long, device=device)
            if n_recomputed == len(batch) or not state.recompute(chosen):
                break
            still, at_once, n_recomputed = Open(problem.limits), 1, len(batch)
            still.close(problem.group.rows(chosen))
            pick = _picking(state, still, problem)
    return torch.tensor(batch, dtype=torch.long, device=device)


def _picking(state: GreedyState, still: Open, problem: SelectionProblem) -> Callable[[], Tensor]:
    """A function that adds the best point and returns its index and score, shape (2,), in float64."""
    pool, group = problem.pool, problem.group

    def pick() -> Tensor:
        index, score = group.best(*state.best(still))
        state.add(index)
        still.close(group.rows(index))
        return torch.cat([index.to(torch.float64), score.to(torch.float64)])

    if not state.repeats or pool.device.type != "cuda" or not isinstance(pool, DenseFeatures):
        return pick
    repeated = Repeated(pick, pool.device, N_FIRST)
    return lambda: repeated().clone()


def largest(scores: Tensor) -> Pick:
    """The point with the largest of the scores, shape (n_pool,), none of which may be NaN; none if there are none."""
    if not len(scores):
        return scores.to(torch.long), scores
    score, index = scores.max(dim=0, keepdim=True)
    return index, score


def largest_number(scores: Tensor) -> Pick:
    """The same where some may be NaN: NaN for one point must not affect the others."""
    if scores.device.type == "cpu":  # to look costs less than a pass over all
        index, score = largest(scores)
        if not len(scores) or not math.isnan(float(score)):
            return index, score
    return largest(scores.nan_to_num(nan=0.0))
