"""Features in files: written whole or not at all, and selected from as if they were in memory."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from toys import normal

from bmdal import BmdalError, IncompatibleError, Method, read_features, select, select_batch, write_features
from bmdal.features import DenseFeatures, StoredFeatures
from bmdal.files.layout import DTYPES
from bmdal.members import MCDropout

DTYPES_OF_FILES = [getattr(torch, name) for name in DTYPES]
N_BLOCK = 64
NAMES = [
    "random",
    "maxdiag",
    "power",
    "maxdist-p",
    "maxdist-tp",
    "lcmd-p",
    "lcmd-tp",
    "kmeanspp-p",
    "kmeanspp-tp",
    "maxdet-p",
    "maxdet-tp",
    "maxdet-p_train",
    "maxdet-p_acs-grad",
    "lcmd-tp_scale",
    "lcmd-tp_train",
    "lcmd-tp_rp-32",
    "kmeanspp-p_rp-32_train",
    "maxdiag_train",
    "lcmd-tp_acs-rf-16",
    "lcmd-tp_acs-grad",
    "bait-f-p_train",
]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmdal.features.stored.BLOCK_ROWS", N_BLOCK)
    monkeypatch.setattr("bmdal.files.write.BLOCK_ROWS", N_BLOCK)
    monkeypatch.setattr("bmdal.files.blocks.BLOCK_ROWS", N_BLOCK)


def points(n: int, p: int, seed: int = 0) -> Tensor:
    """Float32 features with a falling spectrum, in clusters."""
    centres, scales = normal(9, p, seed=seed) * 2, torch.linspace(1, 0.1, p)
    return ((normal(n, p, seed=seed + 1) + centres[torch.arange(n) % 9]) * scales).float()


def chosen(name: str, pool: Any, train: Any, **options: Any) -> list[int]:
    return select(name, pool, 20, 5, train=train, **options).indices.tolist()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *((name, torch.float16) for name in NAMES),
        *(("maxdist-tp_scale", dtype) for dtype in DTYPES_OF_FILES[1:]),
        *(pytest.param(n, dtype, marks=pytest.mark.thorough) for n in NAMES for dtype in DTYPES_OF_FILES[1:]),
    ],
)
def test_the_batch_is_that_of_the_rounded_features(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    train, pool = points(30, 24, seed=5), points(5 * N_BLOCK + 9, 24)
    stored = write_features(tmp_path / "pool.npy", pool, dtype=dtype)
    rounded = pool.to(dtype).to(torch.promote_types(dtype, torch.float32))
    assert chosen(name, stored, train) == chosen(name, rounded, train)
    assert chosen(name, str(tmp_path / "pool.npy"), train) == chosen(name, rounded, train)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize("name", ["lcmd-tp", "maxdist-p", "kmeanspp-p"])
def test_with_a_principal_bound(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Enough points and features for the bound, and more than one block."""
    train, pool = points(30, 128, seed=5), points(20_000, 128)
    stored = write_features(tmp_path / "pool.npy", pool, dtype=dtype)
    assert chosen(name, stored, train) == chosen(name, pool.to(dtype).float(), train)


def test_as_the_definition_in_float64(tmp_path: Path) -> None:
    """Each pick is the farthest point from those before, by distances in float64 of the numbers in the file."""
    pool = points(5000, 128)
    path = tmp_path / "pool.npy"
    batch = select("maxdist-p", write_features(path, pool), 15, 0, distinct=False).indices.tolist()
    Phi = torch.from_numpy(np.load(path)).double()
    nearest = Phi.square().sum(dim=1)
    for i, picked in enumerate(batch):
        torch.testing.assert_close(nearest[picked], nearest.max(), rtol=1e-5, atol=0)
        d2 = (Phi - Phi[picked]).square().sum(dim=1)
        nearest = d2 if i == 0 else torch.minimum(nearest, d2)


@pytest.mark.usefixtures("small_blocks")
@given(n=st.integers(1, 3 * N_BLOCK), p=st.integers(1, 5), data=st.data())
@settings(max_examples=25, deadline=None)
def test_any_rows_of_any_precision(n: int, p: int, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(DTYPES_OF_FILES))
    numbers = st.lists(st.integers(0, n - 1), max_size=2 * N_BLOCK)
    Phi = normal(n, p, seed=n).to(dtype)
    features, rows = StoredFeatures(Phi), torch.tensor(data.draw(numbers), dtype=torch.long)
    exact = Phi.to(torch.float64)
    single = torch.promote_types(dtype, torch.float32)
    for part, expected in ((features, exact), (features[rows], exact[rows]), (features[1:], exact[1:])):
        assert part.dtype == single
        assert torch.equal(part.matrix(), expected.to(single))
        assert torch.equal(part.to(dtype=torch.float64).matrix(), expected)
        tolerance = 100 * torch.finfo(single).eps
        torch.testing.assert_close(part.diag().double(), expected.square().sum(dim=1), rtol=tolerance, atol=0)
        torch.testing.assert_close(
            part.kernel(features).double(), expected @ exact.T, rtol=tolerance, atol=tolerance * p * 30
        )


def test_a_point_has_the_same_numbers_in_every_shard() -> None:
    """With shards that begin with a block, whatever comes before and after."""
    Phi, centre = normal(20_000, 50).half(), DenseFeatures(normal(3, 50, seed=1).float())
    whole = StoredFeatures(Phi)
    shard = StoredFeatures(Phi[8192:16_384])
    assert torch.equal(whole.kernel(centre)[8192:16_384], shard.kernel(centre))
    assert torch.equal(whole.diag()[8192:16_384], shard.diag())


def test_excluded_points_and_copies(tmp_path: Path) -> None:
    train, pool = points(30, 24, seed=5), points(20_000, 24)
    pool[9000:9005], pool[12_000] = pool[:5], train[3]  # in different blocks
    path = tmp_path / "pool.npy"
    write_features(path, pool, dtype=torch.float32)
    memory_map = np.load(path, mmap_mode="r")
    exclude = np.arange(20_000) % 2 == 0
    for name, options in (("lcmd-tp", {"exclude": exclude}), ("maxdiag", {"groups": np.arange(20_000) % 40})):
        expected = select(name, pool, 20, 0, train=train, **options)
        batch = select(name, memory_map, 20, 0, train=train, **options)
        assert batch.indices.tolist() == expected.indices.tolist()
        assert batch.notes == expected.notes
    assert "6 of the pool's 20000 points are copies" in " ".join(select("random", path, 5, 0, train=train).notes)


READER = """
import re, resource, sys
from pathlib import Path
import numpy as np
from bmdal import select

def kilobytes(key):
    return int(re.search(rf"{key}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

pool = np.memmap(sys.argv[1], dtype=np.float16, mode="r", shape=(1_000_000, 256))  # 0.5 GB, as float32 1 GB
select("maxdiag", pool[:9000], 1, 0)
limit = 1024 * kilobytes("VmData") + 350 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
print(select("maxdist-p", pool, 3, 0).indices.tolist(), kilobytes("RssFile"))
"""


@pytest.mark.thorough
def test_a_memory_map_stays_on_disk(tmp_path: Path) -> None:
    """In a process that cannot hold the pool; 41 coordinates of each point take 160 MB."""
    pool = np.memmap(tmp_path / "pool", dtype=np.float16, mode="w+", shape=(1_000_000, 256))
    pool[500_000, 3], pool[999_999, 4], pool[0, 5] = 3, 2, 1
    pool.flush()
    done = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path / "pool")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    *indices, resident = done.stdout.replace(",", "").replace("[", "").replace("]", "").split()
    assert indices == ["500000", "999999", "0"]
    assert int(resident) < 300_000


def test_points_in_any_form(tmp_path: Path) -> None:
    pool = points(9000, 6)
    body = nn.Linear(6, 4)
    with torch.no_grad():
        expected = body(pool).half()
    np.save(tmp_path / "inputs.npy", pool.numpy())
    forms: dict[str, Any] = {
        "tensor": pool,
        "array": pool.numpy(),
        "memory map": np.load(tmp_path / "inputs.npy", mmap_mode="r"),
        "data set": TensorDataset(pool, torch.zeros(9000)),
        "loader": DataLoader(TensorDataset(pool), batch_size=500),
        "list": list(pool.split(1234)),
        "generator": (chunk for chunk in pool.split(777)),
    }
    for name, form in forms.items():
        stored = write_features(tmp_path / f"{name}.npy", form, body)
        torch.testing.assert_close(stored.matrix(), expected.float(), rtol=1e-3, atol=1e-3, msg=name)
        assert np.load(tmp_path / f"{name}.npy").shape == (9000, 4)
        assert sorted(path.name for path in tmp_path.glob(f".{name}*")) == []


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_written", [0, 1, N_BLOCK, 2 * N_BLOCK + 5, 3 * N_BLOCK])
@pytest.mark.parametrize("chunk", [7, N_BLOCK, 1000])
def test_an_interrupted_file_is_continued(n_written: int, chunk: int, tmp_path: Path) -> None:
    pool = points(3 * N_BLOCK + 1, 5)
    write_features(tmp_path / "whole.npy", pool)

    def chunks(n: int) -> Iterator[Tensor]:
        yield from pool[:n].split(chunk)
        if n < len(pool):
            raise KeyboardInterrupt

    path = tmp_path / "pool.npy"
    with pytest.raises(KeyboardInterrupt):
        write_features(path, chunks(n_written))
    assert not path.exists()
    with pytest.raises(BmdalError, match="cannot be read as features: FileNotFoundError"):
        read_features(path)
    n_computed = [0]

    def counted(part: Tensor) -> Tensor:
        n_computed[0] += len(part)
        return part

    write_features(path, pool, counted)
    assert path.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert n_computed[0] == len(pool) - max(0, n_written // N_BLOCK - 1) * N_BLOCK


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n_bytes", [0, 20, 128, 700, 1999, 2128, 2140])
@pytest.mark.parametrize("n_lines", [0, 1, 2, 5, 100])
def test_a_file_of_any_length_is_continued(n_bytes: int, n_lines: int, tmp_path: Path) -> None:
    """Also one whose last block, which is shorter, and some of the lines are written; a line may be incomplete."""
    pool, path = points(200, 5), tmp_path / "pool.npy"
    write_features(path, pool)
    whole = path.read_bytes()
    path.unlink()
    lines = b"".join(whole[2128:].splitlines(keepends=True)[:n_lines])
    for cut in (0, 3):
        (tmp_path / ".pool.npy.part").write_bytes(whole[:n_bytes])
        (tmp_path / ".pool.npy.lines").write_bytes(lines[: len(lines) - cut])
        write_features(path, pool)
        assert path.read_bytes() == whole
        path.unlink()


@pytest.mark.usefixtures("small_blocks")
def test_an_interrupted_file_is_not_continued_with_other_features(tmp_path: Path) -> None:
    pool, path = points(200, 5), tmp_path / "pool.npy"

    def broken(part: Tensor) -> Tensor:
        if part[-1].equal(pool[-1]):
            raise KeyboardInterrupt
        return part

    with pytest.raises(KeyboardInterrupt):
        write_features(path, pool, broken)
    for refused, options in (
        (pool * 1.1, {}),
        (torch.cat([pool[:1] + 1, pool[1:]]), {}),
        (pool[:, :3], {}),
        (pool, {"dtype": torch.float32}),
        (pool, {"made_from": "another network"}),
        (iter((pool.flip(0),)), {}),
        (pool[:100], {}),
        (pool[:10], {}),
        (iter((pool[:N_BLOCK],)), {}),
    ):
        with pytest.raises(
            BmdalError, match=r"the interrupted file .*\.pool\.npy\.part has .*: delete it to start again"
        ):
            write_features(path, refused, **options)
    write_features(path, pool)
    assert torch.equal(read_features(path).matrix(), pool.half().float())


WRITER = """
import sys, time, torch
from bmdal import write_features

def slow(part):
    time.sleep(0.02)
    return part

write_features(sys.argv[1], torch.arange(120_000.0).reshape(60_000, 2) % 1009 / 1009, slow)
"""


@pytest.mark.thorough
def test_killed_processes(tmp_path: Path) -> None:
    """SIGKILL at any time; what is there afterwards is nothing or the whole file, and the work is not lost."""
    expected = torch.arange(120_000.0).reshape(60_000, 2) % 1009 / 1009
    path, part = tmp_path / "pool.npy", tmp_path / ".pool.npy.part"
    sizes = [0]
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 60
        while (part.stat().st_size if part.exists() else 0) <= sizes[-1] and writer.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        writer.kill()
        writer.wait()
        if path.exists():
            break
        sizes.append(part.stat().st_size)
    assert sizes == sorted(sizes)
    assert len(sizes) > 1
    if not path.exists():
        write_features(path, expected)
    assert torch.equal(read_features(path).matrix(), expected.half().float())


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.npy"

    def chunks() -> Iterator[Tensor]:
        yield points(10, 3)
        with pytest.raises(BmdalError, match="another process is writing"):
            write_features(path, points(10, 3))

    write_features(path, chunks())
    with pytest.raises(BmdalError, match="exists already: use read_features, or delete it"):
        write_features(path, points(10, 3))


@pytest.mark.usefixtures("small_blocks")
def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pool.npy"
    write_features(path, points(200, 5))
    whole = bytearray(path.read_bytes())
    offset = 128 + 2 * 5 * (N_BLOCK + 3)
    path.write_bytes(bytes(whole[:offset]) + bytes([whole[offset] ^ 1]) + bytes(whole[offset + 1 :]))
    with pytest.raises(BmdalError, match=r"pool\.npy is damaged in rows 64 to 127: write it again"):
        select("lcmd-p", path, 3, 0)
    assert len(read_features(path, check=False)) == 200
    for n_left in (0, 50, 500, len(whole) - 60, len(whole) - 4):
        path.write_bytes(whole[:n_left])
        with pytest.raises(BmdalError, match=r"pool\.npy (cannot be read as features|is damaged)"):
            read_features(path)


@pytest.mark.usefixtures("small_blocks")
def test_any_flipped_bit_of_what_is_no_feature(tmp_path: Path) -> None:
    """Damage is noticed, or changes nothing: the text that says where features are from, for example."""
    path, pool = tmp_path / "pool.npy", points(100, 3)
    expected = write_features(path, pool).matrix()
    whole = path.read_bytes()
    n_noticed = 0
    for place in (*range(128), *range(128 + 2 * 3 * 100, len(whole))):
        for bit in (1, 4):  # such as < to > in the type of the numbers
            path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
            try:
                assert torch.equal(read_features(path).matrix(), expected), (place, bit)
            except BmdalError:
                n_noticed += 1
    assert n_noticed > 200


def test_files_of_other_programs(tmp_path: Path) -> None:
    path, pool = tmp_path / "pool.npy", points(100, 3).numpy()
    for array in (np.arange(12).reshape(4, 3), pool.astype(">f4"), pool.astype(np.longdouble), np.array([["a"]])):
        np.save(path, array)
        with pytest.raises(BmdalError, match=r"of type '.*'; only float16, float32, float64 can stay in a file"):
            read_features(path)
    for matrix in (pool[None], pool[0], pool[:, :0]):
        np.save(path, matrix)
        with pytest.raises(BmdalError, match="must be a matrix of floating-point numbers"):
            read_features(path)
    with path.open("wb") as file:
        np.savez(file, pool)
    with pytest.raises(BmdalError, match=r"not a \.npy file but one for NpzFile"):
        read_features(path)
    np.save(path, np.asfortranarray(pool))
    assert torch.equal(read_features(path).matrix(), torch.from_numpy(pool))


def test_values_that_do_not_fit(tmp_path: Path) -> None:
    pool, path = points(300, 4), tmp_path / "pool.npy"
    for value, dtype in ((1e5, torch.float16), (1e-9, torch.float16), (1e39, torch.float32)):
        bad = pool.double()
        bad[123] = value
        with pytest.raises(BmdalError, match=r"cannot hold the features in row 123 and 0 others near it.*Scale"):
            write_features(path, bad, dtype=dtype)
    bad[123] = torch.nan
    with pytest.raises(BmdalError, match="NaN or infinite value in row 123"):
        write_features(path, bad, dtype=torch.float32)
    with pytest.raises(BmdalError, match=r"dtype=torch.int8; valid: float16, bfloat16, float32, float64"):
        write_features(path, pool, dtype=torch.int8)
    with pytest.raises(BmdalError, match="there are no points"):
        write_features(path, pool[:0])
    with pytest.raises(BmdalError, match=r"features must be matrices .* they are \(300,\) of torch.float32"):
        write_features(path, pool, lambda part: part[:, 0])
    with pytest.raises(BmdalError, match="features must have the same columns, they have 4 and 3"):
        write_features(path, iter([pool, pool[:, :3]]))
    with pytest.raises(
        BmdalError, match="points must be a table, a data set, a loader or an iterable of chunks, got 3"
    ):
        write_features(path, 3)
    pool[7] = 0  # which is exact
    write_features(path, pool)


def test_a_stored_pool_with_nan_is_refused(tmp_path: Path) -> None:
    pool = points(300, 4).numpy()
    pool[17, 2] = np.nan
    np.save(tmp_path / "pool.npy", pool)
    with pytest.raises(BmdalError, match=r"NaN or infinite for pool \(row 17 and 0 others\)"):
        select("lcmd-p", np.load(tmp_path / "pool.npy", mmap_mode="r"), 5, 0)


def test_bits_of_bfloat16_are_no_numbers(tmp_path: Path) -> None:
    """NumPy has no bfloat16: its bits must not be taken for integers."""
    path, pool = tmp_path / "pool.npy", points(300, 4)
    write_features(path, pool, dtype=torch.bfloat16)
    bits = np.load(path, mmap_mode="r")
    assert torch.equal(torch.from_numpy(bits.view(np.int16).copy()).view(torch.bfloat16), pool.bfloat16())
    with pytest.raises(BmdalError, match="pool must hold numbers"):
        select("lcmd-p", bits, 5, 0)


def test_what_needs_all_features_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredFeatures(points(20_000, 24).half())
    train = points(30, 24)
    expected = select("bait-f-p_train", stored.matrix(), 5, 0, train=train).indices.tolist()
    assert select("bait-f-p_train", stored, 5, 0, train=train).indices.tolist() == expected
    monkeypatch.setattr("bmdal.features.stored.MEMORY_BYTES", 2**20)
    with pytest.raises(IncompatibleError, match=r"20000 stored points would take 0.0 GiB .* such as 'lcmd'"):
        select("bait-f-p_train", stored, 5, 0, train=train)
    for name in ("lcmd-tp_train", "maxdet-tp", "power"):
        assert len(select(name, stored, 5, 0, train=train).indices) == 5
    monkeypatch.setattr("bmdal.features.stored.MEMORY_BYTES", 6 * stored.stored.numel())  # as float32, not float64
    assert len(select("fw-p", stored, 5, 0).indices) == 5
    with pytest.raises(IncompatibleError, match="stored points would take"):
        select("bait-f-p", stored, 5, 0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["lcmd-tp_grad_rp-32", "maxdist-p_ll", "kmeanspp-tp_ll_ens-2_rp-16_train"])
def test_select_batch_with_a_file(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    nets = [
        nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 1)) for _ in range(Method.from_name(name).n_models)
    ]
    x_train, y, x_pool, path = points(40, 6, seed=3), normal(40, seed=4).float(), points(500, 6), tmp_path / "pool.npy"
    x_other = x_pool.clone()
    x_other[123] = 9

    def batch(x: Tensor = x_pool, seed: int = 7, **options: Any) -> list[int]:
        return select_batch(name, nets, x_train, y, x, 20, seed, **options).indices.tolist()

    assert len(set(batch(features_file=path)) & set(batch())) > 15  # float16 may change some picks
    first = batch(features_file=path)
    written = path.stat().st_mtime_ns
    assert batch(features_file=path) == first
    assert path.stat().st_mtime_ns == written
    for options in ({"x": x_other}, {"seed": 8}):
        with pytest.raises(BmdalError, match="was made from another method, other networks, points or another"):
            batch(features_file=path, **options)
    with torch.no_grad():
        nets[0][0].weight += 1
    with pytest.raises(BmdalError, match="was made from another method"):
        batch(features_file=path)


def _net(activation: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 20), activation, nn.Dropout(0.3), nn.Linear(20, 2))


@pytest.mark.parametrize(
    ("name", "models", "options", "other_models", "other_options"),
    [
        ("lcmd-tp_grad_rp-16", _net(nn.ReLU()), {"output": 0}, _net(nn.ReLU()), {"output": 1}),
        ("lcmd-tp_ll", _net(nn.ReLU()), {"output": 0}, _net(nn.Tanh()), {"output": 0}),
        (
            "lcmd-tp_ll",
            _net(nn.ReLU()),
            {"forward": lambda net, x: net(x)[:, 0]},
            _net(nn.ReLU()),
            {"forward": lambda net, x: net(x + 1)[:, 0]},
        ),
        (
            "lcmd-tp_grad_rp-16_ens-2",
            MCDropout(_net(nn.ReLU()), 2, seed=0),
            {"output": 0},
            MCDropout(_net(nn.ReLU()), 2, seed=1),
            {"output": 0},
        ),
    ],
)
def test_a_file_of_the_same_parameters_but_other_features(
    name: str, models: Any, options: Any, other_models: Any, other_options: Any, tmp_path: Path
) -> None:
    """What the features depend on beside parameters and points: it does not show in these, but in the features."""
    x, path = points(300, 6), tmp_path / "pool.npy"

    def batch(models: Any, options: Any) -> list[int]:
        return select_batch(name, models, x[:40], None, x, 9, 0, features_file=path, **options).indices.tolist()

    assert batch(models, options) == batch(models, options)
    with pytest.raises(
        BmdalError, match=r"pool.npy has other features than the networks now give for rows 0, 150, 299"
    ):
        batch(other_models, other_options)


class _Counting(TensorDataset):
    """Counts how many of its items are there at a time, and how often they are read."""

    def __init__(self, *tensors: Tensor) -> None:
        super().__init__(*tensors)
        self.most_at_once = self.n_read = 0

    def __getitems__(self, indices: list[int]) -> list[Any]:
        self.most_at_once = max(self.most_at_once, len(indices))
        self.n_read += len(indices)
        return [self[i] for i in indices]


@pytest.mark.usefixtures("small_blocks")
def test_a_data_set_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """Nor is it mapped twice; copies are found whether or not the file is there already."""
    x = points(3000, 6)
    x[1500:2900] = x[:1400]
    net, path = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 1)), tmp_path / "pool.npy"
    found = []
    for _ in range(2):
        pool = _Counting(x)
        batch = select_batch("maxdiag_grad_rp-8", net, x[-9:], None, pool, 30, 0, features_file=path)
        assert pool.most_at_once <= 256
        assert pool.n_read < 3100
        found.append((batch.indices.tolist(), batch.notes))
    assert found[0] == found[1]
    assert not {i + 1500 for i in found[0][0] if i < 1400} & set(found[0][0])


def test_select_batch_refuses_what_it_cannot_store(tmp_path: Path) -> None:
    net, x = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 1)), points(60, 6)
    path = tmp_path / "pool.npy"
    with pytest.raises(IncompatibleError, match="put a sketch like 'rp-512' into it"):
        select_batch("lcmd-tp_grad", net, x, None, x, 5, 0, features_file=path)
    with pytest.raises(BmdalError, match="is for methods with a kernel"):
        select_batch("random", net, x, None, x, 5, 0, features_file=path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small_blocks")
def test_chunks_that_use_their_memory_again(tmp_path: Path) -> None:
    X, memory = points(300, 5), torch.empty(25, 5)
    kept = write_features(tmp_path / "a.npy", (memory.copy_(part) for part in X.split(25)))
    assert torch.equal(kept.matrix(), X.half().float())
    in_memory = write_features(
        tmp_path / "b.npy", DataLoader(TensorDataset(X), batch_size=25), lambda x: memory[: len(x)].copy_(x)
    )
    assert torch.equal(in_memory.matrix(), X.half().float())


def test_progress(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = points(300, 4)
    with caplog.at_level(logging.INFO, "bmdal"):
        select("lcmd-p", pool, 5, 0)
        assert not caplog.messages  # it took less than ten seconds
        monkeypatch.setattr("bmdal.progress.SECONDS_BETWEEN_LINES", 0.0)
        select("lcmd-p", pool, 5, 0)
    assert caplog.messages[2].startswith("lcmd-p_linear: 3 of 5, 0 s left")
    assert caplog.messages[-1].startswith("lcmd-p_linear: done in")


def test_the_lines_behind_the_features(tmp_path: Path) -> None:
    path = tmp_path / "pool.npy"
    write_features(path, points(10_000, 4), made_from="me")
    first, *checksums = path.read_bytes()[128 + 10_000 * 4 * 2 :].decode().splitlines()
    kind = {"dtype": "float16", "n_features": 4, "made_from": "me", "block_rows": 8192, "checksum": "crc32"}
    assert json.loads(first) == kind
    assert len(checksums) == 2
