"""Training of a stack of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import get_args

import torch
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.regressor.stack import Activation, NetworkStack


@dataclass(frozen=True)
class Training:
    """Network and training of the paper; the defaults are its ReLU column (arXiv 2203.09410, Section 5.1).

    Adam with its default betas on the mean squared error, learning rate falling linearly to 0 over all steps, no
    weight decay. Raises BmdalError for an unknown activation or a number that is not positive.
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
            if not getattr(self, field.name) > 0:
                raise BmdalError(f"training.{field.name} must be greater than 0, got {getattr(self, field.name)}")


@dataclass(frozen=True)
class TrainingData:
    """Points of one network: inputs (n, d) and targets (n,), to train on and to choose the best epoch by."""

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
    """Train every network of the stack on its own data and leave it with the parameters of its best epoch.

    Each epoch has a fresh shuffle and drops an incomplete last batch; after it the RMSE on the validation points
    counts. Nothing waits for the device within an epoch.

    Args:
        stack: m networks, changed in place.
        data: the points of each network; all with the same numbers of points.
        generators: for each network the source of its shuffles.
        on_epoch: told the number of epochs that are done.
    Returns: best validation RMSE of each network, shape (m,); infinite where it never was a number.
    """
    n = len(data[0].X)
    batch_size = min(training.batch_size, n)
    n_batches = n // batch_size
    n_steps = training.n_epochs * n_batches
    X_valid = torch.stack([d.X_valid for d in data])
    y_valid = torch.stack([d.y_valid for d in data])

    parameters = list(stack.parameters())
    optimizer = torch.optim.Adam(parameters, lr=training.learning_rate, fused=True)
    best = [p.detach().clone() for p in parameters]
    best_rmse = torch.full((len(stack),), torch.inf, device=X_valid.device)
    step = 0
    for epoch in range(training.n_epochs):
        orders = [torch.randperm(n, generator=g).to(X_valid.device) for g in generators]
        X = torch.stack([d.X[order] for d, order in zip(data, orders, strict=True)])
        y = torch.stack([d.y[order] for d, order in zip(data, orders, strict=True)])
        for start in range(0, n_batches * batch_size, batch_size):
            batch = slice(start, start + batch_size)
            optimizer.param_groups[0]["lr"] = training.learning_rate * (1 - step / n_steps)
            loss = (stack(X[:, batch]) - y[:, batch]).square().mean(dim=1).sum()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        with torch.no_grad():
            rmse = (stack(X_valid) - y_valid).square().mean(dim=1).sqrt()
            better = rmse < best_rmse
            best_rmse = torch.where(better, rmse, best_rmse)
            for p, b in zip(parameters, best, strict=True):
                torch.where(better.view(-1, *[1] * (p.ndim - 1)), p, b, out=b)
        on_epoch(epoch + 1)
    with torch.no_grad():
        for p, b in zip(parameters, best, strict=True):
            p.copy_(b)
    return best_rmse
