"""The measurements of speed, on a small problem; no time is asserted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--dataset friedman --n-train 300 --n-pool 1000 --batch-size 16 --n-epochs 1 --repeats 1 --threads 1 --alone"


def measure(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    folders = ["--data", str(folder / "data"), "--output", str(folder / "speed.csv")]
    return subprocess.run(
        [sys.executable, "-m", "benchmark.speed", *SMALL.split(), *folders, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def test_scaling(tmp_path: Path) -> None:
    sizes = "--pools 500 1000 2000 --batches 8 16 32 --training-sets 100 300 600"
    done = measure(tmp_path, "scaling", *sizes.split())
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


def test_other_parts_and_several_networks(tmp_path: Path) -> None:
    methods = ["lcmd-tp_grad_rp-512", "fw-p_grad_rp-512_acs-rf-hyper-512"]
    done = measure(tmp_path, "selection", "features", "training", "--networks", "1", "2", "--methods", *methods)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "speed.csv")
    trainings = [f"{what} of {m} network(s)" for m in (1, 2) for what in ("step", "epoch")]
    assert table["what"].tolist() == [*methods, *methods, *trainings]
    assert table["original_seconds"].isna().all()
    assert (table["bandwidth_share"].notna() == (table["part"] == "selection")).all()
    assert (table["matmul_share"].dropna() > 0).all()
    assert len(table["matmul_share"].dropna()) == 6
    assert "of the matrix-product peak" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("selektion", "unknown part selektion; valid: selection, features, training, run, scaling"),
        ("features --methods grad_rp-512", "unknown selection method 'grad'"),
        ("features --n-train -5", "--n-train: '-5' is not a whole number greater than 0"),
        ("features --dataset nosuch", "unknown dataset 'nosuch'"),
    ],
)
def test_messages(tmp_path: Path, arguments: str, message: str) -> None:
    done = measure(tmp_path, *arguments.split())
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
