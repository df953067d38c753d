"""Greedy selection by gains that only fall: most points need not be looked at again."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from bmdal.selection.base import GreedyState, Open, Pick, Rows, largest_number

N_FRONT = 4096
"""Number of points that are looked at while the best of them has a larger score than all others."""
N_FIRST = 32
"""Number of the most promising points that are updated first."""
CHUNK = 2048
"""Number of points updated at a time after that."""


class Lazy(GreedyState):
    """Gains are computed when they are needed.

    A gain only ever falls, so the last known gain is an upper bound: only points whose bound exceeds the largest gain
    that is known to be up to date have to be looked at. This waits for numbers, so it is for the CPU.

    Attributes:
        gains: the last known gains, shape (n_pool,); -inf for selected points.
        n_known: of each point, for how many of the selected points its gain was last computed, shape (n_pool,).
        n_selected: number of selected points.
        front: the points whose scores were at least `floor` at some time, in the order of the pool, shape (n_front,).
    """

    def __init__(self, gains: Tensor) -> None:
        self.gains = gains
        self.n_known = torch.zeros(len(gains), dtype=torch.long, device=gains.device)
        self.n_selected = 0
        self.front, self.floor = self.n_known[:0], torch.inf

    def best(self, still: Open) -> Pick:
        while True:
            scores = self.scores(still, self.front)
            if not bool((scores >= self.floor).any()):
                scores = self._choose_front(still)
            best, score = largest_number(scores)
            best_score = float(score)
            if best_score <= 0 or int(self.n_known[self.front[best]]) == self.n_selected:
                return self.front[best], score
            values, first = scores.topk(min(N_FIRST, len(scores)))
            if float(values[-1]) == best_score:  # of many equal ones `topk` may have taken others
                first = torch.cat([first[first != best], best])
            self._bring_up_to_date(self.front[first])
            scores = self.scores(still, self.front)
            self._bring_up_to_date(self.front[scores > scores[first].max()])

    def _choose_front(self, still: Open) -> Tensor:
        """Return the scores of the front: the largest N_FRONT, and all that are equal to the last of these."""
        scores = self.scores(still, slice(None)).nan_to_num(nan=0.0)
        self.floor = float(scores.topk(min(N_FRONT, len(scores))).values[-1])
        self.front = (scores >= self.floor).nonzero()[:, 0]
        return scores[self.front]

    def add(self, index: Tensor) -> None:
        self.observe(index)
        self.gains.index_fill_(0, index, -torch.inf)
        self.n_selected += 1

    def scores(self, still: Open, rows: Rows) -> Tensor:
        """What points are ranked by, shape (n_rows,)."""
        return still.rank(self.gains[rows], rows)

    @abstractmethod
    def observe(self, index: Tensor) -> None:
        """Count a pool point, shape (1,), whose gain is up to date, as selected."""

    @abstractmethod
    def current(self, rows: Tensor) -> Tensor:
        """The gains of some pool points, shape (n_rows,)."""

    def _bring_up_to_date(self, rows: Tensor) -> None:
        stale = rows[(self.n_known[rows] < self.n_selected) & (self.gains[rows] > 0)]
        for start in range(0, len(stale), CHUNK):
            part = stale[start : start + CHUNK]
            self.gains[part] = self.current(part)
            self.n_known[part] = self.n_selected
