"""The record of one run: the measurements of every round and their provenance.

A run is one (experiment, data set, task, method, split). Its record is one JSON file,

    <runs>/<experiment>/<data set>/<task>/<method>/split-<s>.json

While a run is in progress, its finished rounds are in `split-<s>.partial.json` next to it. If it fails, the reason is
in `split-<s>.failed.json`. Files are written to a temporary file and renamed, so a reader never sees half a file.

The annotations of the classes are the schema of these files. `_check_rounds` checks what a single field cannot express.
All code that reads or writes a record uses both.
"""

from __future__ import annotations

import json
import re
import reprlib
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from cli.files import write_text_atomically

FORMAT_VERSION = 1
METRICS = ("mae", "rmse", "q95", "q99", "maxe")
MOST_TEXT = 100_000
"""Maximum number of characters of a text in a record, such as a traceback or a configuration."""
NO_SELECTION: dict[str, Any] = dict.fromkeys(
    ("kernel_seconds", "selection_seconds", "n_filled", "effective_dimension", "indices")
)
"""The selection fields of the last round, which selects nothing."""
_TASK = re.compile(r"([1-9]\d{0,8})x(0|[1-9]\d{0,8})", re.ASCII)
_INDICES = re.compile(rb'"indices": \[([^\]]*)\]')
REMEDY = "move the file away to have the run repeated"
_STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, str_max_length=MOST_TEXT)


def _finite_and_short(value: Any) -> Any:
    if len(json.dumps(value, allow_nan=False)) > MOST_TEXT:
        raise ValueError(f"should have at most {MOST_TEXT} characters as JSON")
    return value


Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0)]
Metric = Annotated[float, Field(gt=0)]  # tables and figures use logarithms
Text = Annotated[str, Field(max_length=1000)]
Settings = Annotated[dict[str, JsonValue], AfterValidator(_finite_and_short)]
Format = Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)]


class RecordError(ValueError):
    """A record cannot be read or written; the message names the file."""


@dataclass(frozen=True)
class RoundRecord:
    """One round: the errors on the test set after training, then the selection (absent in the last round).

    Times are wall-clock seconds. `indices` are the selected points as row numbers of the prepared data set, in the
    order of selection. `effective_dimension` is that of the pool features (None if they have more than 1,000 columns).
    """

    __pydantic_config__ = _STRICT

    round: Count
    n_train: Count
    mae: Metric
    rmse: Metric
    q95: Metric
    q99: Metric
    maxe: Metric
    train_seconds: Seconds
    kernel_seconds: Seconds | None
    selection_seconds: Seconds | None
    n_filled: Count | None
    effective_dimension: Annotated[float, Field(ge=0)] | None
    indices: tuple[int, ...] | None  # checked in `_check_batches`, which is faster


@dataclass(frozen=True)
class Provenance:
    """Everything apart from the configuration that the results depend on.

    If a run was interrupted and resumed under other conditions, such as another device, `earlier` says what was
    different in its first `n_rounds`. It counts as timed alone only if all of its rounds were. `packages` are the
    versions of the libraries that trained a model other than a network; older records of forests have `sklearn`.
    """

    __pydantic_config__ = _STRICT

    data_hash: Text
    seed: Count
    code_version: Text
    python: Text
    torch: Text
    numpy: Text
    device: Text
    n_threads: Count
    host: Text
    started: Text
    finished: Text | None
    timed_alone: bool
    earlier: tuple[Settings, ...] = ()
    sklearn: Text | None = None
    packages: dict[Text, Text] = field(default_factory=dict)


@dataclass(frozen=True)
class _Run:
    """Which run a record is of, with its resolved configuration."""

    __pydantic_config__ = _STRICT

    experiment: Text
    dataset: Text
    task: Text
    method: Text
    split: Count
    config: dict[str, Settings]


@dataclass(frozen=True)
class RunRecord(_Run):
    """The measurements of one run."""

    provenance: Provenance
    rounds: tuple[RoundRecord, ...]
    complete: bool = False
    format_version: Format = FORMAT_VERSION


@dataclass(frozen=True)
class FailureRecord(_Run):
    """Why a run failed: `error` in one line, and the traceback."""

    error: str
    traceback: str
    host: Text
    failed: Text
    format_version: Format = FORMAT_VERSION


Record = TypeVar("Record", RunRecord, FailureRecord)
_RUN, _FAILURE = TypeAdapter(RunRecord), TypeAdapter(FailureRecord)


def record_path(runs: Path, experiment: str, dataset: str, task: str, method: str, split: int) -> Path:
    """Return the path of the complete record of a run."""
    return runs / experiment / dataset / task / method / f"split-{split}.json"


def partial_path(path: Path) -> Path:
    """Return the path of the partial record of a run in progress, given the path of its complete record."""
    return path.with_suffix(".partial.json")


def failed_path(path: Path) -> Path:
    """Return the path of the failure record of a run, given the path of its complete record."""
    return path.with_suffix(".failed.json")


def write_record(record: RunRecord | FailureRecord, path: Path) -> None:
    """Write a record atomically. Raises RecordError if it could not be read again, for example because of a NaN."""
    raw = asdict(record)
    for name in ("sklearn", "packages"):
        if isinstance(record, RunRecord) and not raw["provenance"][name]:
            del raw["provenance"][name]
    text = json.dumps(raw, indent=1) + "\n"
    try:
        schema: TypeAdapter[Any] = _RUN if isinstance(record, RunRecord) else _FAILURE
        _parse(schema, text.encode())
    except ValueError as error:
        raise RecordError(f"{path} was not written: {error}") from error
    write_text_atomically(path, text)


def read_record(path: Path | zipfile.Path, *, with_indices: bool = True) -> RunRecord:
    """Read a complete record, from a file or from within a zip archive.

    The selected indices make up nine tenths of a file. Without them (`indices` is empty), reading is three times
    faster, and the only check is that there are some and that all are whole numbers of at least 0.

    Raises RecordError, naming the file and the fault, if the record is damaged, has another format, is not complete or
    belongs to another run.
    """
    record = _read(path, _RUN, lambda place: place, with_indices=with_indices)
    if not record.complete:
        raise RecordError(f"{path}: complete should be true, got false; {REMEDY}")
    return record


def read_partial(path: Path) -> RunRecord:
    """Read the rounds that a run has finished so far, possibly all. Raises RecordError as `read_record` does."""
    return _read(path, _RUN, partial_path)


def read_failure(path: Path) -> FailureRecord:
    """Read why a run failed. Raises RecordError as `read_record` does."""
    return _read(path, _FAILURE, failed_path)


def _read(
    path: Path | zipfile.Path, schema: TypeAdapter[Record], name: Callable[[Path], Path], *, with_indices: bool = True
) -> Record:
    try:
        text = path.read_bytes()
        record = _parse(schema, text if with_indices else _INDICES.sub(_left_out, text), with_indices)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}; {REMEDY}") from error
    keys = (record.experiment, record.dataset, record.task, record.method, record.split)
    here = Path(str(path))  # a file in an archive is named below it
    place = name(record_path(Path(*here.parts[:-5]), *keys))
    if here != place:
        raise RecordError(f"{path}: holds the record that belongs to {place}; move the file there or away")
    return record


def _left_out(indices: re.Match[bytes]) -> bytes:
    return indices[0] if indices[1].translate(None, b"0123456789, \n") else b'"indices": []'


def _parse(schema: TypeAdapter[Record], text: bytes, with_indices: bool = True) -> Record:
    """Parse a record. Raises ValueError, naming the field and the fault."""
    try:
        record = schema.validate_json(text)
    except ValidationError as error:
        raise ValueError(_in_words(error)) from None
    if isinstance(record, RunRecord):
        _check_rounds(record, with_indices)
    return record


def _in_words(error: ValidationError) -> str:
    """Describe the first fault of a validation, e.g. "rounds[2].rmse should be greater than 0, got -1.0"."""
    faults = error.errors(include_url=False, include_context=False)
    fault = next((fault for fault in faults if fault["loc"] == ("format_version",)), faults[0])
    got = reprlib.repr(fault["input"])
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part[:40])}" for part in fault["loc"])[1:]
    match fault["type"]:
        case _ if place == "format_version":
            return f"record format {got}, this version reads {FORMAT_VERSION}"
        case "json_invalid":
            return str(fault["msg"])
        case "missing":
            return f"{place} is missing"
        case "unexpected_keyword_argument":
            return f"{place!r} is not known"
        case _:
            return f"{place} {re.sub('^(Input|String|Value error,) ', '', fault['msg'])}, got {got}".lstrip()


def _printable(text: str) -> str:
    return repr(text)[1:-1]


def _check_rounds(record: RunRecord, with_indices: bool) -> None:
    """Raise ValueError unless the rounds are the first rounds of the task, or all of them, in order."""
    named = _TASK.fullmatch(record.task)
    if named is None:
        raise ValueError(f"task should be <batch size>x<rounds>, e.g. 256x16, got {reprlib.repr(record.task)}")
    batch_size, n_rounds = map(int, named.groups())
    _check_task(record, batch_size, n_rounds)
    rounds, batches = record.rounds, [measured.indices for measured in record.rounds[:n_rounds]]
    if len(rounds) > n_rounds + 1 or (record.complete and len(rounds) <= n_rounds):
        raise ValueError(f"rounds should be {n_rounds + 1} in a complete record of {record.task}, got {len(rounds)}")
    for number, measured in enumerate(rounds):
        n_train = rounds[0].n_train + number * batch_size
        if measured.round != number or measured.n_train != n_train or (measured.n_filled or 0) > batch_size:
            raise ValueError(
                f"rounds[{number}] should have round={number}, n_train={n_train} and n_filled of at most {batch_size}, "
                f"got {measured.round}, {measured.n_train} and {measured.n_filled}"
            )
    for name in NO_SELECTION:
        if len(rounds) > n_rounds and getattr(rounds[n_rounds], name) is not None:
            raise ValueError(f"rounds[{n_rounds}].{name} should be null, as the last round selects nothing")
    given = [batch for batch in batches if batch is not None]  # imported runs have no selected points
    if given and len(given) < len(batches):
        raise ValueError(f"rounds[{batches.index(None)}].indices should be a valid array, got None")
    if given and with_indices:
        _check_batches(given, batch_size)


def _check_task(record: RunRecord, batch_size: int, n_rounds: int) -> None:
    """Raise ValueError if the configuration has a task that disagrees with the record's task name or rounds."""
    expected = {"batch_size": batch_size, "n_rounds": n_rounds}
    if record.rounds:
        expected["n_initial"] = record.rounds[0].n_train
    for name, given in record.config.get("task", {}).items():
        if given != expected.get(name, given):
            should = f"{expected[name]}, as rounds and task {record.task} say"
            raise ValueError(f"config.task.{name} should be {should}, got {reprlib.repr(given)}")


def _check_batches(batches: Sequence[Sequence[int]], batch_size: int) -> None:
    """Raise ValueError unless every batch has the right size and no point is selected twice."""
    selected: set[int] = set()
    for number, batch in enumerate(batches):
        if len(batch) != batch_size:
            raise ValueError(f"rounds[{number}].indices should be {batch_size} numbers, got {len(batch)}")
        if min(batch) < 0:
            raise ValueError(f"rounds[{number}].indices should be at least 0, got {min(batch)}")
        selected.update(batch)
    if len(selected) < len(batches) * batch_size:
        twice = Counter(chain(*batches)).most_common(1)[0][0]
        raise ValueError(f"indices should be different in all rounds, got {twice} twice")
