"""Points in other forms than tensors give the batch that tensors give."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from toys import generator, normal, ntk_network, torch_network

import bmdal.pipeline
from bmdal import BmdalError, Method, select, select_batch
from bmdal.inputs import Inputs
from bmdal.part import Part

NAMES = [
    "random",
    "maxdist-tp_linear",
    "maxdist-tp_nngp",
    "maxdet-p_nngp_train",
    "lcmd-tp_ll",
    "lcmd-tp_grad",
    "lcmd-tp_grad_rp-64",
    "kmeanspp-p_ll_train",
    "fw-p_grad_rp-64_acs-rf-hyper-64",
    "bait-f-p_ll_train",
]
COLUMNS = list("abcd")
x_train, y_train, x_pool = normal(20, 4, seed=1).float(), normal(20, seed=2), normal(300, 4, seed=3).float()


def batch(name: str, x: Any, y: Any, pool: Any, network: nn.Module | None = None) -> list[int]:
    network = ntk_network().float() if network is None else network
    return select_batch(Method.from_name(name), [network], x, y, pool, 12, generator(4)).indices.tolist()


def frame(x: Tensor) -> pd.DataFrame:
    return pd.DataFrame(x.double().numpy(), columns=COLUMNS)


def read_only(x: NDArray[Any]) -> NDArray[Any]:
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("name", NAMES)
def test_arrays_and_frames(name: str) -> None:
    """In float64, which becomes the networks' float32; read-only, reversed and big-endian arrays."""
    plain = batch(name, x_train, y_train, x_pool)
    x, pool = x_train.double().numpy(), x_pool.double().numpy()
    assert batch(name, x, y_train.numpy(), pool) == plain
    assert batch(name, frame(x_train), pd.Series(y_train.numpy()), frame(x_pool)) == plain
    assert batch(name, frame(x_train), pd.DataFrame({"y": y_train.numpy()}), frame(x_pool)) == plain
    assert batch(name, read_only(x), y_train, pool[::-1].copy()[::-1]) == plain
    assert batch(name, x.astype(">f8"), y_train, pool.astype(np.float32)) == plain


def test_frames_of_several_types() -> None:
    table = pd.DataFrame(
        {"a": [1, 2, 3], "b": [0.5, 1, 2], "c": pd.array([3, 4, 6], "Int64"), "d": [True, False, True]}
    )
    tensor = torch.tensor([[1, 0.5, 3, 1], [2, 1, 4, 0], [3, 2, 6, 1]])
    network, name = ntk_network().float(), Method.from_name("maxdist-tp_grad")
    chosen = [select_batch(name, [network], x, None, x, 2, generator()).indices for x in (table, tensor)]
    assert torch.equal(*chosen)


def test_ids_of_frames() -> None:
    table, network = frame(x_pool).set_index(pd.Index([f"p{i}" for i in range(300)])), ntk_network().float()
    chosen = select_batch("lcmd-tp_ll", network, frame(x_train), None, table, 5, 0)
    assert chosen.ids is not None
    assert chosen.ids.tolist() == [f"p{i}" for i in chosen.indices]
    by_features = select("maxdist-p", table, 5, 0)
    assert by_features.ids.tolist() == [f"p{i}" for i in by_features.indices]
    assert select_batch("lcmd-tp_ll", network, x_train, None, x_pool, 5, 0).ids is None


def test_integers_stay_integers() -> None:
    network = nn.Sequential(nn.Embedding(50, 3), nn.Flatten(), nn.Linear(6, 1))
    x, pool = np.array([[1, 2], [3, 4]]), np.arange(50).reshape(25, 2)
    assert batch("lcmd-tp_grad", x, None, pool, network) == batch(
        "lcmd-tp_grad", torch.tensor(x), None, torch.tensor(pool), network
    )


class Items(Dataset[Any]):
    """A map-style data set whose items are made when they are asked for; knows how many are alive."""

    def __init__(self, pool: Tensor, form: str = "tensor") -> None:
        self.pool, self.form = pool, form
        self.reads = [0] * len(pool)
        self.alive = self.peak = 0

    def __len__(self) -> int:
        return len(self.pool)

    def __getitem__(self, i: int) -> Any:
        assert isinstance(i, int)
        x = self.pool[i].clone()
        self.reads[i] += 1
        self.alive += 1
        self.peak = max(self.peak, self.alive)
        weakref.finalize(x, self._gone)
        return {"tensor": x, "pair": (x, 0.5), "list": [x], "array": x.double().numpy()}[self.form]

    def _gone(self) -> None:
        self.alive -= 1


class ItemsAtOnce(Items):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [(self.pool[i],) for i in indices]

    def __getitem__(self, i: int) -> Any:
        raise AssertionError("not one by one")


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 7 points at a time of features as wide as the inputs."""
    monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": 7 * 3 * 4 * 4})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("chunks", ["whole", "small"])
def test_data_sets(name: str, chunks: str, request: pytest.FixtureRequest) -> None:
    plain = batch(name, x_train, y_train, x_pool)
    if chunks == "small":  # some 45 chunks
        request.getfixturevalue("small_chunks")
        assert batch(name, x_train, y_train, Items(x_pool, "pair")) == plain
        assert batch(name, x_train, y_train, ItemsAtOnce(x_pool)) == plain
        return
    for form in ("tensor", "pair", "list", "array"):
        assert batch(name, x_train, y_train, Items(x_pool, form)) == plain
    assert batch(name, x_train, y_train, ItemsAtOnce(x_pool)) == plain
    assert batch(name, x_train, y_train, TensorDataset(x_pool, torch.arange(300))) == plain
    twice = torch.cat([x_pool.flip(0), x_pool])
    assert batch(name, x_train, y_train, Subset(TensorDataset(twice), range(300, 600))) == plain


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["lcmd-tp_ll_rp-4", "maxdist-tp_linear", "maxdist-tp_nngp"])
def test_the_pool_is_never_in_memory(name: str) -> None:
    """Each item is read once, a few also to look at the network, and those of one chunk are alive at a time."""
    items = Items(x_pool)
    batch(name, x_train, None, items)
    assert items.alive == 0
    assert items.peak <= 7 + 8
    assert max(items.reads[1:]) <= 2
    assert sum(items.reads) <= 300 + 8 + 3


def test_large_inputs_make_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the inputs are larger than their features, they say how many points fit."""
    monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": 5 * 3 * 4 * 400})
    network = nn.Sequential(nn.AvgPool1d(100), nn.Linear(4, 1))
    items = Items(normal(60, 400).float())
    batch("lcmd-tp_ll", normal(5, 400, seed=1).float(), None, items, network)
    assert items.peak <= 5 + 8


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(x_pool)


class Unsized(Dataset[Tensor]):
    def __getitem__(self, i: int) -> Tensor:
        return x_pool[i]


class Ragged(Items):
    def __getitem__(self, i: int) -> Tensor:
        return x_pool[i, : 4 if i < 8 else 3]


class Records(Items):
    def __getitem__(self, i: int) -> Any:
        return {"x": x_pool[i]}


def test_messages() -> None:
    words = pd.DataFrame({"a": [1.0] * 20, "name": ["x"] * 20, "c": 1, "d": 1})
    bad = x_pool.clone()
    bad[17, 1] = torch.inf
    missing = frame(x_pool)
    missing.loc[5, "b"] = None
    swapped, narrow = frame(x_pool)[["a", "c", "b", "d"]], frame(x_pool)[["a", "b", "c"]]
    f = frame(x_train)
    cases: dict[str, tuple[Any, Any]] = {
        r"x_train: column 'name' holds (object|str), not numbers; encode it or drop it": (words, x_pool),
        "x_pool must hold numbers, it is an array of object": (x_train, np.array([["a", 1]], dtype=object)),
        "x_pool must be a tensor, a NumPy array or a pandas frame of numbers, it is a list": (
            x_train,
            [[1.0] * 4] * 20,
        ),
        "x_pool has a NaN or infinite value in row 17; drop such rows": (x_train, Items(bad)),
        "x_pool has a NaN or infinite value in row 5": (f, missing),
        "same columns in the same order: column 1 is 'b' and 'c'": (f, swapped),
        "same columns in the same order: column 3 is 'd' and none": (f, narrow),
        "x_pool must be a map-style data set with __len__ and __getitem__": (x_train, Endless()),
        "x_pool must be a map-style data set": (x_train, Unsized()),
        r"items of x_pool must have the same shape: item 0 has \(4,\), item 42 has \(3,\)": (x_train, Ragged(x_pool)),
        r"shapes x_train \(20, 4\), x_pool \['x'\] \(300, 4\)": (x_train, Records(x_pool)),
        r"they have shapes x_train \(20, 3\), x_pool \(300, 4\)": (x_train[:, :3], Items(x_pool)),
        "x_train must have shape": (torch.tensor(1.0), x_pool),
    }
    for message, (x, pool) in cases.items():
        with pytest.raises(BmdalError, match=message):
            batch("lcmd-tp_ll", x, None, pool)
    with pytest.raises(BmdalError, match="y_train: column 'name' holds"):
        batch("fw-p_ll_acs-rf-hyper-8", x_train, words[["name"]], x_pool)


def test_double_networks_keep_double_arrays() -> None:
    x, pool = normal(6, 4), normal(50, 4, seed=1)
    network = torch_network()
    assert batch("lcmd-tp_grad", x.numpy(), None, pool.numpy(), network) == batch(
        "lcmd-tp_grad", x, None, pool, network
    )


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_a_network_on_the_gpu_takes_arrays_frames_and_data_sets(name: str) -> None:
    plain = batch(name, x_train.double(), y_train, x_pool.double(), ntk_network())
    on_gpu = ntk_network().cuda()
    assert batch(name, x_train.double().numpy(), y_train.numpy(), x_pool.double().numpy(), on_gpu) == plain
    assert batch(name, frame(x_train), y_train, frame(x_pool), on_gpu) == plain
    assert batch(name, x_train.double(), y_train, Items(x_pool.double()), on_gpu) == plain


@given(st.integers(1, 9), st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_a_point_has_one_place_in_a_chunk_of_one_size_whoever_holds_it(size: int, sizes: list[int]) -> None:
    """What a network computes for it may depend on both, by rounding."""

    def computed(X: Inputs) -> Tensor:
        chunks = [X[i : i + size] for i in range(0, len(X), size)]
        places = [torch.stack([x, torch.arange(len(x)), torch.full_like(x, len(x))]) for x in chunks]
        return torch.cat(places, dim=1)

    pool, start = torch.arange(sum(sizes)), 0
    whole = computed(pool)
    for n in sizes:
        points, own = Part(pool[start : start + n], start, len(pool)).padded(size)
        assert torch.equal(computed(points)[:, own], whole[:, start : start + n])
        start += n
