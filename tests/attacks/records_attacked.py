"""A tiny run for attacks on its records, and what must hold of whatever is read as one."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmark.attempt import Outcome, attempt_splits
from benchmark.forest import Forest
from benchmark.run import Run
from benchmark.task import Task
from bmdal import Method
from cli.progress import Progress
from data_prep import DataSet, Friedman, prepare
from results.record import METRICS, RunRecord

TASK = Task(batch_size=4, n_rounds=2, n_initial=8, n_valid=4)
SPLITS = (0, 1)


def tiny_run(folder: Path, runs: Path) -> Run:
    """Forests of two trees on 200 generated points: 0.05 s for a run."""
    dataset = DataSet(name="tiny", source=Friedman(n_rows=200, seed=1), target="Y")
    return Run(
        experiment="attacked",
        data=prepare(dataset, folder),
        task=TASK,
        method=Method.from_name("random"),
        training=Forest(n_trees=2),
        device=torch.device("cpu"),
        runs=runs,
    )


def attempt(run: Run) -> Outcome:
    with Progress("attack") as progress:
        return attempt_splits(run, SPLITS, progress)


def measured(runs: Path) -> dict[str, Any]:
    """What lies in a folder of runs: the measurements of complete records, and the names of all other files."""
    found: dict[str, Any] = {}
    for path in sorted(runs.rglob("*")):
        name = str(path.relative_to(runs))
        if path.name.startswith("split-") and path.name.count(".") == 1:
            raw = json.loads(path.read_text())
            assert is_complete(raw)
            rounds = [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in raw["rounds"]]
            found[name] = (raw["config"], rounds)
        elif path.is_file():
            found[name] = None
    return found


def is_complete(raw: Any) -> bool:
    """Whether a parsed file holds all rounds of its task, each whole: written down a second time, for comparison."""
    batch_size, n_rounds = (int(part) for part in raw["task"].split("x"))
    rounds = raw["rounds"]
    rows = [row for r in rounds for row in r["indices"] or ()]
    return (
        raw["complete"] is True
        and [r["round"] for r in rounds] == list(range(n_rounds + 1))
        and [r["n_train"] - rounds[0]["n_train"] for r in rounds] == [k * batch_size for k in range(n_rounds + 1)]
        and all(type(r[m]) in (int, float) and 0 < r[m] < math.inf for r in rounds for m in METRICS)
        and all(0 <= r["train_seconds"] < math.inf for r in rounds)
        and rounds[-1]["indices"] is None
        and len(rows) == len(set(rows))
        and len(rows) in (0, n_rounds * batch_size)
        and all(type(row) is int and row >= 0 for row in rows)
    )


def says_the_same(record: RunRecord, raw: Any) -> bool:
    """Whether a record that was read has the values of the file, but for fields that a file need not have."""
    optional = {"complete": False, "format_version": 1}
    provenance = {"earlier": [], "sklearn": None, "packages": {}, **raw["provenance"]}
    return bool(json.loads(json.dumps(asdict(record))) == {**optional, **raw, "provenance": provenance})
