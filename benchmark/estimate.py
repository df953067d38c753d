"""Estimate the runs, memory and hours of a sweep.

Hours are based on earlier records from the same kind of device or, without any, on its speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmark.cost import Speed
from benchmark.job import Job
from benchmark.loop import SPLITS_AT_ONCE
from benchmark.run import device_name
from benchmark.states import State, count_states, in_words, run_states
from bmdal import BmdalError, Method
from bmdal.kernels import Predictions
from bmdal.selection import MaxDet
from cli.progress import duration
from data_prep import DataError, Expected, load_prepared
from results import load_records
from results.errors import NoRecordsError
from results.load import damaged_records

PROCESS_BYTES = 0.75 * 2**30
"""Memory of Python with torch, a network in training, and intermediate results on the way to the features."""
ONE_AFTER_THE_OTHER = "for the remaining runs one after the other (divide by the number of parallel jobs)"
FEATURE_COPIES = 2
"""The pool's features, and the copy that a selection or a posterior makes of them."""


def estimate(jobs: Sequence[Job], data: Path, device: torch.device, again: bool = False) -> str:
    """Return the number of jobs and runs, the memory of the largest job, and the hours on the device, as text.

    The hours are estimated from the times of runs on the same kind of device in the jobs' `runs` folder or, without
    any, from the speed of the device, which takes a second to measure.

    Args:
        jobs: the jobs of the sweep; runs that are already done do not count towards the hours.
        data: the data folder; the sizes of sets that are not prepared there are the expected ones.
        device: where the jobs will run.
    """
    axes: dict[str, set[str] | set[int]] = {
        "methods": {job.method.name for job in jobs},
        "data sets": {job.dataset.name for job in jobs},
        "tasks": {job.task.name for job in jobs},
        "splits": {split for job in jobs for split in job.splits},
    }
    n_runs = sum(len(job.splits) for job in jobs)
    counts, damaged = _Counts(data, jobs), damaged_records(jobs[0].runs)
    shown = [f"damaged: {len(damaged)} record(s), not counted as results: {damaged[0]}"] if damaged else []
    return "\n".join(
        [
            f"{len(jobs)} jobs, {n_runs} runs: " + " x ".join(f"{len(names)} {axis}" for axis, names in axes.items()),
            f"so far:  {in_words(count_states(jobs))}",
            *shown,
            f"memory:  {_memory(jobs, counts, device)}",
            f"time:    {_time(jobs, counts, device, again)}",
            f"records: {jobs[0].runs.resolve() / jobs[0].experiment}",
        ]
    )


class _Counts:
    """Sizes of data sets by name: as prepared or, failing that, as expected; None if neither is known."""

    def __init__(self, data: Path, jobs: Sequence[Job]) -> None:
        self._data = data
        self._known: dict[str, Expected | None] = {job.dataset.name: job.dataset.expected for job in jobs}
        self._looked_at: set[str] = set()

    def __getitem__(self, name: str) -> Expected | None:
        if name not in self._looked_at:
            self._looked_at.add(name)
            try:
                self._known[name] = load_prepared(self._data, name).meta.counts
            except DataError:
                self._known.setdefault(name, None)
        return self._known[name]


def largest_bytes(jobs: Sequence[Job], data: Path) -> float | None:
    """Return the memory in bytes that the largest job is expected to need on a GPU; None if no size is known."""
    largest = _largest(jobs, _Counts(data, jobs), torch.device("cuda"))
    return largest[0] if largest else None


def _largest(jobs: Sequence[Job], counts: _Counts, device: torch.device) -> tuple[float, Job] | None:
    known = [(job_bytes(job, size, device), job) for job in jobs if (size := counts[job.dataset.name])]
    return max(known, key=lambda pair: pair[0], default=None)


def _memory(jobs: Sequence[Job], counts: _Counts, device: torch.device) -> str:
    known = _largest(jobs, counts, device)
    if known is None:
        return "unknown, because the data are not prepared yet"
    most, largest = known
    where = "GPU memory" if device.type == "cuda" else "main memory"
    return f"up to {most / 2**30:.1f} GiB of {where} for a job ({largest.title})"


def job_bytes(job: Job, size: Expected, device: torch.device) -> float:
    """Return the memory in bytes that a job is expected to use on its device: process, data of the splits, features.

    The data are held as prepared and, for each split, as scaled. Features are float64 if there is a posterior, and for
    the kernel `pred`. For each pool point, a posterior in kernel space stores one number per training point, and MaxDet
    one per selected point.
    """
    side_by_side = min(SPLITS_AT_ONCE[device.type], len(job.splits))
    rows = (size.pool + size.test) * (size.features + 1) * 4 * (1 + side_by_side)
    method, columns, item = job.method, _columns(job, size.features), _item_bytes(job)
    posterior = _has_posterior(method)
    beside = 0
    if isinstance(method.selection, MaxDet):
        posterior = posterior or method.mode == "TP"
        beside += min(job.task.batch_size, columns)
    if posterior and _in_kernel_space(method):
        beside += job.task.n_initial + job.task.n_rounds * job.task.batch_size
    return PROCESS_BYTES + rows + size.pool * item * (FEATURE_COPIES * columns + beside)


def _has_posterior(method: Method) -> bool:
    return any(t.name == "train" or t.name.startswith("acs") for t in method.transformations)


def _item_bytes(job: Job) -> int:
    """Return the bytes of a number of the features."""
    method = job.method
    is_double = _has_posterior(method) or method.selection.needs_float64 or isinstance(method.kernel, Predictions)
    return 8 if is_double else 4


def _in_kernel_space(method: Method) -> bool:
    return (
        method.kernel is not None
        and method.kernel.name in ("grad", "nngp")
        and not any(getattr(t, "n_features", None) for t in method.transformations)
    )


def _columns(job: Job, n_inputs: int) -> int:
    """Return the largest number of values that are stored for one pool point."""
    return job.training.columns(job.method, n_inputs) if job.method.kernel else 0


def _time(jobs: Sequence[Job], counts: _Counts, device: torch.device, again: bool) -> str:
    name = device_name(device)
    kinds = {_repeated(job)[0] for job in jobs}
    costs = {kind: known for kind in kinds if (known := _unit_costs(jobs[0].runs, counts, name, kind))}
    if len(costs) < len(kinds):
        return _time_without_records(jobs, counts, device, again)
    seconds = sum(
        n_left * costs[_repeated(job)[0]].run_seconds(job, counts[job.dataset.name])
        for job, n_left in _left(jobs, again)
    )
    n_earlier = sum(known.n_runs for known in costs.values())
    return f"{duration(seconds)} {ONE_AFTER_THE_OTHER}; from {n_earlier} earlier runs on {name}"


def _time_without_records(jobs: Sequence[Job], counts: _Counts, device: torch.device, again: bool) -> str:
    nothing = f"no earlier records on {device_name(device)} in {jobs[0].runs.resolve()}"
    seconds, speed = 0.0, Speed.of(device)
    for job, n_left in _left(jobs, again):
        size, network = counts[job.dataset.name], job.training.network
        if size is None or network is None:
            return f"unknown: {nothing}"
        columns = _columns(job, size.features)
        seconds += n_left * speed.run_seconds(job, network, size, columns, _item_bytes(job), device.type)
    return f"about {duration(seconds)} {ONE_AFTER_THE_OTHER}; guessed from the speed of the device, {nothing}"


def _left(jobs: Sequence[Job], again: bool) -> Iterator[tuple[Job, int]]:
    """Yield the jobs that are not done, or all, and how many of their runs are left."""
    for job in jobs:
        if n_left := sum(again or state is not State.DONE for state in run_states(job).values()):
            yield job, n_left


def _repeated(job: Job) -> tuple[str, int]:
    """Return the setting that the training time is proportional to, named as in records, and its value."""
    name = job.training.repeated
    return name, getattr(job.training, name)


@dataclass(frozen=True)
class _UnitCosts:
    """Median seconds: training per point and epoch, tree or member; selection per pool point and label, by method."""

    training: float
    selection: Mapping[str, float]
    n_runs: int

    def run_seconds(self, job: Job, size: Expected | None) -> float:
        """Return the estimated seconds of one run of a job."""
        task = job.task
        points = [task.n_initial + r * task.batch_size + task.n_valid / 3 for r in range(task.n_rounds + 1)]
        training = self.training * _repeated(job)[1] * job.method.n_models * sum(points)
        usual = sorted(self.selection.values())[len(self.selection) // 2] if self.selection else 0.0
        selection = self.selection.get(job.method.name, usual if job.method.kernel else 0.0)
        labelled: float = _labelled_points(size.pool if size else 0, task.batch_size)
        return training + selection * task.n_rounds * labelled


def _unit_costs(runs: Path, counts: _Counts, device: str, repeated: str) -> _UnitCosts | None:
    try:
        records = load_records(runs, skipped=[])
    except NoRecordsError:
        return None
    alike = [training for training in records.training.unique() if f"{repeated}=" in training]
    records = records[(records.device == device) & records.training.isin(alike)]
    if records.empty:
        return None
    n_repeats = _of_categories(records.training, lambda text: float(re.findall(rf"{repeated}=(\d+)", text)[0]))
    n_models = _of_categories(records.method, _n_models)
    training = (records.train_seconds / (n_repeats * n_models * (records.n_train + 1024 / 3))).median()
    pool = _of_categories(records.dataset, lambda name: size.pool if (size := counts[name]) else float("nan"))
    batch = _of_categories(records.task, lambda name: float(name.partition("x")[0]))
    per_label = (records.kernel_seconds + records.selection_seconds) / _labelled_points(pool, batch)
    selection = per_label.groupby(records.method, observed=True).median().dropna()
    n_runs = len(records.drop_duplicates(["experiment", "dataset", "task", "method", "split"]))
    return _UnitCosts(float(training), dict(selection), n_runs)


def _labelled_points(pool: Any, batch_size: Any) -> Any:
    """Return pool x (batch + 100), because computing the features costs about as much as selecting 100 points."""
    return pool * (batch_size + 100)


def _of_categories(column: pd.Series, f: Callable[[str], float]) -> pd.Series:
    """Apply f to each entry, computing it once per distinct value."""
    return column.map({name: f(name) for name in column.unique()}).astype(float)


def _n_models(method: str) -> float:
    try:
        return Method.from_name(method).n_models
    except BmdalError:  # a user's own method that is not registered here
        return 1
