"""`igs` with models: labels and predictions from networks and from members."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import naive
import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestRegressor
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from toys import normal, torch_network

from bmdal import BmdalError, IncompatibleError, Method, select, select_batch
from bmdal.members import MCDropout
from bmdal.regressor import NetworkRegressor

X, POOL = normal(12, 4, seed=1), normal(80, 4, seed=2)
POINTS = torch.cat([POOL, X])
NET = torch_network()
with torch.no_grad():
    y, f = NET(X)[:, 0] + 0.1 * normal(12, seed=3), NET(POOL)[:, 0]


def expected(y: Tensor, f: Tensor, Phi: Tensor = POINTS) -> list[int]:
    return naive.igs(Phi @ Phi.T, len(f), y.tolist(), f.tolist(), 9)


def chosen(models: Any = NET, name: str = "igs-tp_linear", pool: Any = POOL, y: Any = y, **options: Any) -> list[int]:
    batch = select_batch(name, models, X, y, pool, 9, 0, **options)
    assert batch.notes in (
        (),
        ("copies of points were not searched for, because the points are not a table in memory",),
    )
    return batch.indices.tolist()


def test_networks_against_the_formula() -> None:
    assert chosen() == expected(y, f)
    assert chosen(y=y[:, None].numpy()) == expected(y, f)
    assert chosen(pool=TensorDataset(POOL)) == expected(y, f)
    kept = list(range(5, 80))
    assert chosen(exclude=range(5)) == [5 + i for i in expected(y, f[5:], torch.cat([POOL[kept], X]))]


def test_the_mean_of_an_ensemble() -> None:
    others = [NET, torch_network(seed=1)]
    with torch.no_grad():
        mean = (f + others[1](POOL)[:, 0]) / 2
    batch = select_batch("igs-tp_linear_ens-2", others, X, y, POOL, 9, 0)
    assert batch.indices.tolist() == expected(y, mean) != expected(y, f)


def test_one_of_several_outputs() -> None:
    net = torch_network(n_outputs=2)
    with torch.no_grad():
        of_second, y_second = net(POOL)[:, 1], net(X)[:, 1]
    assert chosen(net, y=y_second, output=1) == expected(y_second, of_second)


def test_a_regressor_whose_networks_predict_standardized_targets() -> None:
    targets = 1e3 + 50 * y.numpy()
    model = NetworkRegressor(n_epochs=60, random_state=0, device="cpu").fit(X.numpy(), targets)
    standardized, f = ((v - model.y_mean_) / model.y_scale_ for v in (targets, model.predict(POOL.numpy())))
    assert chosen(model, y=standardized) == expected(torch.tensor(standardized), torch.tensor(f))
    (note,) = select_batch("igs-tp_linear", model, X, targets, POOL, 9, 0).notes
    assert "is the model trained, and on labels in the units of y_train?" in note


def test_members_of_a_forest() -> None:
    forest = RandomForestRegressor(20, random_state=0).fit(X.numpy(), y.numpy())
    P = [np.stack([t.predict(p.numpy().astype(np.float32)) for t in forest.estimators_], axis=1) for p in (POOL, X)]
    Phi = torch.tensor(np.concatenate([p - p.mean(axis=1, keepdims=True) for p in P]))
    assert chosen(forest, "igs-tp_pred") == expected(y, torch.tensor(P[0].mean(axis=1)), Phi)


def nan_for_some(points: Tensor) -> Tensor:
    return torch.where((points[:, None] == POOL[3:5]).all(dim=2).any(dim=1), torch.nan, points[:, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select("igs-tp", POOL, 9, 0, train=X, y_train=y), "'igs-tp_linear': 'igs' needs labels and predict"),
        (lambda: select_batch("igs-tp_linear", NET, X, None, POOL, 9, 0), "'igs-tp_linear' needs the training labels"),
        (lambda: select_batch("igs-tp_pred", [NET, NET], X, None, POOL, 9, 0), "'igs-tp_pred' needs the training lab"),
        (lambda: select_batch("igs-tp_pred", [NET, NET], None, y[:0], POOL, 9, 0), "needs labelled points and their"),
        (
            lambda: chosen(torch_network(n_outputs=2), output=[1, 0]),
            r"works on a single output, not on output=\[1, 0\]",
        ),
        (lambda: Method.from_name("igs-p_linear"), r"valid: igs-tp \(mode=TP\)"),
    ],
)
def test_refused_before_anything_is_computed(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chosen(torch_network(n_outputs=2)), r"2 output\(s\) and y_train 1 target"),
        (lambda: chosen(torch_network(n_outputs=2), y=normal(12, 2)), r"y_train must have shape \(12,\) or \(12, 1\)"),
        (lambda: chosen([torch_network(n_outputs=2)] * 2, "igs-tp_pred"), r"a single output, not on output=\[0, 1\]"),
        (lambda: chosen(Function(nan_for_some)), "the model's prediction for x_pool has a NaN .* in row 3"),
        (lambda: chosen(y=torch.full((12,), torch.nan)), "y_train has a NaN"),
    ],
)
def test_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(BmdalError, match=message):
        call()


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def test_a_model_without_differences() -> None:
    """Where the predictions are the labels, there is nothing to gain."""
    batch = select_batch("igs-tp_linear", Function(lambda x: 0 * x[:, 0]), X, torch.zeros(12), POOL, 9, 0)
    assert batch.n_filled == 9


def test_dropout_members() -> None:
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)).double()
    members = MCDropout(net, 8)
    first = select_batch("igs-tp_pred", members, X, y, POOL, 9, 0).indices.tolist()
    assert first == select_batch("igs-tp_pred", members, X, y, POOL, 9, 0).indices.tolist()
