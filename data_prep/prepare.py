"""Prepare one data set: find or fetch the raw file, preprocess it, and store the arrays."""

from __future__ import annotations

import platform
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from data_prep.account import account, refuse_unclear
from data_prep.columns import resolve_columns
from data_prep.dataset import DataSet, OwnFile
from data_prep.digits import rounded_numbers
from data_prep.errors import DataError
from data_prep.features import make_features, make_target
from data_prep.files import NoRoomError, aside_of, is_full, room_for, sync
from data_prep.hashing import sha256_of_files
from data_prep.lock import clear_up, locked
from data_prep.memory import peak_bytes, reset_peak
from data_prep.progress import ConsoleProgress, Progress
from data_prep.raw import raw_folder, use_raw
from data_prep.rawfile import record_hash
from data_prep.report import columns_text, warnings_text
from data_prep.rows import kept_rows
from data_prep.store import (
    PREPARATION_VERSION,
    Meta,
    PreparedData,
    load_prepared,
    n_test_of,
    prepared_folder,
    set_aside,
    version_of,
    write_arrays,
    write_meta,
)
from data_prep.tables import Table
from data_prep.transfer import Patience

PATIENCE = Patience()

_MOST_COLUMNS = 10_000  # maximum for a fetched table; the widest published one has 386


def prepare(
    dataset: DataSet,
    data: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> PreparedData:
    """Return the prepared set. Prepare it if it is missing or was made by other rules or from another description.

    The raw file is fetched unless it is in `<data>/raw/<name>/`. The arrays go to `<data>/prepared/<name>/`, a folder
    that is written as a whole or not at all. Processes that need the same set wait for the one that prepares it.

    overwrite: prepare again in any case, for example because a prepared set is damaged.
    progress: where to report; None: the console (standard error).
    patience: how long to wait for servers.

    Raises DataError, and leaves existing files untouched, if the set is damaged, cannot be fetched, or does not match
    its description.
    """
    progress = progress or ConsoleProgress()
    try:
        clear_up(data)
        prepared = None if overwrite else _current(dataset, data)
        if prepared is None:
            with locked(dataset.name, data, progress):
                # Another process may have prepared it while this one waited.
                prepared = None if overwrite else _current(dataset, data)
                if prepared is None:
                    _make(dataset, data, progress, patience)
                    prepared = load_prepared(data, dataset.name)
    except OSError as error:
        if is_full(error):
            raise NoRoomError(data, None) from error
        where = error.filename or prepared_folder(data, dataset.name)
        raise DataError(f"data set {dataset.name}: {where}: {error.strerror or error}") from error
    if text := mismatch(dataset, prepared.meta):
        progress.note(f"warning: data set {dataset.name}: {text}")
    return prepared


def mismatch(dataset: DataSet, meta: Meta) -> str | None:
    """Describe differences from the expected counts and hash; None if there are none or nothing is expected."""
    expected, found = vars(dataset.expected or meta.counts), vars(meta.counts)
    differs = [f"{key} {found[key]} (expected {expected[key]})" for key in expected if found[key] != expected[key]]
    if not differs and dataset.data_hash not in (None, meta.data_hash):
        differs = [f"hash of the arrays {meta.data_hash[:12]}… (expected {dataset.data_hash[:12]}…)"]
    return ", ".join(differs) or None


def is_current(dataset: DataSet, prepared: PreparedData) -> bool:
    """Return whether the set was prepared from this description and from the current content of a user's own file."""
    meta = prepared.meta
    if meta.recipe != dataset.recipe:
        return False
    if not isinstance(dataset.source, OwnFile):
        return True
    if not meta.columns:
        return False  # prepared by a version that did not centre large values before casting to float32
    path = Path(dataset.source.path)
    if meta.raw is None or not path.is_file():
        return True
    status, made = path.stat(), (prepared.folder / "meta.json").stat()
    same_time = status.st_mtime_ns == meta.raw.mtime_ns and status.st_mtime_ns < made.st_mtime_ns
    untouched = status.st_size == meta.raw.n_bytes and same_time
    return untouched or sha256_of_files(path) == meta.raw.sha256


def _current(dataset: DataSet, data: Path) -> PreparedData | None:
    """Return the existing set, or None if it is missing or out of date."""
    folder = prepared_folder(data, dataset.name)
    if not folder.is_dir() or version_of(folder) not in (None, PREPARATION_VERSION):
        return None
    prepared = load_prepared(data, dataset.name)
    return prepared if is_current(dataset, prepared) else None


def _make(dataset: DataSet, data: Path, progress: Progress, patience: Patience) -> None:
    """Prepare the set in a temporary folder and rename it. The caller holds the lock."""
    started = time.monotonic()
    reset_peak()
    folder = prepared_folder(data, dataset.name)
    aside = aside_of(folder)

    def use(table: Table, strict: bool) -> Meta:
        if strict and len(table.columns) > _MOST_COLUMNS:
            raise DataError(f"not the expected table: {len(table.columns):,} columns")
        meta = _written(dataset, table, aside, progress)
        if strict and (text := mismatch(dataset, meta)):
            raise DataError(f"not the expected table: {text}")
        return meta

    try:
        with room_for(None, folder.parent):
            aside.mkdir()
        raw, meta = use_raw(dataset, data, progress, patience, use)
        meta = replace(meta, raw=raw, peak_bytes=peak_bytes(), seconds=round(time.monotonic() - started, 2))
        write_meta(aside, meta)
        if raw is not None and not isinstance(dataset.source, OwnFile) and not mismatch(dataset, meta):
            record_hash(raw_folder(data, dataset.name) / raw.name, raw.sha256)
        with room_for(None, folder.parent):
            _swap_in(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress.note(f"{dataset.name}: {columns_text(meta.columns)}")
    for text in warnings_text(meta.columns):
        progress.note(f"warning: {dataset.name}: {text}")
    progress.note(f"{dataset.name}: {meta.n:,} rows, {meta.d} features in {folder}")


def _written(dataset: DataSet, table: Table, aside: Path, progress: Progress) -> Meta:
    """Write the arrays of a table to the folder `aside`. Return the content of meta.json."""
    columns = resolve_columns(dataset, table)
    rows = kept_rows(dataset.name, table, columns, progress)
    own = isinstance(dataset.source, OwnFile)
    try:
        rounded = rounded_numbers(table, columns, rows) if own else {}
        features = make_features(rows, columns, table.columns, centre=own)
        fates = account(table, columns, rows, features, rounded)
        if own:
            refuse_unclear(fates)
        target = make_target(rows, columns, dataset.log_target)
        data_hash = write_arrays(aside, features, target)
    except NoRoomError:
        raise
    except DataError as error:
        raise DataError(f"data set {dataset.name}: {error}") from error
    return Meta(
        preparation_version=PREPARATION_VERSION,
        name=dataset.name,
        recipe=dataset.recipe,
        raw=None,
        n_raw_rows=rows.n_raw,
        n=len(target.y),
        n_test=n_test_of(len(target.y)),
        d=len(features),
        feature_names=tuple(feature.name for feature in features),
        target_mean=target.mean,
        target_std=target.std,
        data_hash=data_hash,
        peak_bytes=0,
        seconds=0.0,
        prepared_at=datetime.now(UTC).isoformat(timespec="seconds"),
        software={"python": platform.python_version(), **{p: version(p) for p in ("numpy", "pandas")}},
        licence=dataset.licence,
        citation=dataset.citation,
        columns=fates,
    )


def _swap_in(aside: Path, folder: Path) -> None:
    """Put a finished folder in place; an existing set is only removed after that."""
    for path in aside.iterdir():
        sync(path)
    old = set_aside(folder)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
