"""Prepare one data set: fetch or find the raw file, preprocess it, store the arrays."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout

from data_prep.account import account, refuse_unclear
from data_prep.columns import resolve_columns
from data_prep.dataset import DataSet, OwnFile
from data_prep.digits import rounded_numbers
from data_prep.errors import DataError
from data_prep.features import make_features, make_target
from data_prep.fetch import Patience
from data_prep.hashing import sha256_of_files
from data_prep.memory import peak_bytes, reset_peak
from data_prep.progress import ConsoleProgress, Progress
from data_prep.raw import open_raw, raw_folder
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
    write_arrays,
    write_meta,
)

PATIENCE = Patience()


def prepare(
    dataset: DataSet,
    data: Path,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
) -> PreparedData:
    """The prepared set; made first if it is missing, or was made by other rules or from another description.

    The raw file is looked for in `<data>/raw/<name>/` and fetched if it is not there; the arrays go to
    `<data>/prepared/<name>/`, a folder that appears whole or not at all. Processes that want the same set wait for
    the one that prepares it.

    overwrite: prepare again in any case, the way out when a prepared set is damaged.
    progress: where to report; None is the console (standard error).
    patience: how long to wait for servers.

    Raises DataError, and leaves what is there untouched, if the set is damaged, cannot be fetched, or does not hold
    what the description says.
    """
    progress = progress or ConsoleProgress()
    try:
        prepared = None if overwrite else _current(dataset, data)
        if prepared is None:
            with _lock(dataset.name, data, progress):
                # Another process may have done it while this one waited.
                prepared = None if overwrite else _current(dataset, data)
                if prepared is None:
                    _make(dataset, data, progress, patience)
                    prepared = load_prepared(data, dataset.name)
    except OSError as error:
        where = error.filename or prepared_folder(data, dataset.name)
        raise DataError(f"data set {dataset.name}: {where}: {error.strerror or error}") from error
    if text := mismatch(dataset, prepared.meta):
        progress.note(f"warning: data set {dataset.name}: {text}")
    return prepared


def mismatch(dataset: DataSet, meta: Meta) -> str | None:
    """The counts that differ from the expected ones, both numbers each; None if all agree or none is expected."""
    if dataset.expected is None or dataset.expected == meta.counts:
        return None
    expected, found = vars(dataset.expected), vars(meta.counts)
    return ", ".join(
        f"{key} {found[key]} (expected {expected[key]})" for key in expected if found[key] != expected[key]
    )


def is_current(dataset: DataSet, prepared: PreparedData) -> bool:
    """Whether the set was prepared from this description and, if it is from an own file, from its present content."""
    meta = prepared.meta
    if meta.recipe != dataset.recipe:
        return False
    if not isinstance(dataset.source, OwnFile):
        return True
    if not meta.columns:
        return False  # made when large values were cast to float32 as they were
    path = Path(dataset.source.path)
    if meta.raw is None or not path.is_file():
        return True
    status, made = path.stat(), (prepared.folder / "meta.json").stat()
    untouched = status.st_size == meta.raw.n_bytes and status.st_mtime_ns < made.st_mtime_ns
    return untouched or sha256_of_files(path) == meta.raw.sha256


def _current(dataset: DataSet, data: Path) -> PreparedData | None:
    """The set as it lies there, or None if it is missing or was made otherwise."""
    folder = prepared_folder(data, dataset.name)
    if not folder.is_dir() or _version(folder) not in (None, PREPARATION_VERSION):
        return None
    prepared = load_prepared(data, dataset.name)
    return prepared if is_current(dataset, prepared) else None


def _version(folder: Path) -> int | None:
    """The version of the rules that the set was made by; None if meta.json does not say."""
    try:
        return int(json.loads((folder / "meta.json").read_text("utf-8"))["preparation_version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _lock(name: str, data: Path, progress: Progress) -> Iterator[None]:
    """Hold the right to fetch and prepare a set; the system lets go of it when the holder dies."""
    folder = prepared_folder(data, name).parent
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f".{name}.lock")
    try:
        held = lock.acquire(timeout=1)
    except Timeout:
        progress.note(f"{name}: waiting for another process that prepares it (lock {lock.lock_file})")
        held = lock.acquire()
    with held:
        _clear_up(folder / name)
        yield


def _make(dataset: DataSet, data: Path, progress: Progress, patience: Patience) -> None:
    started = time.monotonic()
    reset_peak()
    folder = prepared_folder(data, dataset.name)
    table, raw = open_raw(dataset, data, progress, patience)
    columns = resolve_columns(dataset, table)
    rows = kept_rows(dataset.name, table, columns, progress)
    if raw is not None and not isinstance(dataset.source, OwnFile):
        record_hash(raw_folder(data, dataset.name) / raw.name, raw.sha256)
    aside = folder.with_name(f".{dataset.name}.{platform.node()}-{os.getpid()}.tmp")
    aside.mkdir()
    try:
        own = isinstance(dataset.source, OwnFile)
        try:
            rounded = rounded_numbers(table, columns, rows) if own else {}
            features = make_features(rows, columns, table.columns, centre=own)
            fates = account(table, columns, rows, features, rounded)
            if own:
                refuse_unclear(fates)
            target = make_target(rows, columns, dataset.log_target)
            data_hash = write_arrays(aside, features, target)
        except DataError as error:
            raise DataError(f"data set {dataset.name}: {error}") from error
        n = len(target.y)
        write_meta(
            aside,
            Meta(
                preparation_version=PREPARATION_VERSION,
                name=dataset.name,
                recipe=dataset.recipe,
                raw=raw,
                n_raw_rows=rows.n_raw,
                n=n,
                n_test=n_test_of(n),
                d=len(features),
                feature_names=tuple(feature.name for feature in features),
                target_mean=target.mean,
                target_std=target.std,
                data_hash=data_hash,
                peak_bytes=peak_bytes(),
                seconds=round(time.monotonic() - started, 2),
                prepared_at=datetime.now(UTC).isoformat(timespec="seconds"),
                software={"python": platform.python_version(), **{p: version(p) for p in ("numpy", "pandas")}},
                licence=dataset.licence,
                citation=dataset.citation,
                columns=fates,
            ),
        )
        _swap_in(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    progress.note(f"{dataset.name}: {columns_text(fates)}")
    for text in warnings_text(fates):
        progress.note(f"warning: {dataset.name}: {text}")
    progress.note(f"{dataset.name}: {n:,} rows, {len(features)} features in {folder}")


def _swap_in(aside: Path, folder: Path) -> None:
    """Put a finished folder in its place; a set that stood there goes only when the new one is complete."""
    for path in aside.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    old = set_aside(folder)
    if folder.exists():
        folder.rename(old)
    aside.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _clear_up(folder: Path) -> None:
    """Put right what killed processes left behind: a set half swapped comes back, half-written ones go."""
    if set_aside(folder).exists() and not folder.exists():
        set_aside(folder).rename(folder)
    for leftover in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(leftover)
