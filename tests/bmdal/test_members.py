"""Members of black-box models predict what the libraries' own parts predict; what has no members is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import make_regression
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from torch import Tensor, nn
from torch.nn import functional
from toys import normal, torch_network

from bmdal import BmdalError
from bmdal.kernels.predictions import as_predictions, centred
from bmdal.members import MCDropout, VirtualEnsembles, members
from bmdal.regressor import NetworkRegressor

X, y = make_regression(80, 5, n_informative=4, noise=2.0, random_state=0)
Y = np.column_stack([y, X[:, 0] - y])
POOL = np.random.default_rng(1).normal(size=(30, 5))
FEW = X[:6]
FRAME, FRAME_POOL = pd.DataFrame(X, columns=list("abcde")), pd.DataFrame(POOL, columns=list("abcde"))
TEXT = FRAME.assign(colour=np.where(X[:, 0] > 0, "red", "blue"), size=np.arange(80) % 3)
TEXT_POOL = FRAME_POOL.assign(colour=np.where(POOL[:, 1] > 0, "red", "green"), size=1)


def stack(predictions: list[Any]) -> NDArray[np.float64]:
    """Predictions of each member as (n, K, outputs)."""
    return np.stack([np.asarray(p, dtype=np.float64).reshape(len(p), -1) for p in predictions], axis=1)


def forest(**options: Any) -> RandomForestRegressor:
    return RandomForestRegressor(**{"n_estimators": 4, "max_depth": 4, "random_state": 0, **options})


def check(model: Any, few: Any, pool: Any, naive: list[Any]) -> None:
    expected = stack(naive)
    found = members(model, few)
    predictions = found(pool)
    assert predictions.dtype == np.float64
    assert (found.n_members, found.n_outputs) == expected.shape[1:]
    np.testing.assert_allclose(predictions, expected, rtol=1e-10, atol=1e-10 * np.abs(expected).max())


def test_features() -> None:
    """Inner products are covariances of the predictions, over members, summed over outputs."""
    P = normal(5, 7, 2, seed=1)
    Phi = centred(as_predictions("P", P))
    assert Phi.shape == (5, 14)
    expected = sum(torch.cov(P[..., o], correction=0) for o in range(2))
    torch.testing.assert_close(Phi @ Phi.T, expected)
    torch.testing.assert_close(centred(as_predictions("P", P + 1e6)), Phi, rtol=0, atol=1e-8)
    torch.testing.assert_close(centred(as_predictions("P", P[..., 0])), Phi[:, ::2])
    for wrong in (P[:, :1], P[:, 0, 0], P.long()):
        with pytest.raises(BmdalError, match="P must be predictions of at least two members"):
            as_predictions("P", wrong)


@pytest.mark.parametrize("targets", [y, Y], ids=["one output", "two outputs"])
@pytest.mark.parametrize("kind", [RandomForestRegressor, ExtraTreesRegressor])
def test_forests(kind: Any, targets: NDArray[np.float64]) -> None:
    model = kind(4, random_state=0).fit(X, targets)
    naive = [tree.predict(POOL) for tree in model.estimators_]
    check(model, FEW, POOL, naive)
    check(model, torch.tensor(FEW), torch.tensor(POOL), naive)
    check(kind(4, random_state=0).fit(FRAME, targets), FRAME[:6], FRAME_POOL, naive)
    check(GridSearchCV(kind(4, random_state=0), {"max_depth": [None]}, cv=2).fit(X, targets), FEW, POOL, naive)


def test_forests_with_missing_values() -> None:
    gaps, pool = (np.where(np.abs(Z) > 1.5, np.nan, Z) for Z in (X, POOL))
    model = forest().fit(gaps, y)
    check(model, gaps[:6], pool, [tree.predict(pool) for tree in model.estimators_])


@pytest.mark.parametrize("options", [{}, {"max_features": 0.6}, {"max_features": 0.8, "bootstrap_features": True}])
@pytest.mark.parametrize("base", [DecisionTreeRegressor(max_depth=3), Ridge(), SVR()])
def test_bagging(base: Any, options: dict[str, Any]) -> None:
    model = BaggingRegressor(base, 3, random_state=0, **options).fit(X, y)
    columns = model.estimators_features_
    naive = [e.predict(POOL[:, c]) for e, c in zip(model.estimators_, columns, strict=True)]
    check(model, FEW, POOL, naive)
    check(BaggingRegressor(base, 3, random_state=0, **options).fit(FRAME, y), FRAME[:6], FRAME_POOL, naive)


def test_bagging_gives_members_to_what_has_none() -> None:
    """The remedy that refusals name: boosting, several outputs."""
    for base, targets in [
        (GradientBoostingRegressor(n_estimators=5), y),
        (MultiOutputRegressor(Ridge()), Y),
        (AdaBoostRegressor(n_estimators=3), y),
        (HistGradientBoostingRegressor(max_iter=4), y),
    ]:
        model = BaggingRegressor(base, 2, random_state=0).fit(X, targets)
        check(model, FEW, POOL, [e.predict(POOL) for e in model.estimators_])


def test_voting() -> None:
    parts = [("a", Ridge()), ("b", KNeighborsRegressor(3)), ("c", DecisionTreeRegressor(random_state=0))]
    for weights in (None, [2, 2, 2]):
        model = VotingRegressor(parts, weights=weights).fit(X, y)
        check(model, FEW, POOL, [e.predict(POOL) for e in model.estimators_])
        model = VotingRegressor(parts, weights=weights).fit(FRAME, y)
        check(model, FRAME[:6], FRAME_POOL, [e.predict(FRAME_POOL) for e in model.estimators_])


@pytest.mark.parametrize("sparse", [False, True])
def test_pipelines(sparse: bool) -> None:
    """Text columns are encoded, which may give sparse matrices; trees do not see the frame."""
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=sparse)
    columns = ColumnTransformer(
        [("text", encoder, ["colour"]), ("rest", "passthrough", ["a", "b", "size"])],
        sparse_threshold=1.0 if sparse else 0.0,
    )
    for last in (forest(), BaggingRegressor(Ridge(), 3, max_features=0.7, random_state=0)):
        model = make_pipeline(columns, last).fit(TEXT, y)
        Z = model[:-1].transform(TEXT_POOL)
        features = getattr(last, "estimators_features_", [slice(None)] * 4)
        naive = [e.predict(Z[:, c]) for e, c in zip(last.estimators_, features, strict=True)]
        check(model, TEXT[:6], TEXT_POOL, naive)
    frames = make_pipeline(ColumnTransformer([("rest", StandardScaler(), ["a", "b"])]), forest())
    frames.set_output(transform="pandas").fit(TEXT, y)
    Z = frames[:-1].transform(TEXT_POOL).to_numpy()
    check(frames, TEXT[:6], TEXT_POOL, [e.predict(Z) for e in frames[-1].estimators_])
    search = GridSearchCV(make_pipeline(columns, forest()), {"randomforestregressor__max_depth": [2]}, cv=2).fit(
        TEXT, y
    )
    Z = search.best_estimator_[:-1].transform(TEXT_POOL)
    check(search, TEXT[:6], TEXT_POOL, [e.predict(Z) for e in search.best_estimator_[-1].estimators_])
    alone = make_pipeline(forest()).fit(X, y)
    check(alone, FEW, POOL, [e.predict(POOL) for e in alone[-1].estimators_])


def test_transformed_targets() -> None:
    """Members predict in the targets' units; with a logarithm the model is not their mean."""
    positive = np.exp(y / np.abs(y).max())
    model = TransformedTargetRegressor(forest(), func=np.log, inverse_func=np.exp).fit(X, positive)
    check(model, FEW, POOL, [np.exp(e.predict(POOL)) for e in model.regressor_.estimators_])
    scaled = TransformedTargetRegressor(make_pipeline(StandardScaler(), forest()), transformer=StandardScaler())
    scaled.fit(X, Y)
    Z = scaled.regressor_[:-1].transform(POOL)
    members_of = scaled.regressor_[-1].estimators_
    check(scaled, FEW, POOL, [scaled.transformer_.inverse_transform(e.predict(Z)) for e in members_of])


def test_lists() -> None:
    """Estimators, functions and networks, mixed; each gets points in its own form."""
    ridge, tree = Ridge().fit(X, y), DecisionTreeRegressor(max_depth=3).fit(X, y)
    network = torch_network(5).train()
    network.insert(3, nn.Dropout(0.5))
    kinds: list[type] = []

    def function(Z: Any) -> Any:
        kinds.append(type(Z))
        Z *= 2.0  # its own copy
        return Z[:, 0] + Z[:, 1]

    naive = [ridge.predict(POOL), tree.predict(POOL), 2 * (POOL[:, 0] + POOL[:, 1])]
    naive.append(network.eval()(torch.tensor(POOL)).detach().numpy())
    network.train()
    before = POOL.copy()
    check([ridge, tree, function, network], FEW, POOL, naive)
    assert set(kinds) == {np.ndarray}
    check((ridge, tree, function, network), torch.tensor(FEW), torch.tensor(POOL), naive)
    assert set(kinds) == {np.ndarray, Tensor}
    np.testing.assert_array_equal(POOL, before)
    assert network.training
    single = torch_network(5, 2).float()  # points of another precision are cast, the sums are in float64
    expected = torch_network(5, 2)(torch.tensor(POOL)).detach()
    found = members(nn.ModuleList([single, torch_network(5, 2, seed=1)]), FEW)(POOL)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5, atol=1e-6)
    check([network, network], FRAME[:6], FRAME_POOL, [naive[3]] * 2)


def test_rows_and_chunks() -> None:
    found = members(forest().fit(X, y), FEW)
    np.testing.assert_array_equal(np.concatenate([found(POOL[:1]), found(POOL[1:])]), found(POOL))
    assert found(POOL[:0]).shape == (0, 4, 1)
    for points, what in [(POOL[:, :4], r"\(4,\)"), (torch.tensor(POOL), "tensor"), (FRAME_POOL, "columns")]:
        with pytest.raises(BmdalError, match=what):
            found(points)
    in_order = members(forest().fit(FRAME, y), FRAME[:6])
    with pytest.raises(BmdalError, match="the same form"):
        in_order(FRAME_POOL[list("bacde")])


@pytest.mark.parametrize("targets", [y, Y, np.column_stack([y, np.full(80, 3.0), -y])], ids=["1", "2", "constant"])
def test_network_regressor(targets: NDArray[np.float64]) -> None:
    model = NetworkRegressor(n_models=3, n_epochs=2, random_state=0, device="cpu").fit(X, targets)
    found = members(model, FEW)(POOL)
    np.testing.assert_allclose(found.mean(axis=1), model.predict(POOL).reshape(30, -1), rtol=1e-9, atol=1e-9)
    for output, (mean, scale) in enumerate(
        zip(np.atleast_1d(model.y_mean_), np.atleast_1d(model.y_scale_), strict=True)
    ):
        for k in range(3):
            network = model.networks_[3 * output + k]
            naive = mean + scale * network(torch.tensor(POOL, dtype=torch.float32)).detach().numpy()[:, 0]
            if np.ptp(targets.reshape(80, -1)[:, output]) == 0:
                naive = np.full(30, mean)
            np.testing.assert_allclose(found[:, k, output], naive, rtol=1e-4, atol=1e-4 * scale)
    with pytest.raises(BmdalError, match="n_models=2"):
        members(NetworkRegressor(n_epochs=1, random_state=0, device="cpu").fit(X, y), FEW)


class Functional(nn.Module):
    """Dropout as a function, beside a batch norm, which must not notice it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(5, 32), nn.BatchNorm1d(32), nn.Linear(32, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = functional.relu(self.norm(self.first(x)), inplace=True)
        return self.last(functional.dropout(h, 0.3, training=self.training))


class Recurrent(nn.Module):
    """An LSTM with dropout between its layers, which vmap does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.LSTM(1, 6, 2, batch_first=True, dropout=0.4), nn.Linear(6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x[..., None])[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.TransformerEncoderLayer(4, 2, 8, 0.2, batch_first=True), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(torch.stack([x, x**2, x.sin(), x.cos()], dim=2)).mean(1))


class Squeezing(nn.Module):
    """Takes no single points."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).squeeze().prod(dim=1)


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 24), *layers, nn.Linear(24, 2))


DROPOUT: dict[str, Callable[[], nn.Module]] = {
    "layers": lambda: sequential(nn.ReLU(), nn.Dropout(0.4)),
    "in place": lambda: sequential(nn.ReLU(inplace=True), nn.Dropout(0.4, inplace=True)),
    "of inputs": lambda: nn.Sequential(nn.Dropout(0.4, inplace=True), nn.Linear(5, 1)),
    "alpha": lambda: sequential(nn.SELU(), nn.AlphaDropout(0.4)),
    "channels": lambda: sequential(nn.Unflatten(1, (6, 2, 2)), nn.Dropout2d(0.4), nn.Flatten()),
    "function": Functional,
    "recurrent": Recurrent,
    "attention": Attention,
    "squeezing": Squeezing,
}


def test_networks_that_draw_leave_the_global_random_state_as_it_was() -> None:
    class Drawing(nn.Module):
        def __init__(self, noise: float) -> None:
            super().__init__()
            self.a, self.noise = nn.Linear(X.shape[1], 1), noise

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.noise * torch.randn(len(x), 1, dtype=x.dtype)

    for noise in (0.0, 0.1):
        before = torch.get_rng_state()
        networks = [Drawing(noise).double() for _ in range(3)]
        torch.set_rng_state(before)
        if noise:
            with pytest.raises(BmdalError, match=r"differ between calls|depend on its point"):
                members(networks, torch.tensor(FEW))
        else:
            members(networks, torch.tensor(FEW))(torch.tensor(POOL))
        assert torch.equal(torch.get_rng_state(), before)


def test_noise_far_below_the_predictions_but_not_below_their_differences() -> None:
    rng = np.random.default_rng(0)
    noise = lambda x: 0.02 * rng.normal(size=len(x))  # noqa: E731
    noisy = [lambda x, k=k: np.float32(300 + 0.1 * np.sin(k + x[:, 0]) + noise(x)) for k in range(5)]
    with pytest.raises(BmdalError, match="not on chance or on other points"):
        members(noisy, FEW)
    quiet = [lambda x, k=k: np.float32(300 + 0.1 * np.sin(k + x[:, 0])) for k in range(5)]
    assert members(quiet, FEW)(POOL).shape == (len(POOL), 5, 1)


@pytest.mark.parametrize("kind", DROPOUT)
def test_dropout(kind: str) -> None:
    """A member has one mask: predictions depend on neither the chunk nor the other points nor the time."""
    torch.manual_seed(0)
    module = DROPOUT[kind]().double()
    for _ in range(3):
        module(torch.tensor(X))  # batch norm learns
    states = {name: t.clone() for name, t in module.state_dict().items()}
    points = torch.tensor(POOL)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = members(MCDropout(module, 12, seed=3), torch.tensor(FEW))
    whole = found(points)
    parts = np.concatenate([found(points[:1]), found(points[1:8]), found(points[8:])])
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found(points.flip(0)), whole[::-1], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(members(MCDropout(module, 12, seed=3), torch.tensor(FEW))(points), whole)
    assert np.ptp(whole, axis=1).max() > 0
    assert np.abs(members(MCDropout(module, 12, seed=4), torch.tensor(FEW))(points) - whole).max() > 0
    assert module.training
    assert all(torch.equal(t, states[name]) for name, t in module.state_dict().items())


def test_dropout_masks() -> None:
    """With one linear layer the mask can be read off: w_i / (1 - p) or 0, the same for all points."""
    module = nn.Sequential(nn.Dropout(0.25), nn.Linear(5, 1, bias=False)).double()
    found = members(MCDropout(module, 400, seed=0), FEW)(POOL)[..., 0]  # shape: (n, K)
    coefficients = np.linalg.lstsq(POOL, found, rcond=None)[0].T / module[1].weight.detach().numpy()
    np.testing.assert_allclose(POOL @ (coefficients * module[1].weight.detach().numpy()).T, found, atol=1e-12)
    kept = np.isclose(coefficients, 1 / 0.75)
    assert (kept | np.isclose(coefficients, 0.0)).all()
    assert abs(kept.mean() - 0.75) < 0.04
    assert len(np.unique(kept, axis=0)) > 20


def test_dropout_keeps_batch_norm() -> None:
    """Without the mask's share, the members are the network in evaluation mode."""
    torch.manual_seed(1)
    module = Functional().double()
    for _ in range(5):
        module(torch.tensor(X))
    found = members(MCDropout(module, 600), FEW)(POOL)
    expected = module.eval()(torch.tensor(POOL)).detach().numpy()
    error = found.std(axis=1) / 600**0.5
    assert (np.abs(found.mean(axis=1) - expected) < 5 * error).all()


def test_catboost() -> None:
    catboost = pytest.importorskip("catboost")
    options = {"iterations": 40, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}

    def fitted(loss: str, points: Any = X, targets: Any = y, **more: Any) -> Any:
        return catboost.CatBoostRegressor(loss_function=loss, **{**options, **more}).fit(points, targets)

    for loss in ("RMSE", "RMSEWithUncertainty", "MAE"):
        for sampling in (False, True):
            model = fitted(loss, posterior_sampling=True) if sampling else fitted(loss)
            ends = [20 + 2 * (k + 1) for k in range(10)]
            raw = model.virtual_ensembles_predict(POOL, virtual_ensembles_count=10)
            check(model, FEW, POOL, list(raw[..., 0].T))
            if not sampling:  # a truncated model is what the documentation says it is; the mean is the first column
                naive = [model.predict(POOL, ntree_end=end).reshape(30, -1)[:, 0] for end in ends]
                check(model, FEW, POOL, naive)
    check(
        VirtualEnsembles(model, 5),
        FEW,
        POOL,
        list(model.virtual_ensembles_predict(POOL, virtual_ensembles_count=5).T[0]),
    )

    quantiles = fitted("MultiQuantile:alpha=0.2,0.5,0.8")
    assert members(quantiles, FEW)(POOL).shape == (30, 10, 3)
    text = fitted("RMSE", TEXT, cat_features=["colour"])
    check(text, TEXT[:6], TEXT_POOL, list(text.virtual_ensembles_predict(TEXT_POOL)[..., 0].T))
    piped = make_pipeline(StandardScaler(), catboost.CatBoostRegressor(**options)).fit(X, y)
    check(piped, FEW, POOL, list(piped[-1].virtual_ensembles_predict(piped[:-1].transform(POOL))[..., 0].T))

    uncertain = [fitted("RMSEWithUncertainty", random_seed=seed) for seed in range(2)]
    check(uncertain, FEW, POOL, [m.predict(POOL)[:, 0] for m in uncertain])
    bagged = BaggingRegressor(
        catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **options), 2, random_state=0
    ).fit(X, y)
    check(bagged, FEW, POOL, [m.predict(POOL)[:, 0] for m in bagged.estimators_])

    for wrong, what in [
        (VirtualEnsembles(model, 30), "Not enough trees.*2 n_members trees"),
        (fitted("Poisson", targets=np.abs(y)), "another scale.*BaggingRegressor"),
        (fitted("MultiRMSE", targets=Y), "not supported for MultiRMSE.*BaggingRegressor"),
        (catboost.CatBoostRegressor(**options), "not fitted"),
        (VirtualEnsembles(catboost.CatBoostRegressor(**options)), "not fitted"),
        ([catboost.CatBoostRegressor(**options)] * 2, "not fitted"),
        (catboost.CatBoostClassifier(**options).fit(X, y > 0), "classifier"),
        (catboost.CatBoost({"loss_function": "Logloss", **options}).fit(X, y > 0), "classifier"),
    ]:
        with pytest.raises(BmdalError, match=what):
            members(wrong, FEW)
    with pytest.raises(BmdalError, match="CatBoost model"):
        VirtualEnsembles(forest())


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosting_libraries(library: str) -> None:
    module = pytest.importorskip(library)
    kind, quiet = (module.LGBMRegressor, {"verbose": -1}) if library == "lightgbm" else (module.XGBRegressor, {})
    base = kind(n_estimators=5, n_jobs=1, **quiet)
    with warnings.catch_warnings():
        # LightGBM names the columns of arrays, of which scikit-learn then complains; the user's own calls do that too
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        for targets in (y, Y)[: 1 if library == "lightgbm" else 2]:
            model = BaggingRegressor(base, 3, random_state=0).fit(X, targets)
            check(model, FEW, POOL, [e.predict(POOL) for e in model.estimators_])
        models = [kind(n_estimators=5, n_jobs=1, random_state=s, **quiet).fit(X[s::2], y[s::2]) for s in range(2)]
        check(models, FEW, POOL, [m.predict(POOL) for m in models])
        for wrong in (models[0], getattr(models[0], "booster_", models[0])):
            with pytest.raises(BmdalError, match=r"one model.*BaggingRegressor"):
                members(wrong, FEW)
        with pytest.raises(BmdalError, match="not fitted"):
            members([base, base], FEW)


def two_stages(Z: Any) -> Any:
    return Z[:, 0] - Z[:, 0].mean()


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "boosting": (lambda: GradientBoostingRegressor(n_estimators=3).fit(X, y), "stages of boosting.*BaggingRegressor"),
    "adaboost": (lambda: AdaBoostRegressor(n_estimators=3).fit(X, y), "weights.*BaggingRegressor"),
    "stacking": (lambda: StackingRegressor([("a", Ridge()), ("b", SVR())], cv=2).fit(X, y), "weights"),
    "weighted": (
        lambda: VotingRegressor([("a", Ridge()), ("b", SVR())], weights=[1, 1.001]).fit(X, y),
        "weights.*BaggingRegressor",
    ),
    "for each output": (lambda: MultiOutputRegressor(Ridge()).fit(X, Y), "one for each output.*BaggingRegressor"),
    "chain": (lambda: RegressorChain(Ridge()).fit(X, Y), "cannot serve as members.*BaggingRegressor"),
    "one tree": (lambda: forest(n_estimators=1).fit(X, y), "needs at least two.* has 1"),
    "one model": (lambda: LinearRegression().fit(X, y), "LinearRegression is one model.*BaggingRegressor"),
    "boosting by histograms": (lambda: HistGradientBoostingRegressor(max_iter=2).fit(X, y), "one model"),
    "one in a pipeline": (lambda: make_pipeline(StandardScaler(), Ridge()).fit(X, y), "Ridge is one model"),
    "one in a list": (lambda: [Ridge().fit(X, y)], "at least two members.*there are 1"),
    "none": (list, "at least two members.*there are 0"),
    "a network": (lambda: torch_network(5), "one network.*MCDropout"),
    "a function": (lambda: two_stages, "one function"),
    "not fitted": (lambda: RandomForestRegressor(), "RandomForestRegressor is not fitted"),
    "one not fitted": (lambda: [Ridge().fit(X, y), Ridge()], r"member 1 \(Ridge\) is not fitted"),
    "pipeline not fitted": (lambda: make_pipeline(StandardScaler(), forest()), "Pipeline is not fitted"),
    "search not fitted": (lambda: GridSearchCV(forest(), {"max_depth": [2]}), "GridSearchCV is not fitted"),
    "no refit": (lambda: GridSearchCV(forest(), {"max_depth": [2]}, cv=2, refit=False).fit(X, y), "refit=False"),
    "classifier": (lambda: RandomForestClassifier(2).fit(X, y > 0), "is a classifier"),
    "classifiers": (lambda: [Ridge().fit(X, y), RidgeClassifier().fit(X, y > 0)], r"member 1 .* classifier"),
    "bagged classifiers": (
        lambda: BaggingRegressor(DecisionTreeClassifier(), 2).fit(X, (y > 0).astype(int)),
        "estimator 0 .* classifier",
    ),
    "outliers": (lambda: IsolationForest(n_estimators=3, random_state=0).fit(X), "floating-point"),
    "class": (lambda: RandomForestRegressor, "a class: pass a fitted instance"),
    "classes": (lambda: [Ridge, Ridge], "a class: pass a fitted instance"),
    "text": (lambda: "forest", "must be a list of members.*got str"),
    "texts": (lambda: ["forest", "ridge"], r"member 0 \(str\) must be a fitted estimator"),
    "nested": (lambda: [MCDropout(torch_network(5))] * 2, r"member 0 \(MCDropout\) must be"),
    "shapes": (lambda: [Ridge().fit(X, y), Ridge().fit(X, Y)], r"\(Ridge\) has 1, member 1 \(Ridge\) has 2"),
    "networks' shapes": (lambda: [torch_network(5), torch_network(5, 3)], "has 1, member 1.* has 3"),
    "network's inputs": (lambda: [torch_network(5), torch_network(4)], "member 1 .*cannot be called"),
    "scalar": (lambda: [lambda Z: 1.0] * 2, r"shape \(6,\)"),
    "transposed": (lambda: [lambda Z: Z.T] * 2, r"shape \(6,\)"),
    "NaN": (
        lambda: [Ridge().fit(X, y), lambda Z: np.where(Z[:, 0] == Z[2, 0], np.nan, Z[:, 0])],
        "member 1 .*NaN.*row 2",
    ),
    "ints": (lambda: [lambda Z: (Z[:, 0] > 0).astype(int)] * 2, "floating-point numbers, it returned ndarray of int64"),
    "names": (lambda: [lambda Z: np.where(Z[:, 0] > 0, "a", "b")] * 2, "floating-point"),
    "ragged": (lambda: [lambda Z: [[1.0], [1.0, 2.0]]] * 2, "floating-point"),
    "masked": (lambda: [lambda Z: np.ma.masked_less(Z[:, 0], 0)] * 2, "masked"),
    "raises": (lambda: [lambda Z: Z @ np.ones(3)] * 2, r"member 0 .*ValueError"),
    "of the batch": (lambda: [lambda Z: Z[:, 0], two_stages], "member 1 .*with other points"),
    "random": (lambda: [lambda Z: Z[:, 0] + np.random.default_rng().normal(size=len(Z))] * 2, "chance"),
    "no dropout": (lambda: MCDropout(torch_network(5)), "MCDropout needs a network with dropout"),
    "always dropout": (
        lambda: MCDropout(nn.Sequential(torch_network(5), AlwaysNoisy())),
        "differ between calls",
    ),
}


class AlwaysNoisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


@pytest.mark.parametrize("name", WRONG)
def test_wrong_models(name: str) -> None:
    model, what = WRONG[name]
    with pytest.raises(BmdalError, match=what):
        members(model(), FEW)


def test_wrong_requests() -> None:
    model = forest().fit(X, y)
    for points, what in [
        (FEW.tolist(), "a list"),
        (FRAME["a"], "Series"),
        (FEW[:1], "at least two points, got 1"),
        (np.ma.masked_less(FEW, 0), "masked"),
        (FEW[:, :3], "RandomForestRegressor cannot be used with the points: ValueError"),
        (TEXT[:6], "cannot be used with the points"),
    ]:
        with pytest.raises(BmdalError, match=what):
            members(model, points)
    network = torch_network(5)
    for options, what in [({"n_members": 1}, "two members"), ({"n_members": 2.0}, "integer"), ({"seed": -1}, "seed")]:
        with pytest.raises(BmdalError, match=what):
            MCDropout(network, **options)
    with pytest.raises(BmdalError, match="takes a torch"):
        MCDropout(model)


def test_predictions_that_go_wrong_later() -> None:
    """What holds for the first few points is checked again for all."""
    found = members([lambda Z: Z[:, 0], lambda Z: np.log(Z[:, 0])], np.abs(FEW))
    with np.errstate(invalid="ignore"), pytest.raises(BmdalError, match=r"member 1 .*NaN"):
        found(POOL)
    grows = members([lambda Z: Z if Z.max() > 2 else Z[:, 0]] * 2, np.zeros((3, 5)))
    with pytest.raises(BmdalError, match=r"1 output\(s\) for the first points and now have 5"):
        grows(POOL + 3)
