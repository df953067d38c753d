"""What a selection method is, and the greedy loop that most of them share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from bmdal.component import Component
from bmdal.features import Features

Mode = Literal["P", "TP"]
"""P: only pool points count as selected. TP: the training points count as already selected."""


@dataclass(frozen=True)
class SelectionProblem:
    """What a selection method chooses from.

    Attributes:
        train: transformed features of the n_train training points.
        pool: transformed features of the n_pool pool points.
        mode: "P" or "TP"; None for a method without modes.
        sigma: standard deviation of the observation noise.
        generator: source of all random draws.
        target: transformed features of the points that matter; None: nobody has said which do.
    """

    train: Features
    pool: Features
    mode: Mode | None
    sigma: float
    generator: torch.Generator
    target: Features | None = None

    @property
    def selected(self) -> Features | None:
        """The points that count as selected before the first one is."""
        return self.train if self.mode == "TP" else None


class Selection(Component):
    """Chooses a batch of pool points (arXiv 2203.09410, Section 4).

    Attributes:
        modes: the modes that the method has, the usual one first; empty if its name carries none.
        needs_kernel: whether it looks at features at all.
        needs_explicit: whether it needs a feature matrix.
        needs_float64: whether features are promoted to float64 first.
        takes_target: whether it looks at target points.
    """

    kind = "selection method"
    modes: ClassVar[tuple[Mode, ...]] = ("P", "TP")
    needs_kernel: ClassVar[bool] = True
    needs_explicit: ClassVar[bool] = False
    needs_float64: ClassVar[bool] = False
    takes_target: ClassVar[bool] = False

    @abstractmethod
    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        """Distinct pool indices in the order of selection, shape (batch_size,), or fewer if it cannot go on."""


class GreedyState(Protocol):
    """The state of a greedy selection: a point is proposed, then added."""

    def best(self) -> int | None:
        """The next point, or None if there is none with a positive score."""

    def add(self, index: int) -> object:
        """Count a pool point as selected."""


def greedy(state: GreedyState, batch_size: int, device: torch.device) -> Tensor:
    """Add the best point until the batch is full or nothing is left to gain."""
    batch: list[int] = []
    while len(batch) < batch_size and (index := state.best()) is not None:
        batch.append(index)
        state.add(index)
    return torch.tensor(batch, dtype=torch.long, device=device)


def argmax_if_positive(scores: Tensor) -> int | None:
    """Index of the largest score, or None if no score is positive."""
    value, index = scores.max(dim=0)
    return int(index) if float(value) > 0 else None
