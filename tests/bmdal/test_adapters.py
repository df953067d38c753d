"""The query strategy of scikit-activeml against plain calls of `select_batch`, and in a loop of that library."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from skactiveml.pool import SubSamplingWrapper
from skactiveml.regressor import SklearnRegressor
from skactiveml.utils import MISSING_LABEL, check_random_state, is_labeled
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from toys import ntk_network

from bmdal import BmdalError, Method, select_batch
from bmdal.adapters.skactiveml import BatchQueryStrategy
from bmdal.regressor import NetworkRegressor

NAMES = ["random", "lcmd-tp_grad_rp-32", "kmeanspp-p_ll_train", "fw-p_ll_acs-rf-hyper-16", "maxdet-p_nngp_train"]
N_LABELLED = 30
REGRESSOR = NetworkRegressor(n_epochs=3, random_state=0)


def problem(n: int = 150) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Inputs, labels of which N_LABELLED are known, and the labels."""
    random = np.random.default_rng(0)
    X = random.normal(size=(n, 4))
    truth = 100 + 20 * X[:, 0] * X[:, 1]
    y = np.full(n, MISSING_LABEL)
    known = random.permutation(n)[:N_LABELLED]
    y[known] = truth[known]
    return X, y, truth


def plain(name: str, X: NDArray[np.float64], y: NDArray[np.float64], pool: NDArray[np.float64]) -> NDArray[np.int64]:
    known = is_labeled(y)
    regressor = clone(REGRESSOR).fit(X[known], y[known])
    # The library's own rule: the seed depends on the number of unlabelled points.
    seed = check_random_state(7, seed_multiplier=int((~known).sum()) + 1).randint(2**31 - 1)
    labels = (y[known] - y[known].mean()) / y[known].std(ddof=1)
    generator = torch.Generator().manual_seed(seed)
    method = Method.from_name(name)
    return select_batch(method, regressor.networks_, X[known], labels, pool, 8, generator).indices.numpy()


def strategy(name: str = "lcmd-tp_grad_rp-32") -> BatchQueryStrategy:
    return BatchQueryStrategy(name, random_state=7)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_batch_as_the_plain_call(name: str) -> None:
    X, y, _ = problem()
    unlabelled = np.flatnonzero(~is_labeled(y))
    expected = plain(name, X, y, X[unlabelled])
    assert strategy(name).query(X, y, REGRESSOR, batch_size=8).tolist() == unlabelled[expected].tolist()
    wrapped = SklearnRegressor(REGRESSOR)
    assert strategy(name).query(X, y, wrapped, batch_size=8).tolist() == unlabelled[expected].tolist()
    rows = unlabelled[10:60]
    expected = plain(name, X, y, X[rows])
    assert strategy(name).query(X, y, REGRESSOR, candidates=rows, batch_size=8).tolist() == rows[expected].tolist()
    assert strategy(name).query(X, y, REGRESSOR, candidates=X[rows], batch_size=8).tolist() == expected.tolist()


def test_fitted_regressors_and_networks_are_used_as_they_are() -> None:
    X, y, _ = problem()
    known = is_labeled(y)
    fitted = clone(REGRESSOR).fit(X[known], y[known])
    before = fitted.networks_[0][1][0].weight.clone()
    batches = [
        strategy().query(X, y, fitted, fit_reg=False, batch_size=8),
        strategy().query(X, y, fitted.networks_, batch_size=8),
        strategy().query(X, y, REGRESSOR, batch_size=8),
    ]
    assert batches[0].tolist() == batches[1].tolist() == batches[2].tolist()
    assert torch.equal(fitted.networks_[0][1][0].weight, before)
    assert not hasattr(REGRESSOR, "networks_")


def test_utilities() -> None:
    X, y, _ = problem()
    batch, utilities = strategy().query(X, y, [ntk_network().float()], batch_size=5, return_utilities=True)
    assert utilities.shape == (5, 150)
    assert np.isnan(utilities[:, is_labeled(y)]).all()
    assert np.nanargmax(utilities, axis=1).tolist() == batch.tolist()
    assert [np.isnan(line).sum() for line in utilities] == [N_LABELLED + i for i in range(5)]
    points = X[:40]
    batch, utilities = strategy().query(
        X, y, [ntk_network().float()], candidates=points, batch_size=5, return_utilities=True
    )
    assert utilities.shape == (5, 40)
    assert np.nanargmax(utilities, axis=1).tolist() == batch.tolist()


def test_an_active_learning_loop() -> None:
    """Fit, query, label, with a seed; one of the library's own wrappers takes the strategy."""
    X, y, truth = problem(400)
    query = SubSamplingWrapper(strategy(), max_candidates=200, random_state=0)
    for _ in range(3):
        rows = query.query(X, y, reg=REGRESSOR, batch_size=20)
        assert np.isnan(y[rows]).all()
        y[rows] = truth[rows]
    assert is_labeled(y).sum() == N_LABELLED + 60


def test_other_missing_labels_and_batches_as_large_as_the_pool() -> None:
    X, y, _ = problem()
    y = np.where(np.isnan(y), -1, y)
    with pytest.warns(UserWarning, match="batch_size=120"):
        rows = strategy().set_params(missing_label=-1).query(X, y, REGRESSOR, batch_size=500)
    assert sorted(rows) == np.flatnonzero(y == -1).tolist()


def test_messages() -> None:
    X, y, _ = problem()
    with pytest.raises(BmdalError, match="y has no labels yet: label some points first"):
        strategy().query(X, np.full(150, MISSING_LABEL), REGRESSOR)
    with pytest.raises(BmdalError, match=r"has no trained networks: pass a bmdal.regressor.NetworkRegressor"):
        strategy().query(X, y, REGRESSOR, fit_reg=False)
    with pytest.raises(BmdalError, match="has no trained networks"):
        strategy().query(X, y, LinearRegression())
    with pytest.raises(BmdalError, match="unknown kernel 'gard'"):
        strategy("lcmd-tp_gard").query(X, y, REGRESSOR)
    with pytest.raises(BmdalError, match="takes 3 model"):
        strategy("lcmd-tp_ll_ens-3").query(X, y, REGRESSOR)


def _points() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(120, 3)), rng.integers(0, 3, 120)])
    y = np.full((120, 2), np.nan)
    y[:30] = X[:30, :2] ** 2 * [1, 1000]
    return X, y


def _columns(names: list[Any]) -> ColumnTransformer:
    return ColumnTransformer([("n", StandardScaler(), names[:3]), ("c", OneHotEncoder(sparse_output=False), names[3:])])


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_forests_pipelines_and_several_outputs(n_outputs: int) -> None:
    """As `select_batch` with the fitted model."""
    X, y = _points()
    targets = y[:, 0] if n_outputs == 1 else y
    frame = pd.DataFrame(X, columns=list("abcd")).assign(d=[f"kind {v:.0f}" for v in X[:, 3]])
    forest, network = RandomForestRegressor(10, random_state=0), NetworkRegressor(n_epochs=2, random_state=0)
    cases: list[tuple[str, Any, Any]] = [
        ("bait-f-p_pred", forest, X),
        ("bait-f-p_pred", make_pipeline(_columns([0, 1, 2, 3]), forest), X),
        ("bait-f-p_pred", make_pipeline(_columns(list("abcd")), forest), frame),
        ("lcmd-tp_grad_rp-32", make_pipeline(_columns([0, 1, 2, 3]), network), X),
        ("lcmd-tp_ll", make_pipeline(_columns(list("abcd")), network), frame),
        (
            "lcmd-tp_ll",
            SklearnRegressor(make_pipeline(_columns([0, 1, 2, 3]), network)) if n_outputs == 1 else network,
            X,
        ),
    ]
    for name, model, points in cases:
        rows = BatchQueryStrategy(name, random_state=0).query(points, targets, model, batch_size=6)
        assert len(set(rows.tolist()) - set(range(30))) == 6
        train, pool = points[:30], points[30:]
        inner = model.estimator if isinstance(model, SklearnRegressor) else model
        fitted = clone(inner).fit(train, targets[:30])
        seed = int(check_random_state(0, seed_multiplier=91).randint(2**31 - 1))
        expected = select_batch(name, fitted, train, None, pool, 6, seed).indices.numpy() + 30
        assert rows.tolist() == expected.tolist()


def test_labels_of_some_outputs() -> None:
    X, y = _points()
    y[7, 1] = np.nan
    with pytest.raises(BmdalError, match=r"all labels of a point or none; it has \(120, 2\), row 7 is \[.*, nan\]"):
        BatchQueryStrategy("bait-f-p_pred").query(X, y, RandomForestRegressor(), batch_size=3)
    y[7, 1] = 0.0
    with pytest.raises(BmdalError, match="if X is a frame, candidates must be rows of it"):
        BatchQueryStrategy("bait-f-p_pred").query(
            pd.DataFrame(X), y, RandomForestRegressor(), candidates=X[40:50, :1], batch_size=3
        )
