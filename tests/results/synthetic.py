"""Records with known means, for tests and for looking at tables and figures before anything has run.

    python -m tests.results.synthetic runs    # the published grid, 2 x 76 x 15 x 20 = 45,600 records, and
                                              # 7 x 6 x 15 x 20 = 12,600 of the batch sizes: 3.2 GB, six minutes

The logarithm of a metric in round r is `known_log(dataset, method, metric, r)` plus a normal deviation of the split
(standard deviation `SPLIT_SD`), the same in all rounds and metrics, so that its mean and standard error are known.
"""

from __future__ import annotations

import json
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from results.record import Provenance, RoundRecord, RunRecord, record_path, write_record

SPLIT_SD = 0.02
METRIC_OFFSETS = {"mae": -0.5, "rmse": 0.0, "q95": 0.6, "q99": 1.2, "maxe": 2.5}
PROVENANCE = Provenance(
    data_hash="0" * 64,
    seed=0,
    code_version="synthetic",
    python="3.11",
    torch="2.13.0",
    numpy="2.4.6",
    device="cpu",
    n_threads=2,
    host="synthetic",
    started="2026-01-01T00:00:00+00:00",
    finished="2026-01-01T00:10:00+00:00",
    timed_alone=False,
)


def unit(*names: str) -> float:
    """A number in [0, 1) that is always the same for the same names."""
    return zlib.crc32("/".join(names).encode()) / 2**32


def gain(dataset: str, method: str) -> float:
    """By how much more than random (0) a method's errors fall, in [0, 1]."""
    return 0.0 if method == "random" else unit(method) * 0.5 + 0.5 * unit(dataset)


def known_log(dataset: str, method: str, metric: str, n_train: int) -> float:
    """The expected logarithm of a metric: a power law in n_train whose exponent grows with the gain."""
    quotient = 0.2 + 0.6 * unit(dataset)
    offset = -quotient if metric == "mae" else METRIC_OFFSETS[metric]
    return -1.0 + unit(dataset) + offset - (0.2 + 0.3 * gain(dataset, method)) * np.log(n_train / 256)


def make_record(
    experiment: str, dataset: str, task: str, method: str, split: int, *, with_indices: bool = False
) -> RunRecord:
    """One record of the task `<batch>x<rounds>`, starting from 256 points."""
    batch, n_rounds = (int(part) for part in task.split("x"))
    generator = np.random.default_rng(zlib.crc32(f"{experiment}/{dataset}/{task}/{method}/{split}".encode()))
    deviation = SPLIT_SD * generator.standard_normal()
    provenance = replace(PROVENANCE, timed_alone=split == 9)
    selected = generator.choice(200_000, (n_rounds, batch), replace=False)
    rounds = []
    for number in range(n_rounds + 1):
        n_train, last = 256 + number * batch, number == n_rounds
        values = {m: float(np.exp(known_log(dataset, method, m, n_train) + deviation)) for m in METRIC_OFFSETS}
        indices = tuple(selected[number].tolist()) if with_indices and not last else None
        rounds.append(
            RoundRecord(
                round=number,
                n_train=n_train,
                **values,
                train_seconds=1.0 + number,
                kernel_seconds=None if last else 0.1 + 0.1 * unit(method),
                selection_seconds=None if last else 0.2 + 0.2 * unit(method),
                n_filled=None if last else 0,
                effective_dimension=None if last else effective_dimension(dataset, method, number),
                indices=indices,
            )
        )
    return RunRecord(
        experiment, dataset, task, method, split, _config(experiment), provenance, tuple(rounds), complete=True
    )


def _config(experiment: str) -> dict[str, dict[str, str]]:
    return {"training": {"activation": "silu" if experiment.startswith("silu") else "relu"}}


def effective_dimension(dataset: str, method: str, number: int) -> float | None:
    """Larger for sketched gradients than for the last layer; random has no features of its own."""
    if method == "random":
        return None
    return 1.0 + (4.0 if "_grad" in method else 1.0) * (0.2 + unit(dataset, str(number)))


def write_grid(
    runs: Path, experiment: str, datasets: Iterable[str], task: str, methods: Iterable[str], splits: Iterable[int]
) -> None:
    """Write the records of a whole grid."""
    methods, splits = list(methods), list(splits)
    for dataset in datasets:
        for method in methods:
            for split in splits:
                record = make_record(experiment, dataset, task, method, split)
                write_record(record, record_path(runs, experiment, dataset, task, method, split))


def pack(folder: Path, archive: Path, **texts: str) -> Path:
    """Write an archive with the records in a folder, and with further files."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.json"):
            file.write(path, path.relative_to(folder))
        for name, text in texts.items():
            file.writestr(f"{name}.json", text)
    return archive


def write_published_grid(runs: Path) -> int:
    """Write the whole published grid with indices, without waiting for the disk; gives the number of records."""
    from results.methods import selected_methods
    from results.published import PUBLISHED_DATASETS, load_published

    grids = [(name, "256x16", list(load_published(name)["method"])) for name in ("relu", "silu")]
    batch_methods = [m for m in selected_methods("relu", grids[0][2]) if m != "random"]
    batch_tasks = ("4096x1", "2048x2", "1024x4", "512x8", "128x32", "64x64")
    grids += [("batch_sizes", task, batch_methods) for task in batch_tasks]
    n_written = 0
    for experiment, task, methods in grids:
        for dataset in PUBLISHED_DATASETS:
            for method in methods:
                for split in range(20):
                    path = record_path(runs, experiment, dataset, task, method, split)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    record = make_record(experiment, dataset, task, method, split, with_indices=True)
                    path.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
                    n_written += 1
            print(f"{experiment} {task} {dataset}: {n_written} records written", flush=True)
    return n_written


if __name__ == "__main__":
    print(f"{write_published_grid(Path(sys.argv[1]))} records in {sys.argv[1]}")
