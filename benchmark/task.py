"""The active-learning task: how many points are labelled, and when."""

from __future__ import annotations

from dataclasses import dataclass, fields

from benchmark.errors import BenchmarkError


@dataclass(frozen=True)
class Task:
    """Train on `n_initial` points, then label `batch_size` more in each of `n_rounds` (arXiv 2203.09410, Section 5.1).

    `n_valid` points are used to choose the best epoch of each training. Raises BenchmarkError unless all are positive.
    """

    batch_size: int = 256
    n_rounds: int = 16
    n_initial: int = 256
    n_valid: int = 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise BenchmarkError(f"task.{field.name} must be a whole number of at least 1, got {value!r}")

    @property
    def name(self) -> str:
        """Batch size x rounds, e.g. "256x16"."""
        return f"{self.batch_size}x{self.n_rounds}"

    @property
    def n_train_valid_and_pool(self) -> int:
        """The minimum number of points outside the test set."""
        return self.n_initial + self.n_valid + self.batch_size * self.n_rounds
