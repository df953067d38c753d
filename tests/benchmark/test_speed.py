"""The measurements of speed, on a small problem; no time is asserted."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from warm_python import warm_python

from benchmark.speed import black_box as parts_of_black_box
from benchmark.speed import parts
from benchmark.speed.__main__ import line_of
from benchmark.speed.black_box import METHODS, black_box
from benchmark.speed.measure import bounded
from benchmark.speed.parts import Conditions, Row
from benchmark.speed.stored import ROUNDED, STORED
from benchmark.speed.traffic import traffic_of
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import TrainingData

ROOT = Path(__file__).resolve().parents[2]
SMALL = "dataset=friedman n_train=300 n_pool=1000 batch_size=16 n_epochs=1 repeats=1 n_threads=1 alone=true"
OURS = ["predictions of 100 trees", *METHODS, "maxdist-tp of the inputs"]
PEERS = [f"skactiveml {name}" for name in ("QueryByCommittee", "GreedySamplingX", "GreedySamplingTarget")]


def measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = [f"paths.data={folder / 'data'}", f"paths.runs={folder}"]
    return subprocess.run(
        [warm_python(), "-m", "benchmark.speed", *SMALL.split(), *folders, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.thorough
def test_scaling(tmp_path: Path) -> None:
    sizes = "pools=500,1000,2000 batches=[8,16,32] training_sets=100,300,600"
    done = measure(tmp_path, "parts=scaling", *sizes.split())
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "speed.csv")
    selections = table[table["what"] == "selection"]
    rows = selections[["n_train", "n_pool", "batch_size"]].apply(tuple, axis=1).tolist()
    assert rows == [
        *((300, n, 16) for n in (500, 1000, 2000)),
        *((300, 1000, n) for n in (8, 16, 32)),
        *((n, 1000, 16) for n in (100, 300, 600)),
    ]
    assert table[table["what"] == "features"]["n_pool"].tolist() == [500, 1000, 2000]
    assert (table["seconds"] > 0).all()
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    assert f"picture: {tmp_path / 'speed.png'}" in done.stdout


@pytest.mark.thorough
def test_other_parts_and_several_networks(tmp_path: Path) -> None:
    methods = ["lcmd-tp_grad_rp-512", "fw-p_grad_rp-512_acs-rf-hyper-512", "igs-tp_linear"]
    chosen = "parts=selection,features,training,black-box"
    done = measure(tmp_path, chosen, "networks=1,2", f"methods={','.join(methods)}")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "speed.csv")
    trainings = [f"{what} of {m} network(s)" for m in (1, 2) for what in ("step", "epoch")]
    assert table["what"].tolist() == [*methods, *methods, *trainings, *OURS]
    assert table["original_seconds"].isna().all()
    assert (table["bandwidth_share"].notna() == (table["part"] == "selection")).all()
    assert (table["passes"].dropna() > 1).all()
    assert table["passes"].notna().equals(table["part"] == "selection")
    assert (table["matmul_share"].dropna() >= 0).all()
    assert len(table["matmul_share"].dropna()) == 10
    assert "of the matrix-product peak" in done.stdout
    assert "(kernel " in done.stdout


@pytest.mark.thorough
def test_pools_in_files(tmp_path: Path) -> None:
    done = measure(tmp_path, "parts=stored,rounding", "stored_pools=[500,900]", "stored_features=8")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "speed.csv")
    stored = table[table["part"] == "stored"].set_index("what")
    assert stored.index.tolist() == ["write float16", "compare checksums", *STORED] * 2
    assert stored["n_pool"].tolist() == [500] * 6 + [900] * 6
    assert stored["passes"].notna().tolist() == ([False, False] + [True] * 4) * 2
    assert (stored["passes"].dropna() >= 2).all()  # one to look for copies, and one for the kernel
    assert stored.loc["maxdiag", "passes"].max() < 2.1
    rounding = table[table["part"] == "rounding"].set_index("what")["n_other"]
    assert rounding.index.tolist() == [f"{name}, {dtype}" for name in ROUNDED for dtype in ("float16", "bfloat16")]
    assert rounding["maxdiag, float16"] < 8
    assert rounding.max() > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "speed.csv"]


def rows_with_peers() -> dict[str, Row]:
    X = torch.randn(800, 5, generator=torch.Generator().manual_seed(0))
    points = TrainingData(X[:300], X[:300].square().sum(dim=1), X[:1], X[:1, 0])
    return {row.what: row for row in black_box(points, X[300:], 16, 1, with_peers=True)}


@pytest.mark.thorough
def test_black_box_beside_its_peers() -> None:
    rows = rows_with_peers()
    assert list(rows) == [*OURS, *PEERS]
    for name, row in rows.items():
        assert row.failure is None
        assert row.seconds > 0
        assert (row.n_train, row.n_pool, row.batch_size) == (300, 500, 16)
        assert row.same_indices is (True if name == "skactiveml QueryByCommittee" else None)
        if name in METHODS:
            assert 0 < row.kernel_seconds + row.selection_seconds <= row.seconds
        else:
            assert row.kernel_seconds is row.selection_seconds is None


@pytest.mark.thorough
def test_peer_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_of_black_box, "LIMIT_SECONDS", 1e-4)
    rows = rows_with_peers()
    for name, row in rows.items():
        assert (row.failure, row.seconds is None) == (("not within 0.0001 s", True) if name in PEERS else (None, False))
        assert (row.failure or " s ") in line_of(row)


@pytest.mark.thorough
def test_peer_that_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_of_black_box, "SLOW_SECONDS", 0)
    assert all(row.seconds > 0 for row in rows_with_peers().values())


def test_traffic() -> None:
    A, x = torch.ones(100, 10), torch.ones(10)
    y, rows = torch.zeros(100), torch.arange(7)
    for compute, n_numbers in (
        (lambda: A[:50].T.unbind(), 0),
        (lambda: A @ x, 1000 + 10 + 100),
        (lambda: A.index_select(0, rows), 2 * 70 + 2 * 7),  # rows has 8 bytes a number
        (lambda: A[rows], 2 * 70 + 2 * 7),
        (lambda: y.add_(1), 2 * 100),
    ):
        assert traffic_of(compute).n_bytes == 4 * n_numbers
    assert traffic_of(lambda: A @ A.T).n_flop == 2 * 100 * 100 * 10


def test_an_original_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bmdal_reg")
    monkeypatch.setattr(parts, "LIMIT_SECONDS", 0.05)
    data = TrainingData(*(torch.randn(*shape) for shape in ((300, 5), (300,), (8, 5), (8,))))
    cpu = torch.device("cpu")
    stack = NetworkStack(5, "relu", 0.2, 0.2, [torch.Generator().manual_seed(0)], cpu)
    problem = parts.SpeedProblem(stack.network(0), data, torch.randn(5000, 5))
    (row,) = parts.selection(problem, ["lcmd-tp_grad_rp-512"], Conditions(256, 1, cpu, True), 1e10, 1e11)
    assert row.seconds > 0
    assert row.original_seconds is None


def test_bounds() -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(TimeoutError, match=r"not within 0\.05 s"), bounded(0.05):
        time.sleep(10)
    with pytest.raises(MemoryError, match=r"1\.00 PiB"), bounded(60):
        np.ones(2**47)
    with bounded(0.05):
        pass
    time.sleep(0.1)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("parts=selektion", "unknown part 'selektion'. Did you mean 'selection'? Valid: selection, features, training"),
        ("parts=features methods=grad_rp-512", "unknown selection method 'grad'"),
        ("n_train=-5", "n_train must be a whole number of at least 1, got -5"),
        ("networks=1,x", "networks must be whole numbers of at least 1, written a,b or [a, b], got '1,x'"),
        ("dataset=nosuch", "unknown data set 'nosuch'"),
        ("device=banana", "device=banana is unknown; valid: auto, cpu, cuda"),
    ],
)
def test_messages(tmp_path: Path, arguments: str, message: str) -> None:
    done = measure(tmp_path, *arguments.split())
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
