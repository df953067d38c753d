"""The estimate of hours and memory, from records whose times follow a known rule."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark.cost import Speed
from benchmark.estimate import estimate, job_bytes
from benchmark.forest import Forest
from benchmark.job import Job
from benchmark.networks import Networks
from benchmark.run import Run
from benchmark.task import Task
from bmdal import Method
from cli.progress import duration
from data_prep import DataSet, Expected, Friedman
from results.record import NO_SELECTION, RoundRecord, write_record

CPU = torch.device("cpu")
SECONDS_PER_POINT_AND_EPOCH, SECONDS_PER_POOL_POINT = 2e-4, 1e-3
PRED = Method.from_name("lcmd-p_pred")
MakeRun = Callable[..., Run]


def make_job(runs: Path, method: str, n_splits: int = 2, n_rounds: int = 16, name: str = "small") -> Job:
    return Job(
        experiment="test",
        dataset=DataSet(
            name=name, source=Friedman(n_rows=3000, seed=1), target="Y", expected=Expected(90000, 9000, 10)
        ),
        task=Task(n_rounds=n_rounds),
        training=Networks(),
        method=Method.from_name(method),
        splits=tuple(range(n_splits)),
        n_timed=0,
        runs=runs,
    )


def record_known_times(run: Run) -> None:
    """A complete record of a run that took what the rule says."""
    training = Networks(n_epochs=10) if run.training.network else run.training
    run = replace(run, task=Task(n_rounds=3), training=training)
    record = run.new_record(0)
    rounds = []
    for round_ in range(4):
        n_train = 256 * (round_ + 1)
        seconds = SECONDS_PER_POINT_AND_EPOCH * 10 * (n_train + 1024 / 3) * run.method.n_models
        rounds.append(RoundRecord(round_, n_train, 1.0, 1.0, 1.0, 1.0, 1.0, train_seconds=seconds, **NO_SELECTION))
        if round_ < 3:
            selection = SECONDS_PER_POOL_POINT * run.data.meta.counts.pool
            rounds[-1] = replace(rounds[-1], kernel_seconds=0.4 * selection, selection_seconds=0.6 * selection)
    write_record(replace(record, rounds=tuple(rounds), complete=True), run.path(0))


def seconds_of(job: Job, pool: int) -> float:
    points = sum(256 * (r + 1) + 1024 / 3 for r in range(job.task.n_rounds + 1))
    repeats = getattr(job.training, job.training.repeated)
    training = SECONDS_PER_POINT_AND_EPOCH * repeats * points * job.method.n_models
    selection = 0 if job.method.name == "random" else SECONDS_PER_POOL_POINT * pool * job.task.n_rounds
    return training + selection


def hours_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("time:"))


@pytest.mark.parametrize("method", ["lcmd-tp_ll", "lcmd-tp_ll_ens-2", "random", "maxdist-tp_ll"])
def test_time_follows_earlier_runs(make_run: MakeRun, method: str) -> None:
    """Of methods that have run and of one that has not; of the data set that is prepared, at its true size."""
    run = make_run("lcmd-tp_ll")
    record_known_times(run)
    record_known_times(make_run("lcmd-tp_ll_ens-2"))
    job = make_job(run.runs, method)
    text = hours_line(estimate([job], run.data.folder.parents[1], CPU))
    assert f"{duration(2 * seconds_of(job, run.data.meta.counts.pool))} for the remaining runs" in text
    assert "from 2 earlier runs on cpu" in text
    unprepared = make_job(run.runs, method, name="other")  # as large as expected
    text = hours_line(estimate([unprepared], run.data.folder.parents[1], CPU))
    assert f"{duration(2 * seconds_of(unprepared, 90000))} for the remaining runs" in text


def test_time_of_forests_follows_forests(make_run: MakeRun) -> None:
    """Seconds of a network are of no use; each tree of the record took what an epoch does."""
    run = make_run("lcmd-tp_ll")
    record_known_times(run)
    job = replace(make_job(run.runs, "random"), training=Forest(n_trees=64), method=PRED)
    assert "unknown: no earlier records" in estimate([job], run.data.folder.parents[1], CPU)
    of_forest = replace(run, training=Forest(n_trees=10), method=PRED)
    record_known_times(of_forest)
    expected = duration(2 * seconds_of(job, run.data.meta.counts.pool))
    text = hours_line(estimate([job], run.data.folder.parents[1], CPU))
    assert f"{expected} for the remaining runs" in text
    assert "from 1 earlier runs" in text


def test_what_is_done_costs_nothing(make_run: MakeRun) -> None:
    run = make_run("random")
    record_known_times(run)
    job = make_job(run.runs, "random", n_rounds=3)
    text = estimate([job], run.data.folder.parents[1], CPU)
    assert "1 jobs, 2 runs: 1 methods x 1 data sets x 1 tasks x 2 splits" in text
    assert "1 done, 1 missing" in text


def test_no_records(tmp_path: Path) -> None:
    """The hours are guessed from the speed of the device; those of a forest are not."""
    job = make_job(tmp_path, "lcmd-tp_ll")
    assert "guessed from the speed of the device, no earlier records on cpu" in estimate([job], tmp_path, CPU)
    trees = replace(job, training=Forest(), method=PRED)
    assert "unknown: no earlier records on cpu" in estimate([trees], tmp_path, CPU)


def test_cost_of_a_run_by_hand() -> None:
    """Of 20 splits side by side on a GPU: 256 epochs, three rounds of 256, 512 and 768 training points, two batches."""
    job, size = make_job(Path(), "bait-fb-p_grad_rp-512_train", n_splits=20, n_rounds=2), Expected(90_000, 9_000, 10)
    n_points = 256 * (256 + 512 + 768 + 1024)
    at_once_infinite = Speed(math.inf, math.inf).run_seconds(job, Networks(), size, 512, 8, "cuda")
    steps = n_points / 256 * 35 * 4e-6 / 20
    assert at_once_infinite == pytest.approx(steps + 2 * (0.04 + 512 * 18 * 4e-6) + 3 * 0.03)
    passes = 2 * 512 * 90_000 * 512 * 8
    slow_memory = Speed(1e12, math.inf).run_seconds(job, Networks(), size, 512, 8, "cuda")
    assert slow_memory - at_once_infinite == pytest.approx(passes / 1e12)
    slow_products = Speed(math.inf, 1e12).run_seconds(job, Networks(), size, 512, 8, "cuda")
    n_parameters = 10 * 512 + 512 * 512 + 512
    of_features = 2 * 90_000 * 2 * (2 * n_parameters + 512 * (10 + 2049)) / 0.25
    assert slow_products - at_once_infinite == pytest.approx((6 * n_parameters * n_points / 0.3 + of_features) / 1e12)


def test_memory_grows_with_what_is_kept() -> None:
    size = Expected(pool=200_000, test=40_000, features=10)
    bytes_of = [
        job_bytes(make_job(Path(), method), size, CPU)
        for method in ("random", "lcmd-tp_linear", "lcmd-tp_ll", "maxdet-p_ll_train", "lcmd-tp_grad")
    ]
    assert bytes_of == sorted(bytes_of)
    assert bytes_of[3] - bytes_of[0] == pytest.approx(200_000 * 8 * (513 * 2 + 256))
    in_kernel_space = job_bytes(job := make_job(Path(), "maxdet-tp_grad_scale"), size, CPU)
    n_train = job.task.n_initial + job.task.n_rounds * job.task.batch_size
    assert in_kernel_space - bytes_of[0] == pytest.approx(200_000 * 8 * ((10 + 2048) * 2 + 256 + n_train))
    of_trees = job_bytes(replace(make_job(Path(), "random"), training=Forest(), method=PRED), size, CPU)
    assert of_trees - bytes_of[0] == pytest.approx(200_000 * 8 * 100 * 2)
    twice = replace(size, pool=400_000, test=80_000)
    assert job_bytes(make_job(Path(), "random"), twice, CPU) - bytes_of[0] == pytest.approx(bytes_of[0] - 0.75 * 2**30)
