"""A sweep on a real SLURM cluster, whose jobs are made to fail, killed, preempted and run out of time.

The cluster needs the partitions `test` and `high`, of which `high` preempts `test` and requeues its jobs.
BMDAL_TEST_LONG=1 takes 24 jobs instead of 12, and also waits for time limits, which SLURM counts in minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from command_line import ROOT, command, environment, measured, run

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_CONF" not in os.environ, reason="needs a SLURM cluster (SLURM_CONF is not set)"),
    pytest.mark.skipif(shutil.which("sbatch") is None, reason="needs a SLURM cluster (there is no sbatch)"),
]
LONG = "BMDAL_TEST_LONG" in os.environ
METHODS = ["random", "maxdiag_ll_train", "lcmd-tp_ll", "breaks-600_ll"]
METHODS += ["maxdist-p_ll", "maxdist-tp_ll", "maxdet-p_ll", "kmeanspp-tp_ll"] if LONG else []
N_JOBS = 3 * len(METHODS)
GRID = [
    "-m", "dataset=friedman", f"method={','.join(METHODS)}", "task.n_rounds=1,2,3", "splits=[0]", "training.n_epochs=2",
    "task.n_valid=64", "n_threads=1", "imports=[components]",
]  # fmt: skip
SLURM = [
    "hydra/launcher=slurm", "hydra.launcher.partition=test", "hydra.launcher.cpus_per_task=1",
    "hydra.launcher.mem_gb=1", "hydra.launcher.timeout_min=20",
]  # fmt: skip


def slurm(*words: str) -> list[str]:
    """Lines that a command of SLURM prints."""
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env=environment(folder),
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def running(name: str) -> list[str]:
    return slurm("squeue", "--noheader", "--states=RUNNING", f"--name={name}", "--format=%A")


def wait_until(true: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not true():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)


def partial_records(folder: Path) -> Sequence[Path]:
    return list((folder / "runs").rglob("*.partial.json"))


def test_sweep_as_one_array(tmp_path: Path) -> None:
    name = f"hydra.launcher.name={tmp_path.name}"
    sweep = start(tmp_path, *GRID, *SLURM, name)
    wait_until(lambda: partial_records(tmp_path), sweep)
    killed = running(tmp_path.name)[0]
    slurm("scancel", "--signal=KILL", "--full", killed)
    wait_until(lambda: killed not in running(tmp_path.name) and partial_records(tmp_path), sweep)
    n_cpus = slurm("sinfo", "--noheader", "--partition=high", "--format=%c")[0].rstrip("+")
    slurm("sbatch", "--partition=high", f"--ntasks={n_cpus}", "--wrap=sleep 1", f"--output={tmp_path}/high", "--wait")
    said = sweep.communicate(timeout=500)[0]
    assert f"{N_JOBS} jobs submitted" in said
    assert "as array" in said
    assert ", " not in said.split("as array ")[1].splitlines()[0]
    assert sweep.returncode == 1
    assert "failed: breaks-600_ll on friedman, 256x3, split 0: RuntimeError: broken at 768 training points" in said
    states = slurm("sacct", f"--name={tmp_path.name}", "--noheader", "--duplicates", "--format=State", "--allocations")
    assert any("PREEMPTED" in line for line in states)
    again = run(tmp_path, *GRID, *SLURM, name)
    assert again.returncode == 1
    assert f"{N_JOBS - 1} done, 1 failed" in again.stdout
    alone = tmp_path / "alone"
    alone.mkdir()
    assert run(alone, *GRID, f"paths.data={tmp_path / 'data'}").returncode == 1
    assert measured(tmp_path / "runs") == measured(alone / "runs")
    assert len(measured(alone / "runs")) == N_JOBS - 1


@pytest.mark.skipif(not LONG, reason="takes some minutes (BMDAL_TEST_LONG is not set)")
def test_time_limit(tmp_path: Path) -> None:
    """A job that takes longer than its limit of a minute is requeued, and ends like an unbroken one."""
    arguments = ["-m", "dataset=friedman", "method=maxdiag_ll_train", "task.n_rounds=12", "n_threads=1"]
    arguments += ["training.n_epochs=100", "hydra.launcher.signal_delay_s=20", "hydra.launcher.timeout_min=1"]
    sweep = run(tmp_path, *arguments, *SLURM[:-1], f"hydra.launcher.name={tmp_path.name}")
    assert sweep.returncode == 0, sweep.stderr
    logs = "".join(path.read_text() for path in (tmp_path / "runs").rglob("*_log.err"))
    assert "timed-out" in logs
    assert logs.count("round 0/12") == 1
    alone = tmp_path / "alone"
    alone.mkdir()
    local = [argument for argument in arguments if not argument.startswith("hydra.")]
    assert run(alone, *local, f"paths.data={tmp_path / 'data'}").returncode == 0
    assert measured(tmp_path / "runs") == measured(alone / "runs")
