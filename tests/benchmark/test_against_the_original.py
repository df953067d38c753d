"""The same indices in the same order as the original software, on real data with a trained network."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from exact_scores import base_features, exact_backward, exact_scores, exact_variance
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn

from benchmark.errors import BenchmarkError
from benchmark.peer import bait_scores, peer_module, peer_select
from benchmark.randomness import generator
from benchmark.split import make_split, scale_inputs
from benchmark.task import Task
from bmdal import Method, select_batch
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train
from bmdal.selection import BaitForward, shadow
from data_prep import prepare

CONF = Path(__file__).resolve().parents[2] / "conf"
SMALL, FULL = (2000, 64), (5000, 128)
"""Points in the pool and in the batch."""

SELECTIONS = ["maxdist-tp", "maxdist-p", "lcmd-tp", "lcmd-p", "maxdet-tp", "maxdet-p", "maxdiag"]
FINITE = ["bait-f-tp", "bait-f-p", "bait-fb-p", "bait-fb-tp", "fw-p"]
KERNELS = [
    "linear",
    "ll",
    "grad",
    "nngp",
    *(f"{k}_{t}" for k in ("linear", "ll", "grad", "nngp") for t in ("scale", "train")),
]
METHODS = [f"{selection}_{kernel}" for selection in SELECTIONS for kernel in KERNELS] + [
    f"{selection}_{kernel}" for selection in FINITE for kernel in KERNELS if kernel.split("_")[0] in ("linear", "ll")
]


@dataclass(frozen=True)
class Problem:
    network: nn.Sequential
    x_train: Tensor
    y_train: Tensor
    x_pool: Tensor


@pytest.fixture(autouse=True)
def _original() -> None:
    try:
        peer_module("bmdal.algorithms")
    except BenchmarkError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def data_folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    os.environ["OPENML_CACHE_DIR"] = str(shared / "data" / "openml_cache")
    return tmp_path_factory.mktemp("data")


@cache
def problem(name: str, data_folder: Path) -> Problem:
    """A network trained on 256 points, and a pool; everything promoted to float64."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [f"dataset={name}"])
    data = prepare(instantiate(config.dataset), data_folder)
    split = make_split(len(data.y), data.n_test, Task(), 0)
    X = torch.from_numpy(scale_inputs(data.X, split))
    y = torch.from_numpy(data.y.copy())
    stack = NetworkStack(X.shape[1], "relu", 0.2, 0.2, [generator(0, 0, "initialization")], torch.device("cpu"))
    points = TrainingData(X[split.train], y[split.train], X[split.valid], y[split.valid])
    train(stack, [points], Training(n_epochs=100), [generator(0, 0, "shuffling")])
    pool = X[split.pool[: FULL[0]]].double()
    return Problem(stack.network(0).double(), points.X.double(), points.y.double(), pool)


PLAIN = [name for name in METHODS if "_scale" not in name]
ALL = [pytest.param(name, data, FULL, marks=pytest.mark.thorough) for name in METHODS for data in ("diamonds", "fried")]


@pytest.mark.parametrize(("name", "dataset", "sizes"), [(name, "diamonds", SMALL) for name in PLAIN] + ALL)
def test_same_indices(
    name: str, dataset: str, sizes: tuple[int, int], data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same order. Where they part, rounding decided: in 80-bit arithmetic our choice is no worse than theirs."""
    n_pool, batch_size = sizes
    p = problem(dataset, data_folder)
    p = replace(p, x_pool=p.x_pool[:n_pool])
    monkeypatch.setattr(peer_module("bmdal.selection").BaitFeatureSpaceSelectionMethod, "get_scores", bait_scores)
    ours, theirs = both(name, p, batch_size)
    if ours == theirs:
        return
    method = Method.from_name(name)
    features = [base_features(method, p.network, x) for x in (p.x_train, p.x_pool)]
    if features[0].n_features is None:
        place = next(place for place, (i, j) in enumerate(zip(ours, theirs, strict=True)) if i != j)
        own, other = exact_variance(method, *features, ours[:place], [ours[place], theirs[place]])
        rounding = features[1].diag().max() * 1e-12
        assert own >= other - float(rounding), f"they part at point {place}: score {own} against {other}"
        return
    Phi = [f.matrix() for f in features]
    if method.selection.name == "bait-fb":
        method, batch = replace(method, selection=BaitForward()), ours
        ours, theirs = both(method.name, p, 2 * batch_size)
        if ours == theirs:  # then they part in what they remove
            assert batch == exact_backward(method, *Phi, ours, batch_size)
            return
    place = next(place for place, (i, j) in enumerate(zip(ours, theirs, strict=True)) if i != j)
    own, other = exact_scores(method, *Phi, ours[:place], [ours[place], theirs[place]])
    (first,) = exact_scores(method, *Phi, [], ours[:1])  # what has been subtracted from since, with its rounding
    rounding = first * 1e-15 if method.selection.name == "fw" else first * 1e-16 / method.sigma**2
    assert own >= other - rounding, f"they part at point {place}: score {own} against {other}"


@pytest.mark.parametrize(
    ("name", "dataset"),
    [(f"{selection}_ll{t}", "diamonds") for selection in FINITE for t in ("", "_train")]
    + [pytest.param(f"{s}_ll_train", "fried", marks=pytest.mark.thorough) for s in FINITE],
)
def test_same_indices_with_8_bits(name: str, dataset: str, data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "N_FEWEST", 1)
    test_same_indices(name, dataset, SMALL, data_folder, monkeypatch)


def both(name: str, p: Problem, batch_size: int) -> tuple[list[int], list[int]]:
    """Our batch and the original's, as far as both were chosen and not filled with random points.

    The original gives up early in some cases of mode TP (it adds training points one by one until rounding has eaten
    all variance), ours in some of `fw` (when rounding is all that is left). `maxdiag` comes from the original in
    ascending order.
    """
    method, arguments = Method.from_name(name), (p.x_train, p.y_train, p.x_pool, batch_size)
    ours = select_batch(method, [p.network], *arguments, torch.Generator().manual_seed(0), distinct=False)
    theirs = peer_select(method, [p.network], *arguments)
    chosen = slice(min(batch_size - ours.n_filled, theirs.n_chosen))
    theirs_in_order = theirs.indices.flip(0) if name.startswith("maxdiag") else theirs.indices
    return ours.indices[chosen].tolist(), theirs_in_order[chosen].tolist()
