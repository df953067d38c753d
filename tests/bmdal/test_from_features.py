"""Features in, indices out: the same batch as by the corresponding network, and refusals with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from toys import generator, normal

from bmdal import BmdalError, KernelFunction, KernelMatrix, Method, select, select_batch
from bmdal.features import DenseFeatures, ProductFeatures
from bmdal.selection import LCMD, MaxDist, Random

Phi_train, Phi_pool, y_train = normal(30, 12, seed=1), normal(300, 12, seed=2), normal(30, seed=3)
NAMES = [
    "random",
    "maxdiag",
    "maxdist-p",
    "maxdist-tp",
    "lcmd-tp",
    "kmeanspp-p_train",
    "maxdet-p_train",
    "maxdet-tp_scale",
    "bait-f-p_rp-20_train",
    "bait-fb-tp",
    "fw-p_acs-rf-hyper-20",
    "lcmd-tp_acs-grad",
]


def chosen(name: str, pool: Any = Phi_pool, train: Any = Phi_train, batch_size: int = 15) -> list[int]:
    return select(name, pool, batch_size, 7, train=train, y_train=y_train).indices.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_of_the_linear_kernel(name: str) -> None:
    selection, *transformations = name.split("_")
    full = name if name == "random" else "_".join([selection, "linear", *transformations])
    network = select_batch(full, nn.Identity(), Phi_train, y_train, Phi_pool, 15, 7)
    assert chosen(name) == network.indices.tolist()
    assert chosen(full) == network.indices.tolist()
    assert select(
        Method.from_name(full), Phi_pool, 15, generator(7), train=Phi_train, y_train=y_train
    ).indices.tolist() == (network.indices.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_kinds_of_features(name: str, tmp_path: Path) -> None:
    half = Phi_pool.numpy().astype(np.float16)
    plain = chosen(name, torch.tensor(half).float(), Phi_train.float())
    np.save(tmp_path / "pool.npy", half)
    rows = TensorDataset(torch.tensor(half), torch.arange(300))
    forms = [half, np.load(tmp_path / "pool.npy", mmap_mode="r"), pd.DataFrame(half.astype(np.float32)), rows]
    forms += [DataLoader(rows, batch_size=7), DenseFeatures(torch.tensor(half).float())]
    for form in forms:
        train = Phi_train if isinstance(form, pd.DataFrame) else Phi_train.float()
        if not isinstance(form, pd.DataFrame):
            assert chosen(name, form, train) == plain
        else:
            assert chosen(name, form, train) == chosen(name, torch.tensor(half).double(), train)


def test_integers_are_features_too() -> None:
    bits = (Phi_pool > 0).numpy()
    for dtype, real in ((np.bool_, np.float32), (np.uint8, np.float32), (np.int16, np.float32), (np.int64, np.float64)):
        assert chosen("maxdist-p", bits.astype(dtype), None) == chosen("maxdist-p", bits.astype(real), None)


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith(("bait", "fw", "random"))])
def test_kernel_matrix(name: str) -> None:
    Phi = torch.cat([Phi_train, Phi_pool])
    for K in (KernelMatrix(Phi @ Phi.T), KernelMatrix((Phi @ Phi.T).numpy())):
        assert chosen(name, K[30:], K[:30]) == chosen(name)
    with pytest.raises(
        BmdalError, match="'bait-f' needs an explicit feature matrix, which 'KernelMatrix' does not have"
    ):
        chosen("bait-f-p", K[30:], K[:30])


def test_kernel_matrix_of_single_precision_in_a_memory_map(tmp_path: Path) -> None:
    K = (Phi_pool @ Phi_pool.T).float().numpy()
    np.save(tmp_path / "K.npy", K)
    mapped = KernelMatrix(np.load(tmp_path / "K.npy", mmap_mode="r+"))
    assert chosen("maxdist-p", mapped, None) == chosen("maxdist-p", KernelMatrix(K), None)
    assert len(set(chosen("maxdet-p", mapped, None))) == 15
    assert np.array_equal(np.load(tmp_path / "K.npy"), K)


@pytest.mark.parametrize(
    "name", ["random", "maxdiag", "maxdist-p", "lcmd-p", "kmeanspp-p", "maxdet-p", "bait-f-p", "fw-p"]
)
def test_a_first_batch_from_nothing(name: str) -> None:
    none = chosen(name, train=None)
    assert len(set(none)) == 15
    if not name.startswith("bait"):  # to which training points are targets
        assert none == chosen(name)
    assert len(set(chosen(f"{name}_rp-8" if name != "random" else name, train=None))) == 15


def test_targets() -> None:
    target = 0.5 * normal(20, 12, seed=9) + 1
    for name in ("epig-p_train", "bait-f-p_train", "bait-fb-tp"):
        kernel = name.replace("-p_", "-p_linear_").replace("-tp", "-tp_linear")
        given = select(name, Phi_pool, 9, 0, train=Phi_train, target=target).indices.tolist()
        network = select_batch(kernel, nn.Identity(), Phi_train, None, Phi_pool, 9, 0, x_target=target.numpy())
        assert given == network.indices.tolist()
        assert given != select(name, Phi_pool, 9, 0, train=Phi_train).indices.tolist()
    with pytest.raises(BmdalError, match="'lcmd' does not use target points; 'epig' and 'bait-f' do"):
        select("lcmd-p", Phi_pool, 9, 0, target=target)
    with pytest.raises(BmdalError, match=r"have shapes x_train \(30, 12\), x_pool \(300, 12\), x_target \(20, 11\)"):
        select_batch("epig-p_linear", nn.Identity(), Phi_train, None, Phi_pool, 9, 0, x_target=target[:, 1:])


def test_selections_by_value() -> None:
    assert select(LCMD(), Phi_pool, 9, 0, train=Phi_train).indices.tolist() == chosen("lcmd-tp", batch_size=9)
    assert select(MaxDist(), Phi_pool, 9, 0).indices.tolist() == chosen("maxdist-p", batch_size=9)
    assert len(select(Random(), Phi_pool, 9, 0).indices) == 9


def test_nothing_is_changed() -> None:
    pool, train = Phi_pool.clone(), Phi_train.clone()
    for name in NAMES:
        chosen(name)
    assert torch.equal(pool, Phi_pool)
    assert torch.equal(train, Phi_train)


def test_an_error_leaves_the_generator_as_it_was() -> None:
    """A second attempt draws the same numbers; the features of the first are infinite after a transformation."""
    generator = torch.Generator().manual_seed(3)
    train, pool = Phi_train.float() * 1e-18, Phi_pool.float() * 1e10
    with pytest.raises(BmdalError, match="the kernel is NaN or infinite for pool"):
        select("lcmd-tp_rp-8_scale", pool, 9, generator, train=train)
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(3).get_state())


def test_points_far_from_zero_are_said_to_be_rounded() -> None:
    X = np.random.default_rng(0).normal(size=(300, 5))
    for offset, dtype, n_notes in ((400, np.float32, 1), (400, np.float64, 0), (20, np.float32, 0)):
        batch = select("lcmd-p", (X + offset).astype(dtype), 9, 0)
        assert len(batch.notes) == n_notes
        assert all("times as far from 0 as from their mean" in note for note in batch.notes)
    assert select("bait-f-p", (X + 400).astype(np.float32), 9, 0).notes == ()


def test_messages() -> None:
    bad = Phi_pool.clone()
    bad[17, 3] = torch.inf
    K = Phi_pool @ Phi_pool.T
    crooked = K.clone()
    crooked[0, -1] += 100
    product = ProductFeatures((DenseFeatures(Phi_pool), DenseFeatures(Phi_pool)))
    cases: dict[str, Any] = {
        "transformation 'train' needs labelled points, train=": lambda: chosen("maxdet-p_train", train=None),
        "mode TP needs labelled points": lambda: chosen("lcmd-tp", train=None),
        "the kernel 'grad' cannot be computed; leave it out, or pass the model": lambda: chosen("lcmd-tp_grad"),
        "unknown transformation 'trein'. Did you mean 'train'": lambda: chosen("maxdet-p_trein"),
        "'ens-3' needs models": lambda: chosen("lcmd-tp_ens-3"),
        "method must be a name such as 'lcmd-tp', a Method or a Selection, got 7": lambda: select(7, Phi_pool, 3, 0),  # type: ignore[arg-type]
        r"pool must be a matrix with a row .* its shape is \(300,\)": lambda: chosen("maxdist-p", Phi_pool[:, 0]),
        "pool has a NaN or infinite value in row 17": lambda: chosen("maxdist-p", bad),
        "they are DenseFeatures with 11 columns, DenseFeatures with 12": lambda: chosen(
            "lcmd-tp", train=Phi_train[:, :11]
        ),
        "they are DenseFeatures with 12 columns, KernelMatrix with no": lambda: chosen("lcmd-tp", KernelMatrix(K)),
        "batch_size must be between 1 and the pool size 300, got 301": lambda: chosen("maxdist-p", batch_size=301),
        "is a loader that shuffles": lambda: chosen("maxdist-p", DataLoader(TensorDataset(Phi_pool), shuffle=True)),
        "pool holds torch.complex128; features must be real": lambda: chosen("maxdist-p", Phi_pool * 1j),
        r"numbers, shape \(n, n\), it is \(300, 299\)": lambda: KernelMatrix(K[:, :299]),
        r"it is a list": lambda: KernelMatrix(K.tolist()),
        r"the diagonal .* must be finite and >= 0, but K\[5, 5\] is -1.0": lambda: KernelMatrix(
            torch.eye(9).index_fill(0, torch.tensor(5), -1.0)
        ),
        r"must be symmetric, but K\[0, 299\] = .* and K\[299, 0\]": lambda: KernelMatrix(crooked),
        "transformation 'rp-8' needs a finite-dimensional kernel": lambda: chosen(
            "maxdist-p_rp-8", KernelMatrix(K), None
        ),
        "'fw' needs an explicit feature matrix, which 'ProductFeatures' does not have; add": lambda: chosen(
            "fw-p", product, None
        ),
    }
    for message, call in cases.items():
        with pytest.raises(BmdalError, match=message):
            call()


class TestKernelFunction:
    X, P = np.random.default_rng(0).normal(size=(15, 3)), np.random.default_rng(1).normal(size=(120, 3))

    @staticmethod
    def k(X: Any, Y: Any) -> NDArray[np.float64]:
        distances: NDArray[np.float64] = ((np.asarray(X)[:, None] - np.asarray(Y)[None]) ** 2).sum(axis=2)
        return 2 * np.exp(-distances / 8)

    def test_maxdet_is_batch_mode_uncertainty_sampling(self) -> None:
        """Each point has the largest predictive variance of scikit-learn's process given all points before."""
        kernel = ConstantKernel(2.0) * RBF(2.0)
        pool, train = KernelFunction(kernel, self.P), KernelFunction(kernel, self.X)
        chosen = select("maxdet-tp", pool, 10, 0, train=train, sigma=0.3)
        known = self.X
        for i, score in zip(chosen.indices.tolist(), chosen.scores.tolist(), strict=True):  # type: ignore[union-attr]
            gp = GaussianProcessRegressor(kernel, alpha=0.3**2, optimizer=None).fit(known, np.zeros(len(known)))
            std = gp.predict(self.P, return_std=True)[1]
            assert i == int(std.argmax())
            assert score == pytest.approx(std[i] ** 2)
            known = np.vstack([known, self.P[i]])

    @pytest.mark.parametrize("name", ["maxdet-tp", "maxdet-p_train", "lcmd-tp", "maxdist-p", "kmeanspp-p", "epig-tp"])
    def test_as_the_matrix(self, name: str) -> None:
        both = np.vstack([self.X, self.P])
        K = KernelMatrix(self.k(both, both))
        expected = select(name, K[15:], 9, 0, train=K[:15]).indices.tolist()
        for as_points in (lambda X: X, torch.from_numpy):
            train, pool = KernelFunction(self.k, as_points(self.X)), KernelFunction(self.k, as_points(self.P))
            assert select(name, pool, 9, 0, train=train).indices.tolist() == expected

    def test_a_function_that_uses_its_memory_again(self) -> None:
        memory = np.empty(120 * 120)

        def k(X: Any, Y: Any) -> NDArray[np.float64]:
            result = memory[: len(X) * len(Y)].reshape(len(X), len(Y))
            result[:] = self.k(X, Y) * np.outer(*(1 + np.abs(Z[:, 0]) for Z in (X, Y)))
            return result

        expected = (2 * (1 + np.abs(self.P[:, 0])) ** 2).tolist()
        assert KernelFunction(k, self.P).diag().tolist() == pytest.approx(expected)

    def test_messages(self) -> None:
        cases: dict[str, tuple[Any, Any]] = {
            "must be callable, got str": ("rbf", self.P),
            r"points must be an array or a tensor, shape \(n, ...\), got list": (self.k, self.P.tolist()),
            r"shape \(64, 64\), for 64 and 64 points; it returned \(64,\) of torch.float64": (
                lambda X, Y: X[:, 0],
                self.P,
            ),
            "it returned .* with NaN or infinity": (lambda X, Y: self.k(X, Y) * np.nan, self.P),
            r"must be symmetric, but k\(x, x'\) and k\(x', x\) differ by": (lambda X, Y: X @ Y.T + X[:, :1], self.P),
            r"must not be negative, but k\(x, x\) is -2.* for point 0": (lambda X, Y: -self.k(X, Y), self.P),
        }
        for message, (function, X) in cases.items():
            with pytest.raises(BmdalError, match=message):
                KernelFunction(function, X)
        with pytest.raises(BmdalError, match=r"sigma=0\.1 cannot be combined with a Method, which has its own, 0\.001"):
            select(Method.from_name("lcmd-tp_linear"), self.P, 3, 0, train=self.X, sigma=0.1)


def test_train_and_pool_are_of_one_kernel_and_one_table() -> None:
    X, P = np.random.default_rng(0).normal(size=(9, 3)), np.random.default_rng(1).normal(size=(30, 3))
    frame, train = pd.DataFrame(P, columns=list("abc")), pd.DataFrame(X, columns=list("cba"))
    cases: dict[str, Callable[[], object]] = {
        "must be rows of one KernelMatrix over all points": lambda: select(
            "lcmd-tp", KernelMatrix(P @ P.T), 3, 0, train=KernelMatrix(X @ X.T)
        ),
        "must have the same kernel function and factor": lambda: select(
            "lcmd-tp", KernelFunction(RBF(1.0), P), 3, 0, train=KernelFunction(RBF(2.0), X)
        ),
        "train must have the same columns|same columns in the same order": lambda: select(
            "lcmd-tp", frame, 3, 0, train=train
        ),
        "pool must be one matrix with a row of features for each point, not a tuple": lambda: select(
            "lcmd-p", (P, P), 3, 0
        ),  # type: ignore[arg-type]
        "pool is an empty data set": lambda: select("lcmd-p", TensorDataset(torch.empty(0, 3)), 3, 0),
        "train is an empty data set": lambda: select("lcmd-p", P, 3, 0, train=TensorDataset(torch.empty(0, 3))),
        "target is empty": lambda: select("epig-p", P, 3, 0, target=np.zeros((0, 3))),
        "pool must be a tensor, a NumPy array or a pandas frame": lambda: select("lcmd-p", None, 3, 0),  # type: ignore[arg-type]
        "the kernel is NaN or infinite for pool": lambda: select("lcmd-p", (1e25 * P).astype(np.float32), 3, 0),
        "X must hold numbers, it is an array of": lambda: KernelFunction(RBF(1.0), np.array(["CCO", "C"])),
        "the kernel function cannot be used with the points: ValueError": lambda: KernelFunction(RBF([1.0, 2.0]), P),
    }
    for message, call in cases.items():
        with pytest.raises(BmdalError, match=message):
            call()
    first = select("lcmd-tp", TensorDataset(torch.from_numpy(P), torch.zeros(30)), 3, 0, train=X)
    assert first.notes[0] == "pool: the first of 2 parts is passed to the network, the others are ignored"
    K = KernelMatrix(P @ P.T)
    assert [len(K[i]) for i in (-1, np.int64(3), slice(2, 5))] == [1, 1, 3]
    assert int(K[-1].rows[0]) == 29
    assert (
        select("maxdist-tp", KernelFunction(RBF(1.0), P[::-1]), 3, 0, train=KernelFunction(RBF(1.0), X)).n_filled == 0
    )
