"""Training of a stack of networks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import get_args

import torch
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.regressor.epoch import Epoch
from bmdal.regressor.stack import Activation, NetworkStack


@dataclass(frozen=True)
class Training:
    """Network and training of the paper; the defaults are its ReLU column (arXiv 2203.09410, Section 5.1).

    Adam with its default betas on the mean squared error, without weight decay. The learning rate decreases linearly to
    0 over all steps. Raises BmdalError for an unknown activation or a number that is not positive.
    """

    activation: Activation = "relu"
    sigma_w: float = 0.2
    sigma_b: float = 0.2
    learning_rate: float = 0.375
    n_epochs: int = 256
    batch_size: int = 256

    def __post_init__(self) -> None:
        if self.activation not in get_args(Activation):
            valid = ", ".join(get_args(Activation))
            raise BmdalError(f"training.activation {self.activation!r} is unknown; valid: {valid}")
        for field in fields(self)[1:]:
            value, whole = getattr(self, field.name), field.name in ("n_epochs", "batch_size")
            is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
            if not (is_number and 0 < value <= sys.float_info.max):
                kind = "a whole number" if whole else "a number"
                raise BmdalError(f"training.{field.name} must be {kind} greater than 0, got {value!r}")


@dataclass(frozen=True)
class TrainingData:
    """Points of one network, inputs (n, d) and targets (n,): those to train on and those to choose the best epoch."""

    X: Tensor
    y: Tensor
    X_valid: Tensor
    y_valid: Tensor


def train(
    stack: NetworkStack,
    data: Sequence[TrainingData],
    training: Training,
    generators: Sequence[torch.Generator],
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> Tensor:
    """Train each network of the stack on its own data and keep the parameters of its best epoch.

    Each epoch uses a new shuffle and drops an incomplete last batch. The best epoch has the smallest RMSE on the
    validation points. On a GPU, all networks take each step together, and nothing waits for the device within an epoch.
    On a CPU, each network goes through an epoch separately, so that its parameters stay in the cache.

    Args:
        stack: m networks, changed in place.
        data: the points of each network; all have the same numbers of points.
        training: number of epochs, batch size and learning rate.
        generators: one per network, the source of its shuffles.
        on_epoch: called with the number of finished epochs after each epoch.
    Returns: best validation RMSE of each network, shape (m,); infinite if it was always NaN.
    """
    m, n = len(data), len(data[0].X)
    batch_size = min(training.batch_size, n)
    n_steps = training.n_epochs * (n // batch_size)
    X, y = torch.stack([d.X for d in data]), torch.stack([d.y for d in data])
    X_valid, y_valid = torch.stack([d.X_valid for d in data]), torch.stack([d.y_valid for d in data])
    with torch.no_grad():
        together = [slice(0, m)] if X.is_cuda else [slice(k, k + 1) for k in range(m)]
        epochs = [
            Epoch(stack, k, X[k], y[k], X_valid[k], y_valid[k], batch_size, training.learning_rate, n_steps)
            for k in together
        ]
        for number in range(training.n_epochs):
            orders = torch.stack([torch.randperm(n, generator=g, device=g.device) for g in generators])
            if X.is_cuda and not orders.is_cuda:
                orders = orders.pin_memory().to(X.device, non_blocking=True)  # from elsewhere it would wait for the GPU
            for epoch in epochs:
                epoch.run(orders[epoch.networks])
            on_epoch(number + 1)
        for epoch in epochs:
            epoch.load_best()
    return torch.cat([epoch.best_rmse for epoch in epochs])
