"""The network as a scikit-learn estimator: its contract, its networks, an active-learning loop."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from toys import generator

from bmdal import BmdalError, Method, select_batch
from bmdal.regressor import NetworkRegressor
from bmdal.regressor.estimator import PAPER

ROOT = Path(__file__).resolve().parents[2]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]


@parametrize_with_checks([NetworkRegressor(n_epochs=20), NetworkRegressor("silu", n_epochs=20, n_models=2)])
def test_scikit_learn_contract(estimator: NetworkRegressor, check: Callable[[NetworkRegressor], None]) -> None:
    check(estimator)


def points(n: int, seed: int = 0) -> Points:
    """y = 10 + 300 (x_1 x_2 + sin x_3), inputs of very different scales."""
    z = np.random.default_rng(seed).normal(size=(n, 3))
    return z * [1, 1e-3, 1e3] + [0, 5, 1e6], 10 + 300 * (z[:, 0] * z[:, 1] + np.sin(z[:, 2]))


def test_learns_at_any_scale() -> None:
    X, y = points(400)
    regressor = NetworkRegressor(n_epochs=60, random_state=0).fit(X, y)
    assert regressor.score(*points(300, seed=1)) > 0.9
    assert regressor.validation_rmse_[0] < 0.3


def test_learns_beside_a_mean_that_float32_cannot_tell() -> None:
    """Points in time, seconds since 1970."""
    X = 1.7e9 + 50 + np.random.default_rng(0).normal(size=(300, 1))
    y = np.sin(X[:, 0] - 1.7e9)
    assert NetworkRegressor(n_epochs=40, random_state=0).fit(X, y).score(X, y) > 0.9


def test_mean_of_an_ensemble_and_the_units_of_its_networks() -> None:
    X, y = points(100)
    regressor = NetworkRegressor(n_epochs=5, n_models=3, random_state=0).fit(X, y)
    assert len(regressor.networks_) == len(regressor.validation_rmse_) == 3
    with torch.no_grad():
        outputs = [network(torch.tensor(X))[:, 0].numpy() for network in regressor.networks_]
    assert all(output.dtype == np.float32 for output in outputs)
    assert np.ptp(outputs, axis=0).max() > 0.01
    expected = y.mean() + y.std(ddof=1) * np.mean(outputs, axis=0)
    np.testing.assert_allclose(regressor.predict(X), expected, rtol=1e-3, atol=1e-2)


def test_inputs_are_scaled_as_in_the_benchmark() -> None:
    X, y = points(50)
    scaling = NetworkRegressor(n_epochs=1).fit(X, y).networks_[0][0]
    z = (X - X.mean(axis=0)) / X.std(axis=0, ddof=1)
    np.testing.assert_allclose(scaling(torch.tensor(X)).numpy(), 5 * np.tanh(z / 5), atol=1e-3)


def test_several_outputs_have_networks_of_their_own() -> None:
    X, y = points(300)
    Y = np.stack([y, -1e-3 * X[:, 0], np.full(300, 7.0)], axis=1)
    regressor = NetworkRegressor(n_epochs=40, n_models=2, random_state=0).fit(X, Y)
    predicted = regressor.predict(X)
    assert predicted.shape == (300, 3)
    assert len(regressor.networks_) == 6
    errors = np.abs(predicted - Y).mean(axis=0) / np.maximum(Y.std(axis=0), 1e-9)
    assert errors[0] < 0.3
    assert errors[1] < 0.1
    np.testing.assert_allclose(predicted[:, 2], 7, atol=0.2)
    method = Method.from_name("lcmd-tp_grad_rp-64_ens-6")
    chosen = select_batch(method, regressor.networks_, X[:20], None, X[20:], 10, generator()).indices
    assert len(set(chosen.tolist())) == 10
    assert NetworkRegressor(n_epochs=1).fit(X, Y[:, :1]).predict(X).shape == (300, 1)


def test_deterministic_under_random_state() -> None:
    X, y = points(60)
    regressor = NetworkRegressor(n_epochs=3, n_models=2, random_state=3)
    predictions = regressor.fit(X, y).predict(X)
    torch.manual_seed(123)
    np.random.seed(5)
    assert np.array_equal(clone(regressor).fit(X, y).predict(X), predictions)
    assert np.array_equal(pickle.loads(pickle.dumps(regressor)).predict(X), predictions)
    assert np.array_equal(copy.deepcopy(regressor).predict(X), predictions)
    assert not np.allclose(regressor.set_params(random_state=4).fit(X, y).predict(X), predictions)


def test_a_pickled_ensemble_holds_each_network_once() -> None:
    X, y = points(20)
    one, four = (len(pickle.dumps(NetworkRegressor(n_epochs=1, n_models=m).fit(X, y))) for m in (1, 4))
    assert four < 4.1 * one


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_few_points(n: int) -> None:
    X, y = points(n)
    assert np.isfinite(NetworkRegressor(n_epochs=2, batch_size=2).fit(X, y).predict(X)).all()


def test_frames() -> None:
    X, y = points(40)
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    regressor = NetworkRegressor(n_epochs=2, random_state=0).fit(table, pd.Series(y))
    assert list(regressor.feature_names_in_) == ["a", "b", "c"]
    assert np.array_equal(regressor.predict(table), clone(regressor).fit(X, y).predict(X))
    with pytest.raises(ValueError, match="feature names"):
        regressor.predict(table[["b", "a", "c"]])


def test_grid_search() -> None:
    search = GridSearchCV(NetworkRegressor(n_epochs=5, random_state=0), {"activation": ["relu", "silu"]}, cv=2)
    assert search.fit(*points(60)).best_params_["activation"] in ("relu", "silu")


def test_the_papers_columns() -> None:
    assert NetworkRegressor("silu", learning_rate=0.01)._training().sigma_w == 0.5
    assert NetworkRegressor("silu", learning_rate=0.01)._training().learning_rate == 0.01
    assert NetworkRegressor()._training().learning_rate == 0.375


@pytest.mark.parametrize("activation", PAPER)
def test_the_benchmark_trains_with_the_same_numbers(activation: str) -> None:
    config = yaml.safe_load((ROOT / "conf" / "training" / f"{activation}.yaml").read_text())
    del config["_target_"]
    assert config == dataclasses.asdict(PAPER[activation])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "rely"}, r"unknown activation 'rely'. Did you mean 'relu'\? Valid: relu, silu"),
        ({"n_epochs": 0}, "n_epochs must be a whole number greater than 0, got 0"),
        ({"n_epochs": 1.5}, r"n_epochs must be a whole number greater than 0, got 1\.5"),
        ({"device": "gpu"}, "device='gpu' is unknown; valid here: cpu"),
        ({"validation_fraction": "0.1"}, "validation_fraction must be at least 0 and less than 1, got '0.1'"),
        ({"n_models": 0}, "n_models must be an integer of at least 1, got 0"),
        ({"validation_fraction": 1.0}, "validation_fraction must be at least 0 and less than 1, got 1.0"),
        ({"learning_rate": 1e30, "n_epochs": 3}, r"training diverged.*use a learning_rate below 1e\+30"),
    ],
)
def test_messages(options: dict[str, object], message: str) -> None:
    with pytest.raises(BmdalError, match=message):
        NetworkRegressor(**options).fit(*points(30))


def test_active_learning_loop() -> None:
    """The loop of the README."""
    X, y = points(2000)
    X_test, y_test = points(500, seed=1)
    labelled, regressor, scores = np.arange(30), NetworkRegressor(n_epochs=40, random_state=0), []
    method = Method.from_name("lcmd-tp_grad_rp-64")
    for _ in range(3):
        scores.append(regressor.fit(X[labelled], y[labelled]).score(X_test, y_test))
        pool = np.setdiff1d(np.arange(len(X)), labelled)
        batch = select_batch(method, regressor.networks_, X[labelled], None, X[pool], 100, generator())
        labelled = np.concatenate([labelled, pool[batch.indices]])
    assert len(set(labelled.tolist())) == 330
    assert scores[-1] > max(0.8, scores[0])


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_scikit_learn() -> None:
    """`import bmdal` does not import it, and who asks for the estimator is told what to install."""
    code = """
import sys
import bmdal, bmdal.regressor
assert "sklearn" not in sys.modules
sys.modules["sklearn"] = None
for module in ("from bmdal.regressor import NetworkRegressor", "import bmdal.adapters.skactiveml"):
    try:
        exec(module)
    except ImportError as error:
        print(error)
"""
    first, second = run(code).splitlines()
    assert first.startswith("NetworkRegressor needs scikit-learn: pip install 'bmdal[sklearn]'")
    assert second.startswith("bmdal.adapters.skactiveml needs scikit-activeml: pip install 'bmdal[skactiveml]'")
