"""Models with members: the batch of the kernel of their predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from skactiveml.regressor import SklearnRegressor
from sklearn.compose import make_column_transformer
from sklearn.ensemble import BaggingRegressor, ExtraTreesRegressor, GradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from torch import nn
from toys import generator

from bmdal import BmdalError, Method, select, select_batch
from bmdal.adapters.skactiveml import BatchQueryStrategy
from bmdal.members import MCDropout
from bmdal.regressor import NetworkRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 3))
y = X[:, 0] * X[:, 1] + np.sin(2 * X[:, 2])
TRAIN, POOL = slice(0, 60), slice(60, 400)
NAMES = ["bait-f-p_pred", "maxdet-p_pred", "lcmd-tp_pred", "maxdist-p_pred", "kmeanspp-p_pred_train", "maxdiag_pred"]


def forest(targets: NDArray[np.float64] = y) -> RandomForestRegressor:
    return RandomForestRegressor(20, random_state=0).fit(X[TRAIN], targets[TRAIN])


def features(model: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """phi_i = (f_i - mean_j f_j) / sqrt(K), in units of the spread of the prediction over the training points."""
    predictions = [
        np.stack([t.predict(p.astype(np.float32)) for t in model.estimators_], axis=1) for p in (X[TRAIN], points)
    ]
    unit = predictions[0].mean(axis=1).std(axis=0)
    P = predictions[1] / unit
    return ((P - P.mean(axis=1, keepdims=True)) / P.shape[1] ** 0.5).reshape(len(points), -1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("outputs", [1, 2])
def test_forests_against_the_formula(name: str, outputs: int) -> None:
    model = forest(y if outputs == 1 else np.stack([y, 1e6 * X[:, 0]], axis=1))
    chosen = select_batch(name, model, X[TRAIN], None, X[POOL], 15, 0).indices.tolist()
    linear = Method.from_name(name.replace("pred", "linear"), sigma=0.1)
    expected = select(linear, features(model, X[POOL]), 15, 0, train=features(model, X[TRAIN]), distinct=False)
    assert chosen == expected.indices.tolist()


def test_the_default_and_its_noise() -> None:
    model = forest()
    assert Method.from_name("bait-f-p_pred").sigma == 0.1
    assert Method.from_name("bait-f-p_ll").sigma == 1e-3
    default = select_batch(None, model, X[TRAIN], None, X[POOL], 9, 0).indices.tolist()
    assert default == select_batch("bait-f-p_pred", model, X[TRAIN], None, X[POOL], 9, 0).indices.tolist()
    network = NetworkRegressor(n_epochs=2, random_state=0).fit(X[TRAIN], y[TRAIN])
    chosen = select_batch(None, network, X[TRAIN], None, X[POOL], 9, 0).indices.tolist()
    assert (
        chosen == select_batch("lcmd-tp_grad_rp-512", network.networks_, X[TRAIN], None, X[POOL], 9, 0).indices.tolist()
    )


def test_units_of_the_target_do_not_matter() -> None:
    plain = select_batch(None, forest(), X[TRAIN], None, X[POOL], 15, 0).indices.tolist()
    assert select_batch(None, forest(2.0**20 * y), X[TRAIN], None, X[POOL], 15, 0).indices.tolist() == plain


def test_a_matrix_of_predictions() -> None:
    model = forest()
    of_train, of_pool = (
        np.stack([t.predict(X[rows].astype(np.float32)) for t in model.estimators_], axis=1) for rows in (TRAIN, POOL)
    )
    for P, Q in ((of_train, of_pool), (torch.tensor(of_train)[:, :, None], torch.tensor(of_pool)[:, :, None])):
        given = select("bait-f-p_pred", Q, 15, 0, train=P).indices.tolist()
        assert given == select_batch(None, model, X[TRAIN], None, X[POOL], 15, 0).indices.tolist()


def test_without_training_points_and_with_targets() -> None:
    model = forest()
    first = select_batch(None, model, None, None, X[POOL], 9, 0).indices
    assert len(set(first.tolist())) == 9
    target = X[POOL][:40] * 0.1
    for name in ("epig-p_pred", "bait-f-p_pred"):
        linear = Method.from_name(name.replace("pred", "linear"), sigma=0.1)
        given = {"train": features(model, X[TRAIN]), "target": features(model, target)}
        expected = select(linear, features(model, X[POOL]), 9, 0, **given).indices.tolist()
        assert select_batch(name, model, X[TRAIN], None, X[POOL], 9, 0, x_target=target).indices.tolist() == expected
    with pytest.raises(BmdalError, match="'lcmd-tp_pred': mode TP needs labelled points"):
        select_batch("lcmd-tp_pred", model, None, None, X[POOL], 9, 0)


def test_pipelines_on_frames_with_words() -> None:
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(kind=np.where(X[:, 0] > 0, "up", "down"))
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    model = make_pipeline(columns, ExtraTreesRegressor(20, random_state=0)).fit(table[TRAIN], y[TRAIN])
    chosen = select_batch(None, model, table[TRAIN], None, table[POOL], 9, 0).indices.tolist()
    inner = model[-1], model[:-1].transform(table)
    assert chosen == select_batch(None, inner[0], inner[1][TRAIN], None, inner[1][POOL], 9, 0).indices.tolist()


def test_other_members() -> None:
    bags = BaggingRegressor(GradientBoostingRegressor(n_estimators=5), 5, random_state=0).fit(X[TRAIN], y[TRAIN])
    ridges = [Ridge(alpha).fit(X[TRAIN], y[TRAIN]) for alpha in (0.1, 10, 1000)]
    net = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1)).double()
    for model in (bags, ridges, MCDropout(net, 8), [lambda X: X[:, 0], lambda X: X[:, 1] ** 2]):
        assert len(set(select_batch(None, model, X[TRAIN], None, X[POOL], 9, 0).indices.tolist())) == 9


def test_a_query_strategy_with_a_forest() -> None:
    labels = np.where(np.arange(400) < 60, y, np.nan)
    expected = 60 + select_batch(None, forest(), X[TRAIN], None, X[POOL], 9, generator()).indices
    for reg in (SklearnRegressor(RandomForestRegressor(20, random_state=0)), RandomForestRegressor(20, random_state=0)):
        rows = BatchQueryStrategy("bait-f-p_pred", random_state=0).query(X, labels, reg, batch_size=9)
        assert rows.tolist() == expected.tolist()


def test_messages() -> None:
    model = forest()
    boosted = GradientBoostingRegressor(n_estimators=5).fit(X[TRAIN], y[TRAIN])
    cases: dict[str, Any] = {
        "for models with members, such as forests, use 'bait-f-p_pred'": lambda: select_batch(
            "lcmd-tp_ll", model, X[TRAIN], None, X[POOL], 9, 0
        ),
        "'lcmd-tp_ll' needs labelled points, x_train": lambda: select_batch(
            "lcmd-tp_ll", nn.Linear(3, 1), None, None, X[POOL], 9, 0
        ),
        "BaggingRegressor": lambda: select_batch(None, boosted, X[TRAIN], None, X[POOL], 9, 0),
        "x_pool must be an array, a frame or a tensor": lambda: select_batch(
            None, model, X[TRAIN], None, X.tolist(), 9, 0
        ),
        "batch_size must be between 1 and the pool size 340": lambda: select_batch(
            None, model, X[TRAIN], None, X[POOL], 341, 0
        ),
        "device is only for kernels of networks; .* stored on the CPU: leave device out": lambda: select_batch(
            None, model, X[TRAIN], None, X[POOL], 9, 0, device="cpu"
        ),
        "'lcmd' does not use target points": lambda: select_batch(
            "lcmd-p_pred", model, None, None, X[POOL], 9, 0, x_target=X[TRAIN]
        ),
        "pool must be predictions of at least two members": lambda: select("bait-f-p_pred", X[:, :1], 3, 0),
        r"same members and outputs, .*\(3,": lambda: select("bait-f-p_pred", X, 3, 0, train=X[:, :2]),
    }
    for message, call in cases.items():
        with pytest.raises(BmdalError, match=message):
            call()


class MeanAndVariance(nn.Module):
    def __init__(self, seed: int, form: str = "tuple") -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body, self.dropout, self.head = nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 2)
        self.form = form

    def forward(self, x: torch.Tensor) -> Any:
        z = self.head(self.dropout(torch.tanh(self.body(x))))
        return {"tuple": (z[:, :1], z[:, 1:]), "matrix": z, "mean": z[:, 0]}[self.form]


@pytest.mark.parametrize("dropout", [False, True])
def test_networks_of_mean_and_variance(dropout: bool) -> None:
    def chosen(form: str, **options: Any) -> list[int]:
        model = MCDropout(MeanAndVariance(0, form), 5) if dropout else [MeanAndVariance(i, form) for i in range(5)]
        return select_batch("bait-f-p_pred", model, X[TRAIN], None, X[POOL], 9, 0, **options).indices.tolist()

    expected = chosen("mean")
    assert chosen("tuple", output=0) == chosen("matrix", output=0) == expected
    assert chosen("tuple", forward=lambda m, b: m(b)[0]) == expected
    assert chosen("matrix") != expected
    with pytest.raises(BmdalError, match="choose the one that counts"):
        chosen("tuple")


def test_outputs_of_estimators() -> None:
    both, single = forest(np.stack([y, 1e6 * X[:, 0]], axis=1)), forest()
    both_forests = [both, forest(np.stack([y**2, X[:, 1]], axis=1))]

    def chosen(model: Any, **options: Any) -> list[int]:
        return select_batch("bait-f-p_pred", model, X[TRAIN], None, X[POOL], 9, 0, **options).indices.tolist()

    assert chosen(both, output=[0, 1]) == chosen(both)
    assert chosen(both, output=0) != chosen(both, output=1)
    functions = [lambda X, model=model: model.predict(X)[:, 0] for model in both_forests]
    assert chosen(both_forests, output=0) == chosen(functions)
    cases: dict[str, Any] = {
        "output=2: the members have 2 output": lambda: chosen(both, output=2),
        "output='mean': the members have": lambda: chosen(both, output="mean"),
        "forward is for networks": lambda: chosen(single, forward=lambda m, b: m(b)),
        "output needs members that are all networks or all other models": lambda: chosen(
            [MeanAndVariance(0, "mean"), single], output=0
        ),
        r"a GaussianProcessRegressor has its own kernel": lambda: chosen(
            GaussianProcessRegressor().fit(X[TRAIN], y[TRAIN])
        ),
    }
    for message, call in cases.items():
        with pytest.raises(BmdalError, match=message):
            call()


def test_outputs_that_are_no_targets() -> None:
    """Such as the logarithm of a variance, which would count as much as the mean."""
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 2)).double() for _ in range(4)]
    x, y, pool = np.ones((5, 3)), np.arange(5.0), np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(
        BmdalError, match=r"predict 2 output\(s\) and y_train has 1 target\(s\): .* for example output=0"
    ):
        select_batch("bait-f-p_pred", networks, x, y, pool, 5, 0)
    one = select_batch("bait-f-p_pred", networks, x, y, pool, 5, 0, output=0).indices.tolist()
    both = select_batch("bait-f-p_pred", networks, x, np.stack([y, y], axis=1), pool, 5, 0).indices.tolist()
    assert one != both
