"""Load all run records of a folder or an archive as one tidy table, with a cache that follows changes in the files."""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cli.files import written_aside
from cli.progress import with_progress
from results.archive import opened_archive
from results.errors import NoRecordsError, ResultsError
from results.record import RecordError, RunRecord, read_record

RUN_KEYS = ("experiment", "dataset", "task", "method", "split")
CACHE_NAME = ".records.parquet"
_RECORD_NAME = re.compile(r"split-\d+\.json")
_MANY = 500  # records; reading fewer takes less than a second, which needs no progress bar
_TEXT, _NUMBER, _WHOLE = pa.string(), pa.float64(), pa.int64()
_SCHEMA = pa.schema(
    [(key, _TEXT) for key in RUN_KEYS[:-1]]
    + [("split", _WHOLE), ("round", _WHOLE), ("n_train", _WHOLE)]
    + [(name, _NUMBER) for name in ("mae", "rmse", "q95", "q99", "maxe")]
    + [(name, _NUMBER) for name in ("train_seconds", "kernel_seconds", "selection_seconds")]
    + [("n_filled", _NUMBER), ("effective_dimension", _NUMBER)]
    + [(name, _TEXT) for name in ("data_hash", "code_version", "python", "torch", "numpy", "device", "host")]
    + [
        ("training", _TEXT),
        ("task_settings", _TEXT),
        ("method_settings", _TEXT),
        ("timed_alone", pa.bool_()),
        ("n_threads", _WHOLE),
        ("seed", _WHOLE),
        ("started", _TEXT),
        ("finished", _TEXT),
    ]
    + [("fingerprint", _TEXT)]
)


def load_records(
    runs: str | Path,
    *,
    skipped: list[RecordError] | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Load the run records in a folder, or in a zip archive of one.

    There is one row per (experiment, dataset, task, method, split, round).

    Further columns: `n_train`, the five metrics, seconds of training, kernel and selection, `n_filled`,
    `effective_dimension`, `training`, `task_settings` and `method_settings` (as text, the last without the name of the
    method, but with the hash of code of its own), and the provenance of the run. Values that a record does
    not contain are NaN. Names are categoricals. Only complete runs are included.

    The rows are cached in `<runs>/.records.parquet`, so only new and changed files are read. If the folder is
    read-only, or an archive, no cache is written.

    Raises ResultsError if the folder is missing or has no records, or if the archive is damaged, and a RecordError that
    names all damaged records; with a list `skipped`, their errors are appended to it instead. Raises ResultsError if a
    folder has two records of one run.
    """
    place = Path(runs)
    damaged: list[RecordError] = []
    table = (_from_archive if place.is_file() else _from_folder)(place, damaged, progress)
    if damaged and skipped is None:
        raise _joint_error(damaged)
    if skipped is not None:
        skipped.extend(damaged)
    if not table.num_rows:
        raise NoRecordsError(f"no complete run records under {place.resolve()}; `python -m benchmark` writes them")
    return _to_frame(table)


def damaged_records(runs: Path) -> list[RecordError]:
    """Return the errors of the complete records in a folder that cannot be read.

    Raises ResultsError if the folder has two records of one run.
    """
    damaged: list[RecordError] = []
    with contextlib.suppress(NoRecordsError):
        load_records(runs, skipped=damaged)
    return damaged


def _from_archive(path: Path, damaged: list[RecordError], progress: bool) -> pa.Table:
    with opened_archive(path) as files:
        records = {str(file): file for file in files if _RECORD_NAME.fullmatch(file.name)}
        table = _read_records(records, damaged, progress)
    _check_single(table, path)
    return table


def _from_folder(folder: Path, damaged: list[RecordError], progress: bool) -> pa.Table:
    files = dict(_find_records(folder))
    cache = folder / CACHE_NAME
    cached = _read_cache(cache)
    known = set(pc.unique(cached["fingerprint"]).to_pylist())
    kept = cached.filter(pc.is_in(cached["fingerprint"], pa.array(files, _TEXT))) if known else cached
    fresh = _read_records({m: p for m, p in files.items() if m not in known}, damaged, progress)
    table = pa.concat_tables([kept, fresh])
    if fresh.num_rows or kept.num_rows < cached.num_rows:
        _write_cache(table, cache)
    _check_single(table, folder)
    return table


def _find_records(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the fingerprint (path, modification time, size) and the path of each complete record."""
    if not folder.is_dir():
        raise NoRecordsError(
            f"no folder {folder.resolve()}; `python -m benchmark` writes run records, `paths.runs=...` "
            "(or $BMDAL_RUNS) says where they are"
        )
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if _RECORD_NAME.fullmatch(name):
                path = Path(parent, name)
                with contextlib.suppress(FileNotFoundError):  # running jobs move their files
                    status = path.stat()
                    yield f"{path.relative_to(folder)}|{status.st_mtime_ns}|{status.st_size}", path


def _read_records(files: Mapping[str, Path | zipfile.Path], damaged: list[RecordError], progress: bool) -> pa.Table:
    rows: dict[str, list[object]] = {name: [] for name in _SCHEMA.names}
    shown = progress and len(files) >= _MANY
    for mark, path in with_progress(files.items(), "reading new run records") if shown else files.items():
        try:
            _append_rows(rows, read_record(path, with_indices=False), mark)
        except RecordError as error:
            damaged.append(error)
    return pa.table(rows, schema=_SCHEMA)


def _append_rows(rows: dict[str, list[object]], record: RunRecord, mark: str) -> None:
    run = {**vars(record.provenance), "fingerprint": mark}
    run |= {key: getattr(record, key) for key in RUN_KEYS}
    config = record.config
    run["training"] = _text(config.get("training", {}), "_target_")
    run["task_settings"] = _text(config.get("task", {}))
    run["method_settings"] = _text(config.get("method", {}), "name")
    for name, column in rows.items():
        column.extend([run[name]] * len(record.rounds) if name in run else map(attrgetter(name), record.rounds))


def _text(settings: Mapping[str, object], left_out: str = "") -> str:
    return ", ".join(f"{key}={value}" for key, value in settings.items() if key != left_out)


def _check_single(table: pa.Table, folder: Path) -> None:
    """Raise ResultsError if two files are records of the same run, such as a folder and its copy."""
    firsts = table.filter(pc.equal(table["round"], 0)).select([*RUN_KEYS, "fingerprint"]).to_pandas()
    if (again := firsts.duplicated([*RUN_KEYS])).any():
        key = firsts.loc[again, [*RUN_KEYS]].iloc[0]
        same = (firsts[[*RUN_KEYS]] == key).all(axis=1)
        one, other, *_ = sorted(mark.split("|")[0] for mark in firsts.loc[same, "fingerprint"])
        raise ResultsError(f"{one} and {other} in {folder} are records of the same run: move one of them away")


def _joint_error(damaged: list[RecordError]) -> RecordError:
    if len(damaged) == 1:
        return damaged[0]
    shown = "\n".join(f"  {error}" for error in damaged[:10])
    more = f"\n  and {len(damaged) - 10} more" if len(damaged) > 10 else ""
    return RecordError(f"{len(damaged)} damaged run records:\n{shown}{more}")


def _read_cache(cache: Path) -> pa.Table:
    # If the cache is missing, damaged or has another schema, the records are simply read again.
    with contextlib.suppress(OSError, pa.ArrowInvalid):
        table = pq.read_table(cache)
        if table.schema.equals(_SCHEMA):
            return table
    return _SCHEMA.empty_table()


def _write_cache(table: pa.Table, cache: Path) -> None:
    with contextlib.suppress(OSError), written_aside(cache) as aside:
        pq.write_table(table, aside)


def _to_frame(table: pa.Table) -> pd.DataFrame:
    for place, name in enumerate(table.schema.names):
        if table.schema.field(name).type == _TEXT:
            table = table.set_column(place, name, table[name].combine_chunks().dictionary_encode())
    frame: pd.DataFrame = table.drop_columns("fingerprint").to_pandas()
    for name in RUN_KEYS[:-1]:
        categories = sorted(frame[name].cat.categories)
        frame[name] = frame[name].cat.reorder_categories(categories)
    return frame.sort_values([*RUN_KEYS, "round"], ignore_index=True)
