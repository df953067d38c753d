"""Runs that fail leave their reason, and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import components
import pytest
import torch
from command_line import SMALL, measured, run
from components import Hungry

from benchmark.attempt import Outcome, attempt_splits
from benchmark.failures import describe, record_failure
from benchmark.job import Job
from benchmark.lock import lock_path
from benchmark.run import Run
from benchmark.states import State, forget_failures, run_states
from bmdal.errors import is_out_of_memory
from cli.files import aside_name
from cli.progress import Progress
from data_prep import DataSet, Friedman
from results.record import failed_path, partial_path, read_failure

METHODS = ("random", "maxdiag_ll_train")
MakeRun = Callable[..., Run]
_SOURCE = Path(components.__file__).read_text().splitlines()
BREAKS = f"components.py:{next(n for n, line in enumerate(_SOURCE, 1) if 'broken at' in line)}"


def attempt(run: Run, splits: Sequence[int] = (0, 1)) -> Outcome:
    with Progress("test") as progress:
        return attempt_splits(run, splits, progress)


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    Hungry.calls.clear()


def test_one_failure_stops_no_other_split(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("hungry-2_ll")  # split 0 runs out of memory in both attempts, split 1 comes after that
    outcome = attempt(run)
    assert list(outcome.failed) == [0]
    assert list(outcome.complete) == [1]
    failure = read_failure(failed_path(run.path(0)))
    assert (failure.experiment, failure.dataset, failure.task) == ("test", "small", "32x3")
    assert (failure.method, failure.split, failure.config) == ("hungry-2_ll", 0, run.config)
    assert "out of memory, with at most" in failure.error
    assert "1125899906842624 bytes" in failure.error
    assert "components.py" in failure.traceback
    assert not run.path(0).exists()


def test_out_of_memory_once(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    """The second attempt goes on from the last round, with the same outcome."""
    broken, unbroken = attempt(make_run("hungry-1_ll"), [0]), attempt(make_run("hungry-0_ll"), [0])
    assert broken.failed == {}
    assert "trying again in smaller chunks" in capsys.readouterr().err
    assert [r.rmse for r in broken.complete[0].rounds] == [r.rmse for r in unbroken.complete[0].rounds]


def test_tried_again(make_run: MakeRun) -> None:
    """A failure is no record: the same command runs what failed, from its last round, and forgets the reason."""
    run = make_run("breaks-70_ll")
    assert list(attempt(run, [0]).failed) == [0]
    assert read_failure(failed_path(run.path(0))).error == f"RuntimeError: broken at 96 training points ({BREAKS})"
    assert partial_path(run.path(0)).exists()
    mended = make_run("hungry-0_ll")
    assert list(attempt(mended, [0]).complete) == [0]
    failed_path(mended.path(0)).write_text("{}")
    assert list(attempt(mended, [0]).complete) == [0]
    assert not failed_path(mended.path(0)).exists()


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError("Unable to allocate 8.00 PiB"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_kinds(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) == memory
    assert str(error) in describe(error)


def test_a_sweep_goes_on_and_tells(tmp_path: Path) -> None:
    """One job fails, one cannot begin; the rest is done. Then only the failures are run again."""
    arguments = ["-m", *SMALL, "method=random,breaks-64_ll", "task.n_rounds=2", "splits=[0,1]", "n_threads=1"]
    done = run(tmp_path, *arguments)
    assert done.returncode == 1
    assert "2 jobs with 4 runs; 0 jobs are done, 2 start now" in done.stdout
    assert "2 done, 2 failed" in done.stdout
    assert "failed: breaks-64_ll on small, 32x2, split 1: RuntimeError: broken at 96" in done.stderr
    assert "32x2/breaks-64_ll/split-1.failed.json" in done.stderr
    assert len(measured(tmp_path / "runs")) == 2
    again = run(tmp_path, *arguments)
    assert "1 jobs are done, 1 start now" in again.stdout
    assert again.returncode == 1
    status = run(tmp_path, *arguments, "--failed", module="benchmark.status")
    assert "breaks-64_ll on small, 32x2, split 0" in status.stdout
    assert "RuntimeError: broken at 96 training points" in status.stdout
    assert "'splits=[0,1]'" in status.stdout
    other = run(tmp_path, *arguments, "training.learning_rate=0.1", "method=random")
    assert other.returncode == 2
    assert "another configuration: training.learning_rate was 0.375 and is now 0.1" in other.stderr


def test_a_damaged_record_stops_no_other(make_run: MakeRun) -> None:
    """Neither another split nor, below, another job; it is named, and left for the user to look at."""
    run = make_run()
    attempt(run, [0])
    run.path(0).write_text("{")
    partial_path(run.path(1)).write_text("[]")
    outcome = attempt(run, [0, 1, 2])
    assert list(outcome.complete) == [2]
    assert outcome.failed[0].startswith(f"{run.path(0)}: Invalid JSON")
    assert outcome.failed[1].startswith(f"{partial_path(run.path(1))}: should be an object, got []")
    assert run.path(0).read_text() == "{"
    for file in (run.path(0), partial_path(run.path(1))):
        file.unlink()
    assert attempt(run, [0, 1, 2]).failed == {}
    assert not failed_path(run.path(0)).exists()


def test_a_sweep_with_a_damaged_record(tmp_path: Path) -> None:
    arguments = ["-m", *SMALL, f"method={','.join(METHODS)}", "task.n_rounds=1", "splits=[0,1]", "n_threads=1"]
    assert run(tmp_path, *arguments).returncode == 0
    whole = measured(tmp_path / "runs")
    damaged, missing = (tmp_path / f"runs/default/small/32x1/{name}" / "split-0.json" for name in METHODS)
    damaged.write_bytes(damaged.read_bytes()[:-20])
    missing.unlink()
    again = run(tmp_path, *arguments)
    assert again.returncode == 1
    assert "0 jobs are done, 2 start now" in again.stdout
    assert "3 done, 1 failed" in again.stdout
    assert f"failed: random on small, 32x1, split 0: {damaged}: Invalid JSON: " in again.stderr
    assert "Traceback" not in again.stderr
    damaged.unlink()
    assert run(tmp_path, *arguments).returncode == 0
    assert measured(tmp_path / "runs") == whole


def test_complete_records_in_a_folder_that_can_only_be_read(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    attempt(run, [0])
    monkeypatch.setattr("benchmark.attempt.locked", None)
    monkeypatch.setattr("benchmark.states.locked", None)
    assert list(attempt(run, [0]).complete) == [0]


def test_what_is_left_beside_a_complete_record_goes(make_run: MakeRun) -> None:
    run = make_run("random")
    attempt(run, [0])
    left = [partial_path(run.path(0)), failed_path(run.path(0)), lock_path(run.path(0))]
    ended = subprocess.Popen(["true"])
    ended.wait()
    for file in (*left, run.path(0).with_name(aside_name("split-0.json", ended.pid))):
        file.touch()
    assert list(attempt(run, [0]).complete) == [0]
    assert list(run.path(0).parent.iterdir()) == [run.path(0)]


def test_a_reason_that_cannot_be_kept(make_run: MakeRun, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_run().path(0)
    path.parent.parent.mkdir(parents=True)
    path.parent.touch()
    assert record_failure(path, {}, ValueError("any")).error == "ValueError: any"
    assert "could not record why the run failed: [Errno" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["\udc80 of a file's name", "\0\n\t", "x" * 10**6])
def test_any_message_can_be_kept(make_run: MakeRun, text: str) -> None:
    path = make_run().path(0)
    failure = record_failure(path, {}, ValueError(text))
    assert read_failure(failed_path(path)) == failure


def test_a_job_that_cannot_begin(tmp_path: Path) -> None:
    """Its data cannot be had."""
    own = ["~dataset.source", f"+dataset.path={tmp_path}/none.csv", "dataset.target=b"]
    done = run(tmp_path, "-m", *SMALL, "method=random", "task.n_rounds=1", "n_threads=1", *own)
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "Traceback" not in done.stderr
    (failure,) = (tmp_path / "runs").rglob("*.failed.json")
    assert "none.csv" in json.loads(failure.read_text())["error"]


def test_a_single_run_that_fails(tmp_path: Path) -> None:
    done = run(tmp_path, *SMALL, "method=breaks-64_ll", "task.n_rounds=2")
    assert done.returncode == 1
    where = tmp_path / "runs/default/small/32x2/breaks-64_ll/split-0.failed.json"
    assert (
        f"failed: split 0: RuntimeError: broken at 96 training points ({BREAKS}); traceback in {where}" in done.stderr
    )
    assert where.is_file()
    assert "0 run(s) complete, 0 of them done earlier, 1 failed" in done.stdout
    assert "Traceback" not in done.stderr


def test_failures_are_forgotten_before_another_attempt(make_run: MakeRun) -> None:
    """If a process of a sweep dies, jobs that failed in an earlier sweep have not been tried yet."""
    run = make_run()
    record_failure(run.path(0), run.config, ValueError("earlier"))
    dataset = DataSet(name=run.data.name, source=Friedman(n_rows=3000, seed=1), target="Y")
    job = Job(run.experiment, dataset, run.task, run.training, run.method, (0, 1), 0, run.runs)
    assert run_states(job)[0] is State.FAILED
    forget_failures(job)
    assert run_states(job) == {0: State.MISSING, 1: State.MISSING}
