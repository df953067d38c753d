"""Import the result folders of the original software (DOI 10.18419/darus-3394) as run records.

The layout is `<experiment>/<data set>_<task>/NN_<method>/<split>/results.json`. The records belong to the experiment
`original-<experiment>`, so they are never averaged with your own. The original did not store everything per round:
training seconds are the total of the run divided by the number of trainings, the number of randomly filled points is
unknown unless it is 0, and the selected indices, data hash and environment are unknown.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cli.progress import with_progress
from results.datasets import original_names
from results.errors import ResultsError
from results.record import METRICS, NO_SELECTION, Provenance, RoundRecord, RunRecord, record_path, write_record

_TASK = re.compile(r"(?P<dataset>.+)_(?P<task>(?P<batch>\d+)x(?P<rounds>\d+))")
_N_INITIAL = 256  # initial training points in every task of the original
_EXPERIMENT_PREFIX = "original-"
_TIMED_SPLIT = 9  # the published runs timed this split alone on its device
_UNKNOWN = "unknown"
# The original's training settings if a result does not contain them.
_TRAINING_DEFAULTS = {"n_epochs": 256, "batch_size": 256}


def import_original(folder: Path, runs: Path) -> int:
    """Write a run record for each `results.json` in a folder of experiments. Return the number of records written.

    Existing records are left as they are, so an interrupted import continues where it stopped.

    Raises ResultsError for a folder without results, or, naming the file, for a damaged result.
    """
    names = original_names()
    sources = list(_find_results(folder))
    if not sources:
        raise ResultsError(
            f"import={folder}: no <experiment>/<data set>_<task>/<method>/<split>/results.json in it; "
            "give the folder that holds the experiments (relu, silu)"
        )
    n_written = 0
    for source in with_progress(sources, "importing results"):
        record = read_original(source, names)
        path = record_path(runs, record.experiment, record.dataset, record.task, record.method, record.split)
        if not path.exists():
            write_record(record, path)
            n_written += 1
    return n_written


def _find_results(folder: Path) -> Iterator[Path]:
    for source in sorted(folder.glob("*/*/*/*/results.json")):
        split, task = source.parts[-2], source.parts[-4]
        if split.isdigit() and _TASK.fullmatch(task):
            yield source


def read_original(source: Path, names: dict[str, str]) -> RunRecord:
    """Convert one `results.json` to a record; `names` maps the original's data-set names to ours where they differ.

    Raises ResultsError, naming the file, if it is damaged.
    """
    experiment, folder, method, split, _ = source.parts[-5:]
    task = _TASK.fullmatch(folder)
    if task is None:
        raise ResultsError(f"{source}: folder {folder} is not of the form <data set>_<batch>x<rounds>")
    try:
        raw = json.loads(source.read_text(encoding="utf-8"))
        rounds = tuple(_rounds(raw, int(task["batch"]), int(task["rounds"])))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ResultsError(
            f"{source}: not a readable result of the original ({type(error).__name__}: {error}); fetch it again"
        ) from error
    return RunRecord(
        experiment=f"{_EXPERIMENT_PREFIX}{experiment}",
        dataset=names.get(task["dataset"], task["dataset"]),
        task=task["task"],
        method=method.removeprefix("NN_"),
        split=int(split),
        config=_config(raw.get("config", {})),
        provenance=Provenance(
            data_hash=_UNKNOWN,
            python=_UNKNOWN,
            torch=_UNKNOWN,
            numpy=_UNKNOWN,
            device=_UNKNOWN,
            host=_UNKNOWN,
            started=_UNKNOWN,
            seed=int(split),
            code_version="bmdal_reg (original software)",
            n_threads=0,
            finished=None,
            timed_alone=int(split) == _TIMED_SPLIT,
        ),
        rounds=rounds,
        complete=True,
    )


def _config(original: dict[str, Any]) -> dict[str, Any]:
    """Return the training settings under the names of our records, and the original configuration."""
    names = {"activation": "act", "sigma_w": "weight_gain", "sigma_b": "bias_gain", "learning_rate": "lr"}
    training = {ours: original[theirs] for ours, theirs in names.items() if theirs in original}
    training |= {name: original.get(name, default) for name, default in _TRAINING_DEFAULTS.items()}
    return {"training": training, "original": original}


def _rounds(raw: dict[str, Any], batch: int, n_rounds: int) -> Iterator[RoundRecord]:
    errors, al_stats = raw["errors"], raw["al_stats"]
    lengths = {metric: len(errors[metric]) for metric in METRICS} | {"al_stats": len(al_stats) + 1}
    if set(lengths.values()) != {n_rounds + 1}:
        raise ValueError(f"expected {n_rounds} rounds after the first training, found lengths {lengths}")
    seconds = raw["train_times"]["total"] / (n_rounds + 1)
    for number in range(n_rounds + 1):
        values: dict[str, Any] = {metric: float(errors[metric][number]) for metric in METRICS}
        if not all(map(math.isfinite, values.values())):
            raise ValueError(f"round {number} has errors that are not finite: {values}")
        yield RoundRecord(
            round=number,
            n_train=_N_INITIAL + batch * number,
            **values,
            train_seconds=seconds,
            **(_selection(al_stats[number]) if number < n_rounds else NO_SELECTION),
        )


def _selection(al_stat: dict[str, Any]) -> dict[str, Any]:
    dimension = al_stat.get("eff_dim")
    return {
        "kernel_seconds": al_stat["kernel_time"]["total"],
        "selection_seconds": al_stat["selection_time"]["total"],
        "n_filled": 0 if al_stat["selection_status"] is None else None,
        "effective_dimension": dimension if dimension is None or math.isfinite(dimension) else None,
        "indices": None,
    }
