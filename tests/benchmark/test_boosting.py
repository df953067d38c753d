"""Bagged boosting in the loop: by hand, repeatable with any number of threads, and what it refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import torch
from command_line import run
from test_forest import SMALL_SET
from test_loop import interrupted, measured, run_all

from benchmark import model as model_module
from benchmark.boosting import Boosting
from benchmark.errors import BenchmarkError
from benchmark.randomness import generator
from benchmark.run import Run
from benchmark.split import make_split, scale_inputs

MakeBoostingRun = Callable[..., Run]


@pytest.fixture
def make_boosting_run(make_run: Callable[..., Run], tmp_path: Path) -> MakeBoostingRun:
    def make(method: str = "bait-f-p_pred", folder: str = "runs", **training: Any) -> Run:
        return dataclasses.replace(
            make_run(method, runs=tmp_path / folder), training=Boosting(**{"n_members": 3, **training})
        )

    return make


def test_errors_are_those_of_the_mean_of_models_that_stop_early(make_boosting_run: MakeBoostingRun) -> None:
    """By hand, with LightGBM's scikit-learn interface: bootstrap samples, stopped on the validation points."""
    run = make_boosting_run(patience=5)
    (record,) = run_all(run, [3])
    assert record.config["training"] == {"n_members": 3, "learning_rate": 0.2, "max_rounds": 1000, "patience": 5}
    assert record.provenance.packages == {"lightgbm": lightgbm.__version__}
    split = make_split(3000, 600, run.task, 3)
    X, y, labelled = scale_inputs(run.data.X, split), run.data.y, split.train
    for round_, measured_ in enumerate(record.rounds):
        seed = generator(3, round_, "initialization").initial_seed() % 2**32
        samples = np.random.default_rng(seed).integers(len(labelled), size=(3, len(labelled)))
        predictions = []
        for rows in samples:
            data = lightgbm.Dataset(X[labelled[rows]], y[labelled[rows]])
            valid = lightgbm.Dataset(X[split.valid], y[split.valid], reference=data)
            errors: dict[str, Any] = {}
            rule = {"learning_rate": 0.2, "force_col_wise": True, "verbosity": -1}
            booster = lightgbm.train(
                rule, data, 300, valid_sets=[valid], callbacks=[lightgbm.record_evaluation(errors)]
            )
            by_round = errors["valid_0"]["l2"]
            best = 0
            for now in range(1, 300):
                best = now if by_round[now] < by_round[best] else best
                if now - best == 5:
                    break
            predictions.append(booster.predict(X[split.test], num_iteration=best + 1))
        wrong = np.abs(np.mean(predictions, axis=0) - y[split.test])
        assert measured_.rmse == pytest.approx(np.sqrt((wrong**2).mean()), rel=1e-5)
        labelled = np.append(labelled, np.array(measured_.indices or [], dtype=int))


def test_repeatable_with_any_number_of_threads(make_boosting_run: MakeBoostingRun) -> None:
    first = run_all(make_boosting_run(folder="a"))[0]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = run_all(make_boosting_run(folder="b"))[0]
    finally:
        torch.set_num_threads(n_threads)
    assert second.provenance.n_threads == 2
    without = [[{**r, "effective_dimension": None} for r in measured(record)] for record in (first, second)]
    assert without[0] == without[1]
    other_split = run_all(make_boosting_run(folder="c"), [1])[0]
    assert other_split.rounds[0].rmse != first.rounds[0].rmse


def test_resumed_run_equals_unbroken_one(make_boosting_run: MakeBoostingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = run_all(make_boosting_run(folder="unbroken"), [3])
    broken = make_boosting_run(folder="broken")
    interrupted(broken, 2, monkeypatch, [3])
    assert [measured(r) for r in run_all(broken, [3])] == [measured(r) for r in unbroken]


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("n_members", 1, "a whole number of at least 2"),
        ("max_rounds", 0, "a whole number of at least 1"),
        ("patience", True, "a whole number of at least 1"),
        ("learning_rate", 0.0, "a number greater than 0"),
        ("learning_rate", float("nan"), "a number greater than 0"),
        ("learning_rate", "fast", "a number greater than 0"),
    ],
)
def test_settings(setting: str, value: object, rule: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"training\.{setting} must be {rule}, got {value!r}"):
        Boosting(**{setting: value})  # type: ignore[arg-type]


def test_without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "find_spec", lambda name: None if name == "lightgbm" else name)
    with pytest.raises(BenchmarkError, match=r"boosting needs LightGBM: pip install 'bmdal\[lightgbm\]'"):
        Boosting()


def test_from_the_command_line(tmp_path: Path) -> None:
    options = [option for option in SMALL_SET if not option.startswith("training")]
    options += ["training=lightgbm", "training.n_members=2", "training.patience=2"]
    done = run(tmp_path, "-m", *options, "method=random,bait-f-p_pred,lcmd-tp_ll")
    assert done.returncode == 0, done.stderr
    assert "'lcmd-tp_ll': boosting needs the kernel pred" in done.stderr
    status = run(tmp_path, *options, "method=random,bait-f-p_pred", module="benchmark.status")
    assert "2 runs in 2 jobs: 2 done" in status.stdout
