"""The contract of Features: every kind of features against dense algebra."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import pytest
import torch
from torch import Tensor
from toys import generator, naive_posterior, normal

from bmdal.errors import IncompatibleError
from bmdal.features import (
    DenseFeatures,
    Features,
    NNGPFeatures,
    PosteriorFeatures,
    ProductFeatures,
    StoredFeatures,
    SumFeatures,
)
from bmdal.features.posterior import condition

N = 7


class FeaturesContract(ABC):
    """Subclass it, say how to build features of given points and their kernel matrix, and inherit the tests."""

    sketchable = True

    @abstractmethod
    def build(self, X: Tensor) -> Features: ...

    @abstractmethod
    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor: ...

    def points(self) -> Tensor:
        return normal(N, 3)

    def test_kernel_and_diagonal(self) -> None:
        X, Y = self.points(), normal(5, 3, seed=1)
        features = self.build(X)
        torch.testing.assert_close(features.kernel(self.build(Y)), self.dense_kernel(X, Y))
        torch.testing.assert_close(features.diag(), self.dense_kernel(X, X).diagonal())
        assert len(features) == N

    def test_indexing(self) -> None:
        X = self.points()
        features, K = self.build(X), self.dense_kernel(X, X)
        for index in (slice(2, 5), torch.tensor([4, 0, 4]), torch.tensor([True, False] * 3 + [True])):
            part = features[index]
            torch.testing.assert_close(part.kernel(features), K[index])
        assert len(features[3]) == 1
        torch.testing.assert_close(features[3].diag(), K.diagonal()[3:4])

    def test_scaled(self) -> None:
        X = self.points()
        torch.testing.assert_close(
            self.build(X).scaled(2.5).kernel(self.build(X).scaled(2.5)), 2.5 * self.dense_kernel(X, X)
        )

    def test_squared_distances(self) -> None:
        X = self.points()
        features, K = self.build(X), self.dense_kernel(X, X)
        expected = K.diagonal()[:, None] + K.diagonal()[None, :] - 2 * K
        distances = features.squared_distances(features)
        torch.testing.assert_close(distances, expected.clamp(min=0), rtol=1e-6, atol=1e-12)
        assert (distances >= 0).all()

    def test_round_trip_through_tensors(self) -> None:
        features = self.build(self.points())
        again = features.with_tensors(features.tensors())
        torch.testing.assert_close(again.kernel(again), features.kernel(features))
        assert features.nbytes == sum(t.numel() * 8 for t in features.tensors())

    def test_float32_agrees(self) -> None:
        features = self.build(self.points())
        single = features.to(dtype=torch.float32)
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.kernel(single).double(), features.kernel(features), rtol=1e-4, atol=1e-4)

    def test_matrix_gives_the_kernel(self) -> None:
        features = self.build(self.points())
        if features.n_features is None:
            with pytest.raises(IncompatibleError):
                features.matrix()
            return
        Phi = features.matrix()
        assert Phi.shape == (N, features.n_features)
        torch.testing.assert_close(Phi @ Phi.T, features.kernel(features))

    def test_sketch_is_unbiased(self) -> None:
        """The mean of 400 sketched kernels lies within 5 standard errors of the kernel, everywhere."""
        features = self.build(self.points())
        if not self.sketchable:
            with pytest.raises(IncompatibleError):
                features.draw_sketch(8, generator())
            return
        g = generator(3)
        draws = []
        for _ in range(400):
            sketch = features.draw_sketch(8, g)
            whole = sketch(features)
            torch.testing.assert_close(sketch(features[2:4]), whole[2:4])  # one draw for all points
            draws.append(whole @ whole.T)
        kernels = torch.stack(draws)
        error = (kernels.mean(dim=0) - features.kernel(features)).abs()
        assert (error <= 5 * kernels.std(dim=0) / 400**0.5 + 1e-12).all()


class TestDense(FeaturesContract):
    def build(self, X: Tensor) -> Features:
        return DenseFeatures(X)

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return X @ Y.T


class TestStored(FeaturesContract):
    """In memory, float64, and in blocks of three points: see test_stored.py for files and other precisions."""

    @pytest.fixture(autouse=True)
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bmdal.features.stored.BLOCK_ROWS", 3)

    def build(self, X: Tensor) -> Features:
        return StoredFeatures(X)

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return X @ Y.T


class TestStoredAndTransformed(TestStored):
    """The transformation is applied to each block; rows are given in another order."""

    def build(self, X: Tensor) -> Features:
        squares = StoredFeatures(X.flip(0)).mapped(lambda f: DenseFeatures(f.matrix() ** 2))
        return squares[torch.arange(len(X)).flip(0)]

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return X**2 @ (Y**2).T


class TestSum(FeaturesContract):
    def build(self, X: Tensor) -> Features:
        return SumFeatures((DenseFeatures(X), DenseFeatures(2 * X[:, :2]), DenseFeatures(X**2)))

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return X @ Y.T + 4 * X[:, :2] @ Y[:, :2].T + X**2 @ (Y**2).T


class TestProduct(FeaturesContract):
    def build(self, X: Tensor) -> Features:
        return ProductFeatures((DenseFeatures(X), DenseFeatures(X**2 + 1), DenseFeatures(X[:, :1])))

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return (X @ Y.T) * ((X**2 + 1) @ (Y**2 + 1).T) * (X[:, :1] @ Y[:, :1].T)


class TestSumOfProducts(FeaturesContract):
    def build(self, X: Tensor) -> Features:
        return SumFeatures((ProductFeatures((DenseFeatures(X), DenseFeatures(X**2))), DenseFeatures(X)))

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        return (X @ Y.T) * (X**2 @ (Y**2).T) + X @ Y.T


class TestNNGP(FeaturesContract):
    sketchable = False

    def build(self, X: Tensor) -> Features:
        return NNGPFeatures(X, n_layers=3, sigma_w=1.3)

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        """Entry by entry, by the recursion of the definition."""

        def k(x: Tensor, y: Tensor) -> float:
            a, b, c = (1.3**2 / 3 * float(u @ v) for u, v in ((x, x), (x, y), (y, y)))
            for _ in range(2):
                a, b, c = (1.3**2 * self.T(p, q, r) for p, q, r in ((a, a, a), (a, b, c), (c, c, c)))
            return b

        return torch.tensor([[k(x, y) for y in Y] for x in X], dtype=torch.float64)

    @staticmethod
    def T(a: float, b: float, c: float) -> float:
        u = min(1.0, max(-1.0, b / math.sqrt(a * c)))
        return math.sqrt(a * c) / (2 * math.pi) * (math.sqrt(1 - u * u) + (math.pi - math.acos(u)) * u)

    def test_kernel_of_zero_is_zero(self) -> None:
        zero = self.build(torch.zeros(1, 3, dtype=torch.float64))
        assert zero.kernel(self.build(self.points())).abs().max() == 0


class TestPosteriorInKernelSpace(FeaturesContract):
    sketchable = False

    def build(self, X: Tensor) -> Features:
        observed = NNGPFeatures(normal(4, 3, seed=2), n_layers=2, sigma_w=1.0)
        posterior = condition(observed, sigma=0.1)(NNGPFeatures(X, n_layers=2, sigma_w=1.0))
        assert isinstance(posterior, PosteriorFeatures)
        return posterior

    def dense_kernel(self, X: Tensor, Y: Tensor) -> Tensor:
        def k(x: Tensor, y: Tensor) -> Tensor:
            return NNGPFeatures(x, 2, 1.0).kernel(NNGPFeatures(y, 2, 1.0))

        O = normal(4, 3, seed=2)  # noqa: E741
        return k(X, Y) - k(X, O) @ torch.linalg.inv(k(O, O) + 0.01 * torch.eye(4)) @ k(O, Y)


@pytest.mark.parametrize("n_observed", [2, 5, 30])
@pytest.mark.parametrize("sigma", [1e-3, 0.5, 1e4])
def test_posterior_in_feature_space_equals_the_definition(n_observed: int, sigma: float) -> None:
    """Few and many observations for 6 features take different ways to the same kernel."""
    X, observed = normal(N, 6), normal(n_observed, 6, seed=1)
    posterior = condition(DenseFeatures(observed), sigma)(DenseFeatures(X))
    gram = observed.T @ observed + sigma**2 * torch.eye(6, dtype=torch.float64)
    expected = sigma**2 * X @ torch.linalg.solve(gram, X.T)  # equal to the definition, and well conditioned
    naive = naive_posterior(X @ X.T, X @ observed.T, observed @ observed.T, sigma)
    torch.testing.assert_close(expected, naive, rtol=1e-6, atol=1e-6)
    assert posterior.n_features == 6
    torch.testing.assert_close(posterior.kernel(posterior), expected, rtol=1e-6, atol=1e-9)
    if sigma == 1e4:  # nothing is learned from very noisy observations
        torch.testing.assert_close(posterior.kernel(posterior), X @ X.T, rtol=1e-5, atol=1e-5)


def test_duplicates_have_distance_zero_in_float32() -> None:
    X = torch.randn(50, 512, generator=generator()) + 5
    features = DenseFeatures(torch.cat([X, X]))
    assert features.squared_distances(features).diagonal(50).abs().max() == 0
