"""Check the runs of a method that somebody sends for the leaderboard, run one of them again, and write their archive.

The archive holds the records of the protocol's experiment, the code of the method below `code/`, and in `rerun.json`
which run was repeated and by how much the repetition differs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from cli.files import written_aside
from results.archive import unpacked
from results.errors import ResultsError
from results.leaderboard import RERUN_FILE
from results.record import RecordError, RunRecord, read_record, record_path

INITIAL_WITHIN = 0.01
"""Tolerance for the log RMSE of round 0. Between a GPU (lite.zip) and a CPU (mini.zip), it differs by up to 0.0033."""
RERUN_WITHIN = 0.1
"""Tolerance for the mean log RMSE over rounds 1..n of a repeated run: about twice 0.051, the largest difference between
lite.zip and mini.zip."""
MOST_BELOW = 2.0
"""How many times as small as the protocol's smallest of the same round an error may be."""
_CODE = "code"
_NAME = re.compile(r"\w[\w.-]*")
_ROOT = Path(__file__).parent.parent
Cell = tuple[str, str, int]  # method, data set, split


class SubmissionError(ValueError):
    """A submission is refused; `faults` are all reasons."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Protocol:
    """What the runs of the protocol have in common, from their records."""

    records: tuple[RunRecord, ...]

    @property
    def any(self) -> RunRecord:
        """One of the records, all of which have the same experiment, task and settings of task and training."""
        return self.records[0]

    @cached_property
    def methods(self) -> set[str]:
        """The methods that the protocol has."""
        return {record.method for record in self.records}

    @cached_property
    def hashes(self) -> dict[tuple[str, int], str]:
        """The hash of the data by data set and split."""
        return {(record.dataset, record.split): record.provenance.data_hash for record in self.records}

    @cached_property
    def errors(self) -> dict[tuple[str, int], np.ndarray]:
        """The log RMSE by data set and split, shape (n_methods, n_rounds + 1)."""
        return {
            pair: np.array([_curve(r) for r in self.records if (r.dataset, r.split) == pair]) for pair in self.hashes
        }


def read_protocol(archive: Path) -> Protocol:
    """Read the records of a protocol. Raises ResultsError if it has none, or if they are not of a single protocol."""
    with unpacked(archive) as folder:
        records = tuple(read_record(path, with_indices=False) for path in _paths(folder))
    kinds = {
        json.dumps([r.experiment, r.task, r.config.get("task"), r.config.get("training")], sort_keys=True)
        for r in records
    }
    if len(kinds) != 1 or not {"task", "training"} <= records[0].config.keys():
        raise ResultsError(f"paths.protocol={archive} should have runs of one experiment, task and training")
    return Protocol(records)


def submit(
    source: Path, protocol: Protocol, submissions: Path, *, name: str | None, rerun: bool, data: Path
) -> tuple[Path, str]:
    """Check a submission, write `<submissions>/<name>.zip`, and return its path and what the repeated run showed.

    `source` is a folder of runs or an archive; methods that the protocol has are passed over. Without a name, it is
    that of the method. `data` is the data folder for the repeated run.

    Raises SubmissionError with all faults, and writes nothing then.
    """
    with unpacked(source) as folder, tempfile.TemporaryDirectory() as scratch:
        records, faults = _read(folder / protocol.any.experiment, protocol)
        faults += _faults(records, protocol)
        faults += _taken(source, submissions, {record.method for record in records.values()})
        methods = sorted({record.method for record in records.values()})
        name = name or (methods[0] if len(methods) == 1 else None)
        target = submissions / f"{name}.zip"
        if name is None or not _NAME.fullmatch(name):
            faults.append(
                f"name={name or ''} should be a name for {len(methods)} methods, of letters, digits, . _ and -"
            )
        elif target.exists() and target.resolve() != source.resolve():
            faults.append(f"{target} exists; choose another name=, or remove it")
        code = Path(scratch, _CODE)
        faults += _collect_code(records, folder / _CODE, code)
        if faults:
            raise SubmissionError(faults)
        told, outcome = "not rerun", None
        if rerun:
            outcome = _rerun(records, protocol, code, Path(scratch, "runs"), data)
            told = f"rerun of {outcome['run']}: log RMSE {outcome['difference']:+.4f}, within {RERUN_WITHIN}"
        files = {str(path.relative_to(folder)): path for path in records}
        files |= {f"{_CODE}/{path.relative_to(code)}": path for path in sorted(code.rglob("*")) if path.is_file()}
        _write(target, files, json.dumps(outcome))
    return target, told


def _paths(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("split-*.json") if path.name.count(".") == 1)


def _curve(record: RunRecord) -> list[float]:
    return [float(np.log(measured.rmse)) for measured in record.rounds]


def _cell(record: RunRecord) -> Cell:
    return record.method, record.dataset, record.split


def _read(folder: Path, protocol: Protocol) -> tuple[dict[Path, RunRecord], list[str]]:
    """Read the records of new methods; also return what is wrong with those that cannot be read."""
    records, faults = {}, []
    for path in _paths(folder):
        if path.parent.name in protocol.methods:
            continue
        try:
            records[path] = read_record(path)
        except RecordError as error:
            faults.append(str(error))
    if not records and not faults:
        faults.append(f"{folder} has no records of a method that is not yet in the protocol")
    return records, faults


def _faults(records: dict[Path, RunRecord], protocol: Protocol) -> list[str]:
    faults = []
    for path, record in records.items():
        pair = (record.dataset, record.split)
        if record.task != protocol.any.task or pair not in protocol.hashes:
            pairs = ", ".join(f"{dataset} {split}" for dataset, split in sorted(protocol.hashes))
            faults.append(f"{path}: not in the protocol, which is {protocol.any.task} on the splits {pairs}")
            continue
        faults += [f"{path}: {fault}" for fault in _faults_of(record, protocol)]
    for method in sorted({record.method for record in records.values()}):
        own = [record for record in records.values() if record.method == method]
        there = {(record.dataset, record.split) for record in own if record.task == protocol.any.task}
        faults += [
            f"{method}: {dataset} split {split} is missing" for dataset, split in sorted(protocol.hashes.keys() - there)
        ]
        if len({json.dumps(record.config.get("method"), sort_keys=True) for record in own}) > 1:
            faults.append(f"{method}: its runs have different settings or code, config.method")
    return faults


def _faults_of(record: RunRecord, protocol: Protocol) -> Iterator[str]:
    pair = (record.dataset, record.split)
    for part in ("task", "training"):
        given, expected = record.config.get(part, {}), protocol.any.config[part]
        for key in sorted(given.keys() | expected.keys()):
            if given.get(key) != expected.get(key):
                yield f"config.{part}.{key} should be {expected.get(key)}, got {given.get(key)}"
    if record.config.get("method", {}).get("name") != record.method:
        yield f"config.method.name should be {record.method}, got {record.config.get('method', {}).get('name')}"
    if "sigma" not in record.config.get("method", {}):
        yield "config.method.sigma is missing"
    if record.provenance.data_hash != protocol.hashes[pair]:
        yield f"data_hash should be {protocol.hashes[pair]}, got {record.provenance.data_hash}: prepare the data again"
    if record.provenance.seed != record.split:
        yield f"seed should be {record.split}, as the split, got {record.provenance.seed}"
    if any(measured.indices is None for measured in record.rounds[:-1]):
        yield "the selected points are missing"
    for measured in record.rounds:
        if not (measured.mae <= measured.rmse <= measured.maxe and measured.q95 <= measured.q99 <= measured.maxe):
            yield f"rounds[{measured.round}] should have mae <= rmse <= maxe and q95 <= q99 <= maxe"
    curve, errors = np.array(_curve(record)), protocol.errors[pair]
    if len(curve) != errors.shape[1]:
        return
    low, high = errors[:, 0].min() - INITIAL_WITHIN, errors[:, 0].max() + INITIAL_WITHIN
    if not low <= curve[0] <= high:
        yield (
            f"the log RMSE of round 0 should be {low:.4f} to {high:.4f}, as on this split before any selection, "
            f"got {curve[0]:.4f}: was it trained on another split?"
        )
    for number in np.flatnonzero(curve < errors.min(axis=0) - np.log(MOST_BELOW)):
        yield f"rounds[{number}].rmse is below the smallest of the protocol divided by {MOST_BELOW:g}"


def _taken(source: Path, submissions: Path, methods: set[str]) -> Iterator[str]:
    """Yield a fault for each method that another submission has."""
    for archive in sorted(submissions.glob("*.zip")):
        if archive.resolve() == source.resolve():
            continue
        with unpacked(archive) as folder:
            taken = {path.parent.name for path in _paths(folder)} & methods
        yield from (f"{archive} has the method {method}; give yours another name" for method in sorted(taken))


def _collect_code(records: dict[Path, RunRecord], given: Path, target: Path) -> list[str]:
    """Copy the code of the methods, from the submission or the current folder, to `target`; return what is wrong.

    The file of a module must have the hash that is in the records.
    """
    if given.is_dir():
        shutil.copytree(given, target, ignore=shutil.ignore_patterns("__pycache__"))
    target.mkdir(exist_ok=True)
    faults = []
    for module, code in sorted({pair for record in records.values() for pair in _modules(record).items()}):
        if not all(part.isidentifier() for part in module.split(".")):
            faults.append(f"config.method.code should have names of modules, got {module!r}")
            continue
        file = Path(*module.split(".")).with_suffix(".py")
        candidates = [folder / file for folder in (target, Path.cwd(), _ROOT) if (folder / file).is_file()]
        found = next((p for p in candidates if hashlib.sha256(p.read_bytes()).hexdigest()[:12] == code), None)
        if found is None:
            seen = f"{candidates[0]} has another" if candidates else f"there is no {file} in {Path.cwd()}"
            faults.append(f"the code of the method, module {module} with the hash {code}, is not here: {seen}")
        elif found != target / file:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, target / file)
    return faults


def _modules(record: RunRecord) -> dict[str, Any]:
    code = record.config.get("method", {}).get("code", {})
    return code if isinstance(code, dict) else {}


def _rerun(records: dict[Path, RunRecord], protocol: Protocol, code: Path, runs: Path, data: Path) -> dict[str, Any]:
    """Repeat one run, drawn by the hash of all of them, on this machine, and return its name and the difference.

    The benchmark finds the other runs complete, so it also checks that their settings and data are what they say, and
    that the selected points are in the pools of their splits.

    Raises SubmissionError if the benchmark complains, or if the repeated run differs.
    """
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(records))).hexdigest()
    paths = sorted(records)
    drawn = paths[int(np.random.default_rng(int(digest, 16)).integers(len(paths)))]
    for path, record in records.items():
        if path != drawn:
            target = record_path(runs, record.experiment, record.dataset, record.task, record.method, record.split)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    chosen = records[drawn]
    name = "/".join(map(str, (chosen.dataset, chosen.method, f"split-{chosen.split}")))
    print(f"running {name} again", flush=True)
    faults = [
        fault
        for method in sorted({r.method for r in records.values()})
        for fault in _benchmark(next(r for r in records.values() if r.method == method), protocol, code, runs, data)
    ]
    repeated = record_path(runs, chosen.experiment, chosen.dataset, chosen.task, chosen.method, chosen.split)
    if faults or not repeated.exists():
        raise SubmissionError(faults or [f"{name} did not run again"])
    differences = np.array(_curve(chosen)) - _curve(read_record(repeated))
    first, mean = float(differences[0]), float(differences[1:].mean())
    if abs(first) > INITIAL_WITHIN or abs(mean) > RERUN_WITHIN:
        fault = (
            f"{name}: its log RMSE minus that of a repeated run is {first:+.4f} in round 0 and {mean:+.4f} on average"
        )
        raise SubmissionError([f"{fault} afterwards; at most {INITIAL_WITHIN} and {RERUN_WITHIN} are accepted"])
    return {"run": name, "difference": mean}


def _benchmark(record: RunRecord, protocol: Protocol, code: Path, runs: Path, data: Path) -> list[str]:
    """Run what is missing of the protocol's runs of a method; return what the benchmark complains about."""
    datasets, splits = (sorted({pair[i] for pair in protocol.hashes}) for i in (0, 1))
    method = record.config["method"]
    settings: dict[str, Any] = {
        f"{part}.{key}": value for part in ("task", "training") for key, value in record.config[part].items()
    }
    if (training := _training_of(record)) is not None:
        settings["training"] = training
    settings |= {"experiment.name": record.experiment, "method": record.method, "sigma": method["sigma"]}
    settings |= {"dataset": ",".join(map(str, datasets)), "splits": f"[{','.join(map(str, splits))}]"}
    settings |= {"imports": f"[{','.join(_modules(record))}]", "paths.runs": runs, "paths.data": data.resolve()}
    command = [sys.executable, "-m", "benchmark", "-m", *(f"{key}={value}" for key, value in settings.items())]
    path = os.pathsep.join([str(code), str(_ROOT)])
    done = subprocess.run(
        command, cwd=code, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    return errors or ([done.stderr[-2000:]] if done.returncode else [])


def _training_of(record: RunRecord) -> str | None:
    """The name of the configuration whose settings a record has; None for the default, or if there is none."""
    for path in sorted((_ROOT / "conf" / "training").glob("*.yaml")):
        if {*map(str, OmegaConf.load(path))} - {"_target_"} == set(record.config["training"]):
            return path.stem
    return None


def _write(target: Path, files: dict[str, Path], rerun: str) -> None:
    contents = {name: path.read_bytes() for name, path in sorted(files.items())} | {RERUN_FILE: f"{rerun}\n".encode()}
    with written_aside(target) as aside, zipfile.ZipFile(aside, "w") as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name)  # with a fixed date: the same submission gives the same file
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
