"""hydra/launcher=local: the same records from several processes, also when all of them are killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import joblib
import pytest
import torch
from command_line import ROOT, SMALL, command, environment, measured, run

from hydra_plugins.bmdal_sweeps.local import LocalLauncher

N_KILLS = int(os.environ.get("BMDAL_TEST_KILLS", "2"))
GRID = ["-m", *SMALL, "method=random,maxdist-tp_ll,lcmd-tp_ll", f"task.n_rounds={1 + N_KILLS}", "splits=[0,1]"]
N_RUNS = 6
LOCAL = ["hydra/launcher=local", "hydra.launcher.n_jobs=2"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the default launcher records."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = run(folder, *GRID)
    assert done.returncode == 0, done.stderr
    assert f"{N_RUNS} done." in done.stdout
    return measured(folder / "runs")


def test_equal_records(unbroken: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, *GRID, *LOCAL)
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert measured(tmp_path / "runs") == unbroken
    assert run(tmp_path, *GRID, *LOCAL).stdout.startswith("3 jobs with 6 runs; 3 jobs are done, 0 start now")


@pytest.mark.thorough
def test_cores_are_shared_out(tmp_path: Path) -> None:
    """Without OMP_NUM_THREADS, two processes divide the cores among them; the records say with how many threads."""
    variables = environment(tmp_path)
    del variables["OMP_NUM_THREADS"]
    subprocess.run(command(*GRID, "task.n_rounds=1", *LOCAL), env=variables, cwd=ROOT, check=True, capture_output=True)
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("split-?.json")]
    n_cores = len(os.sched_getaffinity(0))
    assert {record["provenance"]["n_threads"] for record in records} == {max(n_cores // 2, 1)}


def rounds_done(folder: Path) -> int:
    n_rounds = 0
    for path in (folder / "runs").rglob("split-?.*json"):
        with suppress(FileNotFoundError):  # a partial record goes when its run is complete
            n_rounds += path.read_text().count('"rmse"')
    return n_rounds


@pytest.mark.attacks
def test_killed_at_random_moments(unbroken: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL of the launcher and its processes, again and again: no record is lost, doubled or half written."""
    moments = random.Random(0)
    seen: dict[str, str] = {}
    for _ in range(N_KILLS):
        process = subprocess.Popen(
            command(*GRID, *LOCAL), env=environment(tmp_path), cwd=ROOT, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = rounds_done(tmp_path) + moments.randint(1, 3)
        while process.poll() is None and rounds_done(tmp_path) < until:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.05))
        assert process.poll() is None, "the sweep ended before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        records = measured(tmp_path / "runs")  # all can be read
        assert seen.items() <= records.items()
        seen = records
    done = run(tmp_path, *GRID, *LOCAL)
    assert done.returncode == 0, done.stderr
    assert measured(tmp_path / "runs") == unbroken
    names = {path.name for path in (tmp_path / "runs").rglob("split-*")}
    assert names == {"split-0.json", "split-1.json"}  # no partial records, no claims, no files on the way


def test_number_of_processes_is_checked(tmp_path: Path) -> None:
    done = run(tmp_path, *GRID, "hydra/launcher=local", "hydra.launcher.n_jobs=0")
    assert done.returncode == 2
    assert "hydra.launcher.n_jobs must be auto or at least 1, got 0" in done.stderr
    done = run(tmp_path, *GRID, "hydra/launcher=local", "hydra.launcher.processes_per_gpu=many")
    assert done.returncode == 2
    assert "hydra.launcher.processes_per_gpu must be at least 1, got 'many'" in done.stderr


@pytest.mark.thorough
def test_a_process_that_dies_does_not_end_the_sweep(tmp_path: Path) -> None:
    """As it does if the system kills it for its memory, or if it loses its GPU."""
    grid = ["-m", *SMALL, "method=random,deadly-1_ll,maxdist-tp_ll", "task.n_rounds=1", "splits=[0,1]", *LOCAL]
    done = run(tmp_path, *grid)
    assert "a process died (TerminatedWorkerError)" in done.stderr
    assert "6 done." in done.stdout
    assert done.returncode == 0


@pytest.mark.thorough
def test_a_process_that_always_dies_ends_the_sweep(tmp_path: Path) -> None:
    grid = ["-m", *SMALL, "method=random,deadly-99_ll", "task.n_rounds=1", "splits=[0,1]", *LOCAL]
    done = run(tmp_path, *grid)
    assert done.returncode == 1
    assert "missing. Records" in done.stdout  # how many depends on who was faster
    assert "the launcher stopped: TerminatedWorkerError" in done.stderr


@pytest.mark.parametrize(
    ("n_gpus", "gib", "n_processes"),
    [(0, None, 4), (1, None, 6), (2, None, 12), (2, 10.0, 12), (2, 16.1, 8), (1, 200.0, 1)],
)
def test_processes_that_fit(monkeypatch: pytest.MonkeyPatch, n_gpus: int, gib: float | None, n_processes: int) -> None:
    """Six on each GPU of 80 GiB, unless their jobs need more; one per core without a GPU."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=80 * 2**30))
    launcher = LocalLauncher("auto", 6)
    launcher.fit(n_gpus, None if gib is None else gib * 2**30)
    assert launcher.joblib["n_jobs"] == n_processes


@pytest.mark.gpu
def test_a_lost_gpu_costs_one_job(tmp_path: Path) -> None:
    grid = ["-m", *SMALL, "device=cuda", "method=invalid_ll,random,maxdist-tp_ll,lcmd-tp_ll", "task.n_rounds=1"]
    done = run(tmp_path, *grid, *LOCAL)
    assert "3 done, 1 failed." in done.stdout
    assert "is lost to this process" in done.stderr
    assert done.returncode == 1
