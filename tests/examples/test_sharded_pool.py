"""The example with a pool in two processes, as torchrun and SLURM start them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.data import Subset

from bmdal import select_batch
from examples.sharded_pool import Signals, network, part

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["examples/sharded_pool.py", "--points", "5000", "--batch-size", "20"]


def check(said: str) -> None:
    lines = said.strip().splitlines()
    assert lines[0].startswith("lcmd-tp_grad_rp-512: 20 of 5,000 points on 2 x cpu, ")
    assert lines[2].startswith("for each pick ")
    signals = Signals(5100)
    labelled, pool = Subset(signals, range(5000, 5100)), Subset(signals, range(5000))
    alone = select_batch("lcmd-tp_grad_rp-512", network(), labelled, None, pool, 20, generator=0)
    assert lines[3] == " ".join(map(str, alone.indices.tolist()))


def run(*command: str) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torchrun() -> None:
    check(run(str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", *SMALL))


@pytest.mark.slurm
@pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="needs a SLURM cluster (SLURM_CONF is not set)")
@pytest.mark.skipif(shutil.which("srun") is None, reason="needs a SLURM cluster (there is no srun)")
def test_slurm() -> None:
    check(run("srun", "--partition=test", "--ntasks=2", "--mem-per-cpu=1000", sys.executable, *SMALL))


def test_parts_are_the_pool() -> None:
    for n in (0, 1, 5000):
        for size in (1, 2, 3, 7):
            assert [i for rank in range(size) for i in part(n, rank, size)] == list(range(n))
