"""Transformations against naive float64 formulas, and what they expect in the mean."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from toys import generator, naive_posterior, normal

from bmdal import BmdalError
from bmdal.features import DenseFeatures, Features, NNGPFeatures, ProductFeatures, SumFeatures
from bmdal.linalg import JitterWarning, cholesky
from bmdal.testing import check_transformation
from bmdal.transformations import (
    AcsGradient,
    AcsRandomFeatures,
    AcsRandomFeaturesHyper,
    AcsRandomFeaturesPaper,
    Ensemble,
    RandomProjection,
    Scale,
    Train,
    Transformation,
)

SIGMA = 0.2
N, N_TRAIN, P = 9, 12, 5
EXPLICIT: list[Transformation] = [
    Scale(),
    Train(),
    RandomProjection(7),
    AcsRandomFeatures(7),
    AcsRandomFeaturesPaper(7),
    AcsRandomFeaturesHyper(7),
    AcsGradient(),
    Ensemble(1),
]


def scaled() -> tuple[Tensor, Tensor]:
    """Points and training points, scaled so that the mean of the training diagonal is 1."""
    X, X_train = normal(N, P), normal(N_TRAIN, P, seed=1)
    factor = X_train.square().sum(dim=1).mean() ** -0.5
    return X * factor, X_train * factor


def apply(transformation: Transformation, train: Features, features: Features, seed: int = 0) -> Features:
    y = normal(len(train), seed=2)
    return transformation.fit(train, y, SIGMA, generator(seed))(features)


@pytest.mark.parametrize("transformation", EXPLICIT, ids=lambda t: t.name)
def test_contract(transformation: Transformation) -> None:
    check_transformation(transformation)


@pytest.mark.parametrize("transformation", [Scale(), Train(), AcsGradient()], ids=lambda t: t.name)
def test_float32_agrees_with_float64(transformation: Transformation) -> None:
    X, X_train = DenseFeatures(normal(N, P)), DenseFeatures(normal(N_TRAIN, P, seed=1))
    double = apply(transformation, X_train, X).diag()
    single = apply(transformation, X_train.to(dtype=torch.float32), X.to(dtype=torch.float32)).diag()
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


def test_scale() -> None:
    X, X_train = scaled()
    features = apply(Scale(), DenseFeatures(3 * X_train), DenseFeatures(3 * X))
    torch.testing.assert_close(features.kernel(features), X @ X.T)


@pytest.mark.parametrize("in_kernel_space", [False, True])
def test_train(in_kernel_space: bool) -> None:
    X, X_train = scaled()

    def build(X: Tensor) -> Features:
        one = DenseFeatures(torch.ones(len(X), 1, dtype=X.dtype))
        return ProductFeatures((DenseFeatures(3 * X), one)) if in_kernel_space else DenseFeatures(3 * X)

    features = apply(Train(), build(X_train), build(X))
    assert (features.n_features is None) == in_kernel_space
    expected = naive_posterior(X @ X.T, X @ X_train.T, X_train @ X_train.T, SIGMA)
    torch.testing.assert_close(features.kernel(features), expected)


def test_train_on_nngp() -> None:
    X, X_train = normal(N, P), normal(N_TRAIN, P, seed=1)

    def k(a: Tensor, b: Tensor) -> Tensor:
        return NNGPFeatures(a, 3, 1.0).kernel(NNGPFeatures(b, 3, 1.0))

    factor = 1 / k(X_train, X_train).diagonal().mean()
    expected = naive_posterior(factor * k(X, X), factor * k(X, X_train), factor * k(X_train, X_train), SIGMA)
    features = apply(Train(), NNGPFeatures(X_train, 3, 1.0), NNGPFeatures(X, 3, 1.0))
    torch.testing.assert_close(features.kernel(features), expected)


def test_posterior_is_computed_in_float64() -> None:
    X = DenseFeatures(normal(N, P).float())
    for transformation in (Train(), AcsRandomFeatures(4), AcsRandomFeaturesHyper(4), AcsGradient()):
        assert apply(transformation, X, X).dtype == torch.float64


def test_ensemble_is_the_sum() -> None:
    a, b = DenseFeatures(normal(N, 3)), DenseFeatures(normal(N, 3, seed=1))
    features = Ensemble(2).combine([a, b])
    assert isinstance(features, SumFeatures)
    torch.testing.assert_close(features.kernel(features), a.kernel(a) + b.kernel(b))


def test_acs_gradient() -> None:
    X, X_train = scaled()
    features = apply(AcsGradient(), DenseFeatures(2 * X_train), DenseFeatures(2 * X))
    posterior = naive_posterior(X @ X.T, X @ X_train.T, X_train @ X_train.T, SIGMA)
    torch.testing.assert_close(features.kernel(features), SIGMA**-4 * (X @ X.T) * posterior)


@pytest.mark.parametrize(("transformation", "paper"), [(AcsRandomFeatures, False), (AcsRandomFeaturesPaper, True)])
def test_acs_random_features_expect_the_closed_form(transformation: type[AcsRandomFeatures], paper: bool) -> None:
    """E[f f'] for z, z' jointly normal with variances q, q' and covariance c, within 5 standard errors.

    f = l - (z^2 + q) / (2 s^2) with l = 0.5 log(1 + q / s^2); E[z^2] = q, E[z^2 z'^2] = q q' + 2 c^2, hence
    E[f f'] = (l - q / s^2) (l' - q' / s^2) + c^2 / (2 s^4).
    """
    X, X_train = scaled()
    S = torch.linalg.inv(X_train.T @ X_train + SIGMA**2 * torch.eye(P, dtype=torch.float64))
    C = X @ (SIGMA**2 * S if paper else S) @ X.T
    q, s2 = C.diagonal(), SIGMA**2
    mean = 0.5 * torch.log(1 + q / s2) - q / s2
    expected = mean[:, None] * mean[None, :] + C**2 / (2 * s2**2)
    kernels = torch.stack(
        [
            (f := apply(transformation(64), DenseFeatures(X_train), DenseFeatures(X), seed)).kernel(f)
            for seed in range(300)
        ]
    )
    error = (kernels.mean(dim=0) - expected).abs()
    assert (error <= 5 * kernels.std(dim=0) / 300**0.5).all()
    assert error.max() < 0.2 * expected.abs().max()


def test_acs_random_features_hyper_expect_the_closed_form() -> None:
    """E[f f'] with f = -0.5 log(2 pi) - (z^2 + v) / 2, z ~ N(0, q): products of means plus c^2 / 2."""
    X, X_train = scaled()
    y = normal(N_TRAIN, seed=2)
    S = torch.linalg.inv(X_train.T @ X_train + torch.eye(P, dtype=torch.float64))
    m = S @ X_train.T @ y
    a, b = 1 + N_TRAIN / 2, 1 + (y @ y - m @ torch.linalg.inv(S) @ m) / 2
    C = X @ S @ X.T
    q = C.diagonal()
    mean = -0.5 * math.log(2 * math.pi) - (q + b / a * (1 + q)) / 2
    expected = mean[:, None] * mean[None, :] + C**2 / 2
    kernels = torch.stack(
        [
            (f := apply(AcsRandomFeaturesHyper(64), DenseFeatures(X_train), DenseFeatures(X), seed)).kernel(f)
            for seed in range(300)
        ]
    )
    assert ((kernels.mean(dim=0) - expected).abs() <= 5 * kernels.std(dim=0) / 300**0.5 + 1e-9).all()


def test_labels_are_needed() -> None:
    features = DenseFeatures(normal(N, P))
    with pytest.raises(BmdalError, match="needs the training labels"):
        AcsRandomFeaturesHyper(4).fit(features, None, SIGMA, generator())


def test_jitter_is_reported() -> None:
    A = torch.diag(torch.tensor([1.0, 1.0, -1e-15], dtype=torch.float64))
    with pytest.warns(JitterWarning, match="added jitter"):
        L = cholesky(A, 0.0)
    assert torch.isfinite(L).all()
    with pytest.raises(BmdalError, match="no Cholesky factor"):
        cholesky(-torch.eye(3, dtype=torch.float64), 0.0)
