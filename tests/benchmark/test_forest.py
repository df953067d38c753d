"""Forests in the loop: the same protocol as with networks, repeatable, and the methods that go with them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch
from command_line import run
from sklearn.ensemble import RandomForestRegressor
from test_loop import interrupted, measured, run_all

from benchmark import model as model_module
from benchmark.errors import BenchmarkError
from benchmark.forest import Forest
from benchmark.job import Job
from benchmark.loop import SMALL, run_splits
from benchmark.model import Model
from benchmark.networks import Networks
from benchmark.randomness import generator
from benchmark.run import Run
from benchmark.split import make_split
from benchmark.task import Task
from bmdal import IncompatibleError, Method
from cli.progress import Progress
from data_prep import DataSet, Friedman
from results.load import RUN_KEYS
from results.record import partial_path, read_partial, read_record, record_path, write_record

METHODS = ["random", "maxdiag_pred", "lcmd-tp_pred", "bait-f-p_pred"]
MakeForestRun = Callable[..., Run]
SMALL_SET = (
    "dataset=friedman", "dataset.name=small", "dataset.source.n_rows=3000", "dataset.expected=null",
    "task.batch_size=32", "task.n_rounds=2", "task.n_initial=64", "task.n_valid=64",
    "training=forest", "training.n_trees=5",
)  # fmt: skip


@pytest.fixture
def make_forest_run(make_run: Callable[..., Run], tmp_path: Path) -> MakeForestRun:
    def make(method: str = "bait-f-p_pred", folder: str = "runs") -> Run:
        return dataclasses.replace(make_run(method, runs=tmp_path / folder), training=Forest(n_trees=7))

    return make


@pytest.mark.parametrize("method", METHODS)
def test_protocol(make_forest_run: MakeForestRun, method: str) -> None:
    run = make_forest_run(method)
    (record,) = run_all(run, [5])
    assert [r.n_train for r in record.rounds] == [64, 96, 128, 160]
    chosen = [row for r in record.rounds[:-1] for row in r.indices]
    assert len(set(chosen)) == 96
    assert set(chosen) <= set(make_split(3000, 600, run.task, 5).pool.tolist())
    assert read_record(run.path(5)) == record
    assert record.config["training"] == {"n_trees": 7}
    assert record.config["method"] == {"name": method, "sigma": 1e-3 if method == "random" else 0.1}


def test_errors_are_those_of_a_forest_on_the_labelled_points(make_forest_run: MakeForestRun) -> None:
    """By hand, from the prepared inputs: scaled or not, a tree splits the points in the same way."""
    run = make_forest_run()
    (record,) = run_all(run, [3])
    X, y, split = run.data.X, run.data.y, make_split(3000, 600, run.task, 3)
    labelled = split.train
    for round_, measured_ in enumerate(record.rounds):
        seed = generator(3, round_, "initialization").initial_seed() % 2**32
        forest = RandomForestRegressor(7, random_state=seed).fit(X[labelled], y[labelled])
        errors = np.abs(forest.predict(X[split.test]) - y[split.test])
        assert measured_.rmse == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-3)
        assert measured_.mae == pytest.approx(errors.mean(), rel=1e-3)
        labelled = np.append(labelled, np.array(measured_.indices or [], dtype=int))


def test_repeatable_with_any_number_of_threads(make_forest_run: MakeForestRun) -> None:
    first = run_all(make_forest_run(folder="a"))[0]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = run_all(make_forest_run(folder="b"))[0]
    finally:
        torch.set_num_threads(n_threads)
    assert second.provenance.n_threads == 2
    # Sums of many numbers are rounded as threads add them up; the effective dimension is such a number.
    without = [[{**r, "effective_dimension": None} for r in measured(record)] for record in (first, second)]
    assert without[0] == without[1]
    assert first.rounds[0].rmse == run_all(make_forest_run("random"))[0].rounds[0].rmse


def test_resumed_run_equals_unbroken_one(make_forest_run: MakeForestRun, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run_all(make_forest_run(folder="unbroken"), [3, 4])
    broken = make_forest_run(folder="broken")
    interrupted(broken, 2, monkeypatch, [3, 4])
    assert [measured(r) for r in run_all(broken, [3, 4])] == [measured(r) for r in unbroken]


def test_less_at_once_gives_the_same(make_forest_run: MakeForestRun) -> None:
    (usual,) = run_all(make_forest_run(folder="usual"))
    with Progress("test") as progress:
        (small,) = run_splits(make_forest_run(folder="small"), [0], progress, SMALL)
    assert measured(small) == measured(usual)


def test_records_name_scikit_learn_only_where_it_trains(make_forest_run: MakeForestRun, make_run, tmp_path) -> None:
    of_forest, of_network = make_forest_run().new_record(0), make_run().new_record(0)
    assert of_forest.provenance.packages == {"scikit-learn": sklearn.__version__}
    for record in (of_forest, of_network):
        path = partial_path(record_path(tmp_path, *(getattr(record, key) for key in RUN_KEYS)))
        write_record(record, path)
        assert read_partial(path) == record
    assert not {"sklearn", "packages"} & set(json.loads(path.read_text())["provenance"])


@pytest.mark.parametrize(
    ("training", "method", "message"),
    [
        (Networks(), "bait-f-p_pred", "'bait-f-p_pred': 'pred' compares the members of training=forest"),
        (Networks(), "lcmd-tp_pred", "a network needs one of the kernels linear, nngp, ll, grad"),
        (Forest(), "lcmd-tp_grad_rp-512", r"'lcmd-tp_grad_rp-512': a forest needs the kernel pred .*bait-f-p_pred"),
        (Forest(), "lcmd-tp_linear", "a forest needs the kernel pred"),
        (Forest(), "bait-f-p_pred_ens-3", "leave 'ens-N' out"),
    ],
)
def test_what_does_not_go_together(training: Model, method: str, message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        make_job(training, method)


@pytest.mark.parametrize(
    ("training", "method"),
    [(Networks(), "lcmd-tp_ll_ens-3"), (Networks(), "random"), (Forest(), "random"), (Forest(), "maxdet-p_pred_rp-16")],
)
def test_what_goes_together(training: Model, method: str) -> None:
    training.check_method(Method.from_name(method))


def make_job(training: Model, method: str) -> Job:
    dataset = DataSet(name="small", source=Friedman(n_rows=3000, seed=1), target="Y")
    return Job("test", dataset, Task(), training, Method.from_name(method), (0,), 0, Path("runs"))


def test_a_forest_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(Forest(), "random")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert job.device("auto") == torch.device("cpu")
    with pytest.raises(BenchmarkError, match="device=cuda: this model is trained on the CPU; use device=cpu or auto"):
        job.device("cuda")


@pytest.mark.parametrize("n_trees", [1, 2.5, "many", True])
def test_trees(n_trees: object) -> None:
    with pytest.raises(BenchmarkError, match=f"n_trees must be a whole number of at least 2, got {n_trees!r}"):
        Forest(n_trees=n_trees)  # type: ignore[arg-type]


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=r"needs scikit-learn: pip install 'bmdal\[sklearn\]'"):
        Forest()


def test_from_the_command_line_to_the_table(tmp_path: Path) -> None:
    """Two methods beside one that a forest cannot do; then the estimate, the status, tables and figures."""
    methods = "method=random,bait-f-p_pred,lcmd-tp_ll"
    done = run(tmp_path, "-m", *SMALL_SET, methods, "splits=[0,1]")
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stderr
    assert "'lcmd-tp_ll': a forest needs the kernel pred" in done.stderr
    dry = run(tmp_path, "-m", *SMALL_SET, methods, "splits=[0,1,2]", "dry_run=true")
    assert "from 4 earlier runs on cpu" in dry.stdout
    status = run(tmp_path, *SMALL_SET, methods, "splits=[0,1]", module="benchmark.status")
    assert "4 runs in 2 jobs: 4 done" in status.stdout
    tables = run(tmp_path, "table=all", module="results")
    assert tables.returncode == 0, tables.stderr
    assert "no published numbers for comparison: other models, published: networks" in tables.stdout
    plots = run(tmp_path, f"paths.figures={tmp_path / 'figures'}", module="plots")
    assert plots.returncode == 0, plots.stderr
    assert list((tmp_path / "figures").rglob("*.png"))
    refused = run(tmp_path, *SMALL_SET, "method=lcmd-tp_ll")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: method 'lcmd-tp_ll': a forest needs the kernel pred")
