"""A run: one method on one task of a data set under fixed conditions, and the records of its splits."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import node, python_version
from typing import Any

import numpy as np
import torch

from benchmark.code_version import code_version, own_code
from benchmark.errors import BenchmarkError
from benchmark.model import Model
from benchmark.split import make_split
from benchmark.task import Task
from bmdal import Method
from data_prep import PreparedData
from results.record import (
    REMEDY,
    Provenance,
    RecordError,
    RunRecord,
    partial_path,
    read_partial,
    read_record,
    record_path,
    write_record,
)


def settings(task: Task, training: Model, method: Method) -> dict[str, Any]:
    """Return all settings that affect the results, except for the split and the data, as stored in records.

    A component of the library is identified by its name and a model of the benchmark by its settings; a user's own
    also by the hash of its code.
    """
    of_training, of_method = own_code([training]), own_code([method.selection, method.kernel, *method.transformations])
    own = {"class": type(training).__qualname__, "code": of_training} if of_training else {}
    return {
        "task": dataclasses.asdict(task),
        "training": {**dataclasses.asdict(training), **own},
        "method": {"name": method.name, "sigma": method.sigma, **({"code": of_method} if of_method else {})},
    }


def check_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise BenchmarkError, saying what differs, if a record was made with settings other than the current ones."""
    flat_old, flat_new = _flat(old), _flat(new)
    changes = [
        f"{key} was {flat_old.get(key)} and is now {flat_new.get(key)}"
        for key in sorted(flat_old.keys() | flat_new.keys())
        if flat_old.get(key) != flat_new.get(key)
    ]
    if changes:
        raise BenchmarkError(
            f"{path} was made with another configuration: {'; '.join(changes)}. "
            "Choose another experiment.name, or overwrite=true to run again"
        )


@dataclass(frozen=True)
class Run:
    """One method on one task of one data set, for any number of splits."""

    experiment: str
    data: PreparedData
    task: Task
    method: Method
    training: Model
    device: torch.device
    runs: Path
    timed_alone: bool = False  # whether none of the user's other runs uses the device at the same time

    @property
    def config(self) -> dict[str, Any]:
        """All settings that affect the results, except for the split and the data."""
        return settings(self.task, self.training, self.method)

    def path(self, split: int) -> Path:
        """Return the path of the complete record of a split."""
        return record_path(self.runs, self.experiment, self.data.name, self.task.name, self.method.name, split)

    def new_record(self, split: int) -> RunRecord:
        """Return the record of a split before its first round."""
        provenance = Provenance(
            data_hash=self.data.data_hash,
            seed=split,
            code_version=code_version(),
            python=python_version(),
            torch=torch.__version__,
            numpy=np.__version__,
            device=device_name(self.device),
            n_threads=torch.get_num_threads(),
            host=node(),
            started=_now(),
            finished=None,
            timed_alone=self.timed_alone,
            packages={name: version(name) for name in self.training.packages},
        )
        return RunRecord(
            experiment=self.experiment,
            dataset=self.data.name,
            task=self.task.name,
            method=self.method.name,
            split=split,
            config=self.config,
            provenance=provenance,
            rounds=(),
        )

    def open(self, split: int) -> RunRecord:
        """Return the record of a split so far: complete, partial or new.

        A partial record continues under the current conditions, and its provenance says so.

        Raises BenchmarkError, saying what differs, if the existing record has another configuration, and RecordError
        if it cannot be read or contains selected points that are not in the pool.
        """
        path, new = self.path(split), self.new_record(split)
        for candidate, read in ((path, read_record), (partial_path(path), read_partial)):
            if candidate.exists():
                record = read(candidate)
                check_same(candidate, _identity(record), _identity(new))
                self._check_selected(record, candidate)
                if candidate == path:
                    return record
                return replace(record, complete=False, provenance=_resumed(record, new.provenance))
        return new

    def _check_selected(self, record: RunRecord, path: Path) -> None:
        pool = np.zeros(len(self.data.y), dtype=bool)
        pool[make_split(len(self.data.y), self.data.n_test, self.task, record.split).pool] = True
        for number, measured in enumerate(record.rounds[: self.task.n_rounds]):
            if measured.indices is None:
                raise RecordError(f"{path}: rounds[{number}].indices should be numbers, got None; {REMEDY}")
            if outside := [row for row in measured.indices if row >= len(pool) or not pool[row]]:
                where = f"rounds[{number}].indices should be rows of the pool of split {record.split}"
                raise RecordError(f"{path}: {where}, got {outside[0]}; {REMEDY}")

    def save(self, record: RunRecord) -> RunRecord:
        """Write a record, as complete if it has all rounds and as partial otherwise. Return the written record."""
        complete = len(record.rounds) == self.task.n_rounds + 1
        provenance = replace(record.provenance, finished=_now()) if complete else record.provenance
        record = replace(record, complete=complete, provenance=provenance)
        path = self.path(record.split)
        write_record(record, path if complete else partial_path(path))
        if complete:
            partial_path(path).unlink(missing_ok=True)
        return record


def _identity(record: RunRecord) -> dict[str, Any]:
    return {**record.config, "data_hash": record.provenance.data_hash}


def _resumed(record: RunRecord, now: Provenance) -> Provenance:
    """Return the provenance of a resumed record; `earlier` says what was different in the rounds so far."""
    before = record.provenance
    own = {"started", "finished", "timed_alone", "earlier"}
    conditions = [f.name for f in fields(Provenance) if f.name not in own]
    changed = {name: getattr(before, name) for name in conditions if getattr(before, name) != getattr(now, name)}
    return replace(
        now,
        started=before.started,
        timed_alone=before.timed_alone and now.timed_alone,
        earlier=(*before.earlier, {"n_rounds": len(record.rounds), **changed}) if changed else before.earlier,
    )


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def device_name(device: torch.device) -> str:
    """Return the name of a device as stored in records, e.g. "NVIDIA H200" or "cpu (linux)"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} ({sys.platform})"
