"""The record of one run: what was measured in every round, and where every number comes from.

A run is one (experiment, data set, task, method, split). Its record is one JSON file,

    <runs>/<experiment>/<data set>/<task>/<method>/split-<s>.json

While the run works, the rounds it has finished stand in `split-<s>.partial.json` beside it, and if it fails, the
reason in `split-<s>.failed.json`. Files are written aside and renamed, so that a reader never sees half a file.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli.files import write_text_atomically

FORMAT_VERSION = 1
METRICS = ("mae", "rmse", "q95", "q99", "maxe")
_INDICES = re.compile(r'"indices": \[[^\]]*\]')


class RecordError(ValueError):
    """A record that cannot be read or written; the message names the file."""


@dataclass(frozen=True)
class RoundRecord:
    """One round: the errors on the test set after training, then the selection (absent in the last round).

    Times are wall-clock seconds. `indices` are the selected points as row numbers of the prepared data set, in the
    order of selection. `effective_dimension` is that of the pool features (None when they have over 1,000 columns).
    """

    round: int
    n_train: int
    mae: float
    rmse: float
    q95: float
    q99: float
    maxe: float
    train_seconds: float
    kernel_seconds: float | None = None
    selection_seconds: float | None = None
    n_filled: int | None = None
    effective_dimension: float | None = None
    indices: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Provenance:
    """Everything beside the configuration that a number depends on.

    A run that was interrupted and went on under other conditions, such as another device, says in `earlier` what
    differed in its first `n_rounds`; it counts as timed alone if it was so all the time. `sklearn` is scikit-learn's
    version, which records have only of models that it trains.
    """

    data_hash: str
    seed: int
    code_version: str
    python: str
    torch: str
    numpy: str
    device: str
    n_threads: int
    host: str
    started: str
    finished: str | None = None
    timed_alone: bool = False
    earlier: tuple[dict[str, Any], ...] = ()
    sklearn: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """What one run measured, with the resolved configuration that it ran under."""

    experiment: str
    dataset: str
    task: str
    method: str
    split: int
    config: dict[str, Any]
    provenance: Provenance
    rounds: tuple[RoundRecord, ...] = ()
    complete: bool = False
    format_version: int = field(default=FORMAT_VERSION)


@dataclass(frozen=True)
class FailureRecord:
    """Why a run failed: `error` in one line, the traceback, and the configuration that it ran under."""

    experiment: str
    dataset: str
    task: str
    method: str
    split: int
    config: dict[str, Any]
    error: str
    traceback: str
    host: str
    failed: str
    format_version: int = field(default=FORMAT_VERSION)


def record_path(runs: Path, experiment: str, dataset: str, task: str, method: str, split: int) -> Path:
    """Where the complete record of a run lies."""
    return runs / experiment / dataset / task / method / f"split-{split}.json"


def partial_path(path: Path) -> Path:
    """Where the finished rounds of a run that still works lie, given the path of its record."""
    return path.with_suffix(".partial.json")


def failed_path(path: Path) -> Path:
    """Where the reason of a failure lies, given the path of the run's record."""
    return path.with_suffix(".failed.json")


def write_record(record: RunRecord | FailureRecord, path: Path) -> None:
    """Write a record atomically. Raises ValueError if a number is NaN or infinite."""
    raw = asdict(record)
    if isinstance(record, RunRecord) and record.provenance.sklearn is None:
        del raw["provenance"]["sklearn"]
    write_text_atomically(path, json.dumps(raw, indent=1, allow_nan=False) + "\n")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no measurement")


def read_record(path: Path, *, with_indices: bool = True) -> RunRecord:
    """Read one record. Raises RecordError, which names the file, if it is damaged or of another format.

    The selected indices are nine tenths of a file. Without them (`indices` is None) reading is several times faster.
    """
    try:
        text = path.read_text(encoding="utf-8")
        text = text if with_indices else _INDICES.sub('"indices": null', text)
        raw = json.loads(text, parse_constant=_refuse_constant)
        if raw["format_version"] != FORMAT_VERSION:
            raise RecordError(
                f"{path}: record format {raw['format_version']}, this version reads {FORMAT_VERSION}; "
                "move the file away to have the run repeated"
            )
        rounds = tuple(
            RoundRecord(**{**r, "indices": None if r["indices"] is None else tuple(r["indices"])})
            for r in raw.pop("rounds")
        )
        provenance = Provenance(**{**raw["provenance"], "earlier": tuple(raw["provenance"].get("earlier", ()))})
        return RunRecord(**{**raw, "provenance": provenance, "rounds": rounds})
    except RecordError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: not a readable run record ({type(error).__name__}: {error}); "
            "move the file away to have the run repeated"
        ) from error


def read_failure(path: Path) -> FailureRecord:
    """Read why a run failed. Raises RecordError, which names the file, if it is damaged."""
    try:
        return FailureRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{path}: not a readable record of a failure ({type(error).__name__}: {error}); delete it"
        ) from error
