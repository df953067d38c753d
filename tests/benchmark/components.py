"""Selection methods that go wrong, for tests of what happens then; `imports=[components]` registers them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bmdal import register
from bmdal.selection import Selection, SelectionProblem


@register
@dataclass(frozen=True)
class Breaks(Selection):
    """The first points of the pool, but an error as soon as there are more than `n` training points."""

    n: int
    tokens = ("breaks-{n}",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        if len(problem.train) > self.n:
            raise RuntimeError(f"broken at {len(problem.train)} training points")
        return torch.arange(batch_size)


@register
@dataclass(frozen=True)
class Hungry(Selection):
    """The first points of the pool, but its first `n` calls ask for a petabyte."""

    n: int
    tokens = ("hungry-{n}",)
    modes = ()
    calls: ClassVar[list[int]] = []

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        self.calls.append(len(problem.train))
        if len(self.calls) <= self.n:
            torch.empty(2**50, dtype=torch.uint8)
        return torch.arange(batch_size)
