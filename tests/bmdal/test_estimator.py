"""The network as a scikit-learn estimator: its contract, its networks, an active-learning loop."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks
from toys import generator

from bmdal import BmdalError, Method, select_batch
from bmdal.regressor import NetworkRegressor, NetworkStack, TrainingData, estimator, train
from bmdal.regressor.estimator import PAPER

ROOT = Path(__file__).resolve().parents[2]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]


@parametrize_with_checks([NetworkRegressor(n_epochs=20), NetworkRegressor("silu", n_epochs=12, n_models=2)])
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


def test_batches_of_points_in_time() -> None:
    """Arrays, frames and tensors in float64 reach the network as they are: nothing is filled up at random."""
    X = 1.7e9 + np.random.default_rng(0).uniform(0, 3600, size=(1000, 1))
    regressor = NetworkRegressor(n_epochs=20, random_state=0).fit(X[:100], np.sin((X[:100, 0] - 1.7e9) / 300))
    batches = [
        select_batch("lcmd-tp_grad_rp-64", regressor.networks_, form(X[:100]), None, form(X[100:]), 50, 0)
        for form in (torch.tensor, np.asarray, lambda x: pd.DataFrame(x, columns=["time"]))
    ]
    assert all(batch.n_filled == 0 for batch in batches)
    assert batches[0].indices.tolist() == batches[1].indices.tolist() == batches[2].indices.tolist()


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


@pytest.mark.parametrize("power", [-1060, -500, 500, 1000])
def test_the_units_of_inputs_do_not_matter(power: int) -> None:
    """Also squares of the values that float64 cannot hold, and subnormal numbers."""
    X, y = points(40)
    X = np.round(X / [1, 1e-3, 1e3] * 16)
    regressor = NetworkRegressor(n_epochs=3, n_models=2, random_state=0)
    expected = regressor.fit(X, y).predict(X + 0.5)
    assert np.array_equal(regressor.fit(X * 2.0**power, y).predict((X + 0.5) * 2.0**power), expected)


@pytest.mark.parametrize("power", [-980, -133, 133, 980])
def test_the_units_of_targets_do_not_matter(power: int) -> None:
    X, y = points(40)
    regressor = NetworkRegressor(n_epochs=3, n_models=2, random_state=0)
    expected = regressor.fit(X, y).predict(X)
    assert np.array_equal(regressor.fit(X, y * 2.0**power).predict(X), expected * 2.0**power)


def test_learns_beside_the_largest_numbers() -> None:
    X, y = points(100)
    largest = np.finfo(np.float64).max
    X = np.column_stack([np.where(y > 10, largest, -largest), np.full(100, largest)])
    y = np.where(y > 10, 1e299, -1e299)
    predicted = NetworkRegressor(n_epochs=20, random_state=0).fit(X, y).predict(X)
    np.testing.assert_allclose(predicted, y, rtol=0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-30, 1, 1e30])
def test_an_input_that_varies_by_rounding_alone_is_constant(dtype: type[np.floating], size: float) -> None:
    X, y = points(30)
    constant = np.full(30, size, dtype=dtype)
    noisy = np.where(y > 10, constant, np.nextafter(constant, dtype(np.inf)))
    Z = (X - X.mean(axis=0)).astype(dtype)
    regressor = NetworkRegressor(n_epochs=3, random_state=0)
    expected = regressor.fit(np.column_stack([Z, constant]), y).predict(np.column_stack([Z, constant]))
    predicted = regressor.fit(np.column_stack([Z, noisy]), y).predict(np.column_stack([Z, noisy]))
    np.testing.assert_allclose(predicted, expected, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, 7.0, -1e-40, 1e-320, 1.7e308])
def test_a_constant_target_is_predicted_as_it_is(value: float) -> None:
    X, _ = points(30)
    regressor = NetworkRegressor(n_epochs=1, random_state=0).fit(X, np.full(30, value))
    assert (regressor.predict(100 * X) == value).all()
    assert (regressor.y_mean_, regressor.y_scale_) == (value, 1)


NEAR = np.arange(30) % 3
MEANINGLESS = {
    "rounding": (1e16 + NEAR, "the values of y are all 1e[+]16 up to rounding, .* subtract a constant"),
    "whole": (2**60 + np.arange(30), "the values of y are all 1152921504606846976 up to rounding"),
    "single": (
        np.float32(1e8) + np.float32(8) * NEAR.astype(np.float32),
        "the values of y are all 100000000.0 up to rounding",
    ),
    "column": (np.column_stack([NEAR, 1e16 + 2 * NEAR]), "the values of column 1 of y are all 1e[+]16 up to rounding"),
    "large": (5e307 * NEAR, r"y must lie within [+]-1e[+]300 and .* its largest magnitude is 1e[+]308: multiply"),
    "small": (1e-310 * NEAR, "y must .* standard deviation of at least 1e-300, its largest magnitude is 2e-310"),
    "none": ([None, *NEAR[1:]], "y has a value that is not a finite number in float64, in row 0"),
    "wide": (
        NEAR.astype(np.longdouble) * (np.finfo(np.longdouble).max / 2),
        "y has a value that is not a finite number",
    ),
    "narrow": (NEAR * np.finfo(np.longdouble).tiny, "the values of y are all 0.0 up to rounding"),
}


@pytest.mark.parametrize("case", MEANINGLESS)
def test_targets_that_mean_nothing(case: str) -> None:
    y, message = MEANINGLESS[case]
    if case in ("wide", "narrow") and np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is float64 here")
    with pytest.raises(BmdalError, match=message):
        NetworkRegressor(n_epochs=1).fit(points(30)[0], y)


def masked(array: NDArray[np.float64]) -> np.ma.MaskedArray[Any, Any]:
    return np.ma.masked_greater(array, 0)


@pytest.mark.parametrize("hidden", [masked, lambda a: list(masked(a)), lambda a: [masked(a[:10]), *a[10:]]])
def test_masks_are_not_dropped(hidden: Callable[[NDArray[np.float64]], Any]) -> None:
    X, y = points(30)
    regressor = NetworkRegressor(n_epochs=1)
    for name, given in (("X", (hidden(X), y)), ("y", (X, hidden(y)))):
        with pytest.raises(BmdalError, match=f"{name} is a masked array: leave out or fill in"):
            regressor.fit(*given)
    with pytest.raises(BmdalError, match="X is a masked array"):
        regressor.fit(X, y).predict(hidden(X))


def test_dates_and_records_are_no_numbers() -> None:
    X, y = points(30)
    days, regressor = np.arange(30).astype("M8[D]"), NetworkRegressor(n_epochs=1)
    for given in (days[:, None], pd.DataFrame({"day": days}), list(days), (days - days[0])[:, None]):
        with pytest.raises(BmdalError, match=r"X must hold numbers, but has values of dtype (datetime|timedelta)64"):
            regressor.fit(given, y)
    with pytest.raises(BmdalError, match=r"y must hold numbers, but has values of dtype datetime64"):
        regressor.fit(X, pd.Series(days))
    with pytest.raises(BmdalError, match=r"y must hold numbers, but has values of dtype \[\('a', '<f8'\)\]"):
        regressor.fit(X, y.view([("a", float)]))
    with pytest.raises(BmdalError, match=r"y is sparse: pass y.toarray\(\)"):
        regressor.fit(X, csr_array(y[:, None]))


@pytest.mark.parametrize("to", [np.longdouble, object, ">f8", str, lambda t: torch.tensor(t), lambda t: t[::-1][::-1]])
def test_numbers_in_any_form(to: Any) -> None:
    X, y = points(30)
    change = to if callable(to) and not isinstance(to, type) else lambda t: t.astype(to)
    regressor = NetworkRegressor(n_epochs=2, random_state=0)
    expected = regressor.fit(X, y).predict(X)
    assert np.array_equal(regressor.fit(change(X), change(y)).predict(change(X)), expected)


def test_networks_in_another_precision() -> None:
    """The scaling, beyond the range of the narrower types, stays exact; the networks share nothing."""
    X, y = points(20)
    X *= 1e100
    regressor = NetworkRegressor(n_epochs=3, n_models=2, random_state=0).fit(X, y)
    first, second = regressor.networks_
    predicted, inputs = regressor.predict(X), torch.tensor(X)
    with torch.no_grad():
        expected = first(inputs)
        for dtype, tolerance in ((torch.half, 0.02), (torch.double, 0.02), (torch.float, 0.02)):
            output = first.to(dtype)(inputs)
            assert output.dtype == dtype
            torch.testing.assert_close(output.float(), expected, rtol=tolerance, atol=tolerance)
        assert second(inputs).dtype == torch.float
    np.testing.assert_allclose(regressor.predict(X), predicted, atol=0.1 * y.std())


def test_several_outputs_have_networks_of_their_own() -> None:
    X, y = points(300)
    Y = np.stack([y, -1e-3 * X[:, 0], np.full(300, 7.0)], axis=1)
    regressor = NetworkRegressor(n_epochs=25, n_models=2, random_state=0).fit(X, Y)
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


def test_each_network_has_validation_points_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[TrainingData]] = []

    def spy(stack: NetworkStack, data: Sequence[TrainingData], *args: Any) -> torch.Tensor:
        seen.append(data)
        return train(stack, data, *args)

    monkeypatch.setattr(estimator, "train", spy)
    X, y = points(40)
    regressor = NetworkRegressor(n_epochs=3, n_models=2, random_state=0).fit(X, np.column_stack([y, -y]))
    inputs = regressor.networks_[0][0](torch.tensor(X))
    chosen = []
    for k, data in enumerate(seen[0]):
        rows = [int(torch.cdist(x[None], inputs).argmin()) for x in data.X_valid]
        trained = [int(torch.cdist(x[None], inputs).argmin()) for x in data.X]
        valid, others = rows[:8], rows[16:]
        assert rows[:16] == 2 * valid
        assert len({*valid, *trained}) == 40
        assert len({*others} & {*trained}) == len(others) == 8
        targets = torch.tensor((y - y.mean()) / y.std(ddof=1) * (1 if k < 2 else -1), dtype=torch.float32)
        torch.testing.assert_close(data.y_valid, targets[rows])
        with torch.no_grad():
            errors = regressor.networks_[k](torch.tensor(X[valid]))[:, 0] - targets[valid]
        assert regressor.validation_rmse_[k] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-3)
        chosen.append(frozenset(valid))
    assert len(set(chosen)) == 4


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
