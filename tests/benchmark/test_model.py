"""A further kind of model needs one class: it goes through the rounds, the records and the estimate like the others."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_loop import run_all

from benchmark.estimate import _left, estimate, job_bytes
from benchmark.forest import Forest
from benchmark.job import Job
from benchmark.model import MembersModel, Model, Predict
from benchmark.networks import Networks
from benchmark.run import Run, settings
from benchmark.split import make_split, scale_inputs
from benchmark.task import Task
from bmdal import Method
from bmdal.regressor.training import TrainingData
from data_prep import DataSet, Expected, Friedman
from results.record import read_record, write_record

CPU = torch.device("cpu")
RESULTS = Path(__file__).resolve().parents[2] / "results"


@dataclass(frozen=True)
class Lines(MembersModel):
    """Straight lines, fitted to bootstrap samples by least squares."""

    n_lines: int = 4

    repeated = "n_lines"
    title = "a bundle of lines"

    def fit_members(self, points: TrainingData, seed: int, n_threads: int) -> tuple[Any, Predict]:
        samples = np.random.default_rng(seed).integers(len(points.X), size=(self.n_lines, len(points.X)))
        lines = [torch.linalg.lstsq(points.X[rows].double(), points.y[rows].double()).solution for rows in samples]
        members = [lambda X, w=w: X.double() @ w for w in lines]
        return members, lambda X: torch.stack([member(X) for member in members]).mean(dim=0)


def make_job(run: Run, n_splits: int) -> Job:
    dataset = DataSet(name="small", source=Friedman(n_rows=3000, seed=1), target="Y")
    return Job("test", dataset, run.task, run.training, run.method, tuple(range(n_splits)), 0, run.runs)


def test_a_model_of_one_class(make_run: Callable[..., Run]) -> None:
    run = dataclasses.replace(make_run("lcmd-p_pred"), training=Lines())
    (record,) = run_all(run, [0])
    split = make_split(3000, 600, run.task, 0)
    X, y = scale_inputs(run.data.X, split).astype(np.float64), run.data.y
    w, *_ = np.linalg.lstsq(X[split.train], y[split.train])
    assert record.rounds[0].rmse == pytest.approx(np.sqrt(((X[split.test] @ w - y[split.test]) ** 2).mean()), rel=0.1)
    assert record.config["training"]["n_lines"] == 4
    assert record.config["training"]["class"] == "Lines"
    assert record.provenance.packages == {}
    job, data = make_job(run, 2), run.data.folder.parents[1]
    assert job.device("auto") == CPU
    assert "1 done, 1 missing" in estimate([job], data, CPU)
    assert "from 1 earlier runs on cpu" in estimate([job], data, CPU)
    assert [list(_left([job], again)) for again in (False, True)] == [[(job, 1)], [(job, 2)]]  # overwrite=true
    size = Expected(pool=100_000, test=10_000, features=10)
    more = dataclasses.replace(job, training=Lines(n_lines=9))
    assert job_bytes(more, size, CPU) - job_bytes(job, size, CPU) == 100_000 * 8 * 2 * (9 - 4)


@pytest.mark.parametrize(("archive", "model"), [("mini", Networks()), ("forest", Forest())])
def test_older_records_count_as_done(archive: str, model: Model, tmp_path: Path) -> None:
    """Their settings are those of a run today: names, order and values. Written again, they stay equal."""
    with zipfile.ZipFile(RESULTS / f"{archive}.zip") as records:
        records.extractall(tmp_path)
    for path in tmp_path.rglob("split-0.json"):
        record = read_record(path)
        batch_size, n_rounds = map(int, record.task.split("x"))
        today = settings(Task(batch_size=batch_size, n_rounds=n_rounds), model, Method.from_name(record.method))
        assert json.dumps(today) == json.dumps(record.config)
        write_record(record, path)
        assert read_record(path) == record
