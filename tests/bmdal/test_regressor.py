"""The network and its training, against a plain loop over one network."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

from bmdal import BmdalError
from bmdal.regressor.epoch import Epoch
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train

CPU = torch.device("cpu")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_stack(m: int, activation: str = "relu") -> NetworkStack:
    generators = [seeded(member) for member in range(m)]
    return NetworkStack(4, activation, 0.4, 0.3, generators, CPU)


def make_data(seed: int) -> TrainingData:
    g = seeded(seed)
    X, V = torch.randn(70, 4, generator=g), torch.randn(30, 4, generator=g)

    def f(x: Tensor) -> Tensor:
        return x[:, 0] * x[:, 1] + torch.sin(x[:, 2])

    return TrainingData(X, f(X), V, f(V))


def test_parametrization_and_initialization() -> None:
    stack = make_stack(2)
    x = torch.randn(2, 5, 4, generator=seeded(3))
    for bias in stack.biases:
        assert bias.abs().max() == 0
        bias.data.normal_(generator=seeded(4))
    h = x[1]
    for layer, (W, b) in enumerate(zip(stack.weights, stack.biases, strict=True)):
        h = 0.4 / W.shape[2] ** 0.5 * h @ W[1].T + 0.3 * b[1]
        h = h.relu() if layer < 2 else h
    torch.testing.assert_close(stack(x)[1], h[:, 0])
    torch.testing.assert_close(stack.network(1)(x[1])[:, 0], stack(x)[1])
    assert [tuple(W.shape) for W in stack.weights] == [(2, 512, 4), (2, 512, 512), (2, 1, 512)]
    assert stack.weights[1].std().item() == pytest.approx(1, abs=0.01)


def naive_training(stack: NetworkStack, data: TrainingData, training: Training, g: torch.Generator) -> Tensor:
    """One network, trained as the protocol says; returns its best validation RMSE and leaves the best epoch in it."""
    optimizer = torch.optim.Adam(stack.parameters(), lr=training.learning_rate)
    n, b = len(data.X), training.batch_size
    n_steps, step = training.n_epochs * (n // b), 0
    best, best_state = torch.tensor(torch.inf), None
    for _ in range(training.n_epochs):
        order = torch.randperm(n, generator=g)
        for start in range(0, n - b + 1, b):
            rows = order[start : start + b]
            optimizer.param_groups[0]["lr"] = training.learning_rate * (1 - step / n_steps)
            optimizer.zero_grad()
            (stack(data.X[rows][None])[0] - data.y[rows]).square().mean().backward()
            optimizer.step()
            step += 1
        with torch.no_grad():
            rmse = (stack(data.X_valid[None])[0] - data.y_valid).square().mean().sqrt()
        if rmse < best:
            best, best_state = rmse, copy.deepcopy(stack.state_dict())
    stack.load_state_dict(best_state)
    return best


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_stack_trains_like_single_networks(activation: str) -> None:
    """Three networks side by side, on data of their own, equal three trainings one by one."""
    training = Training(activation=activation, learning_rate=0.05, n_epochs=6, batch_size=32)
    stack, data = make_stack(3, activation), [make_data(seed) for seed in range(3)]
    best = train(stack, data, training, [seeded(70 + k) for k in range(3)])
    for k in range(3):
        single = NetworkStack(4, activation, 0.4, 0.3, [seeded(k)], CPU)
        expected = naive_training(single, data[k], training, seeded(70 + k))
        torch.testing.assert_close(best[k], expected, rtol=1e-3, atol=1e-4)
        for p, q in zip(stack.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(p[k], q[0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_steps_of_all_networks_together(activation: str) -> None:
    """What `train` does on a GPU, networks that take each step together, done on the CPU."""
    training = Training(activation=activation, learning_rate=0.05, n_epochs=6, batch_size=32)
    alone, together, data = make_stack(3, activation), make_stack(3, activation), [make_data(seed) for seed in range(3)]
    best = train(alone, data, training, [seeded(70 + k) for k in range(3)])
    points = [torch.stack([getattr(d, field.name) for d in data]) for field in dataclasses.fields(TrainingData)]
    with torch.no_grad():
        epoch = Epoch(together, slice(0, 3), *points, training.batch_size, training.learning_rate, n_steps=12)
        generators = [seeded(70 + k) for k in range(3)]
        for _ in range(training.n_epochs):
            epoch.run(torch.stack([torch.randperm(70, generator=g) for g in generators]))
        epoch.load_best()
    torch.testing.assert_close(epoch.best_rmse, best, rtol=1e-3, atol=1e-4)
    for p, q in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)


def test_learns() -> None:
    stack, data = make_stack(1), make_data(0)
    before = (stack(data.X_valid[None])[0] - data.y_valid).square().mean().sqrt()
    epochs: list[int] = []
    best = train(stack, [data], Training(n_epochs=60, batch_size=32), [seeded(0)], epochs.append)
    assert best[0] < 0.6 * before
    assert epochs == list(range(1, 61))
    torch.testing.assert_close((stack(data.X_valid[None])[0] - data.y_valid).square().mean().sqrt(), best[0])


def test_batch_larger_than_the_training_set() -> None:
    stack, data = make_stack(1), make_data(0)
    assert torch.isfinite(train(stack, [data], Training(n_epochs=2, batch_size=256), [seeded(0)]))


@pytest.mark.gpu
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_trains_on_every_gpu_as_on_the_cpu(activation: str) -> None:
    """From the third epoch on a GPU replays a graph; networks may live on another GPU than the current one."""
    training, data = Training(activation=activation, n_epochs=8, batch_size=70, learning_rate=0.01), make_data(0)
    on_cpu = make_stack(2, activation)
    expected = train(on_cpu, [data] * 2, training, [seeded(5), seeded(6)])
    X = torch.stack([data.X] * 2)
    for number in range(torch.cuda.device_count()):
        device = torch.device("cuda", number)
        stack = make_stack(2, activation).to(device)
        there = TrainingData(*(getattr(data, f.name).to(device) for f in dataclasses.fields(data)))
        best = train(stack, [there] * 2, training, [seeded(5), seeded(6)])
        torch.testing.assert_close(best.cpu(), expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(stack(X.to(device)).cpu(), on_cpu(X), rtol=1e-2, atol=1e-2)


def test_divergence_shows_as_infinity() -> None:
    data = make_data(0)
    data.y[0] = torch.nan
    stack = make_stack(1)
    best = train(stack, [data], Training(n_epochs=2, batch_size=70), [seeded(0)])
    assert best.tolist() == [torch.inf]


def test_messages() -> None:
    with pytest.raises(BmdalError, match=r"activation 'tanh' is unknown; valid: relu, silu"):
        Training(activation="tanh")
    with pytest.raises(BmdalError, match=r"training\.n_epochs must be a whole number greater than 0, got 0"):
        Training(n_epochs=0)
    with pytest.raises(BmdalError, match=r"training\.batch_size must be a whole number greater than 0, got 0\.5"):
        Training(batch_size=0.5)
    with pytest.raises(BmdalError, match=r"training\.learning_rate must be a number greater than 0, got inf"):
        Training(learning_rate=float("inf"))
    with pytest.raises(BmdalError, match=r"training\.learning_rate must be a number greater than 0, got 'high'"):
        Training(learning_rate="high")
