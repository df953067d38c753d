"""The problem for speed measurements: a network trained on real data, training points and a pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.randomness import generator
from benchmark.split import make_split, scale_inputs
from benchmark.task import Task
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train
from data_prep import PreparedData


@dataclass(frozen=True)
class SpeedProblem:
    """A trained network with its points, all on one device.

    Attributes:
        network: the benchmark's ReLU network, trained on the training points.
        points: training and validation points.
        x_pool: inputs to choose from, shape (n_pool, d).
    """

    network: nn.Sequential
    points: TrainingData
    x_pool: Tensor


def make_points(data: PreparedData, n_train: int, n_pool: int, device: torch.device) -> tuple[TrainingData, Tensor]:
    """Return n_train random training points, validation points and pool inputs of split 0.

    If n_pool is larger than the data set allows, rows are repeated with a little noise.
    """
    split = make_split(len(data.y), data.n_test, Task(), 0)
    X = torch.from_numpy(scale_inputs(data.X, split)).to(device)
    y = torch.from_numpy(np.array(data.y)).to(device)
    order = np.concatenate([split.train, split.pool])
    n_train = min(n_train, len(order) // 2)
    rows, pool = order[:n_train], order[n_train:]
    x_pool = X[np.resize(pool, n_pool)]
    if n_pool > len(pool):
        noise = torch.randn(x_pool.shape, generator=generator(0, 0, "selection"))
        x_pool[len(pool) :] += 0.01 * noise[len(pool) :].to(device)
    return TrainingData(X[rows], y[rows], X[split.valid], y[split.valid]), x_pool


def make_problem(data: PreparedData, n_train: int, n_pool: int, n_epochs: int, device: torch.device) -> SpeedProblem:
    """Return the points of `make_points` and a network trained on them."""
    points, x_pool = make_points(data, n_train, n_pool, device)
    initialization, shuffling = generator(0, 0, "initialization"), generator(0, 0, "shuffling")
    stack = NetworkStack(points.X.shape[1], "relu", 0.2, 0.2, [initialization], device)
    train(stack, [points], Training(n_epochs=n_epochs), [shuffling])
    return SpeedProblem(stack.network(0), points, x_pool)
