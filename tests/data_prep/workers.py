"""What child processes of the tests run; a module of its own, so that they can import it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path

from data_helpers import Silent
from filelock import FileLock

from data_prep import DataSet, Download, prepare, rows
from data_prep.memory import peak_bytes, reset_peak


def context() -> ForkServerContext:
    """Processes forked from a server that has imported the slow libraries; they start soon and share nothing."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["pandas", "requests", "pyarrow.parquet", "scipy.io"])
    return made


def table_set(addresses: Sequence[str]) -> DataSet:
    """A set of one CSV file `table.csv` in an archive."""
    return DataSet(name="table", target=("y",), source=Download(tuple(addresses), "table.csv"))


def prepare_with_others(address: str, data: Path, barrier: Barrier, results: SimpleQueue) -> None:
    """Prepare at the same moment as the other processes; gives hash, sum and writability of the arrays."""
    barrier.wait()
    try:
        prepared = prepare(table_set([address]), data, progress=Silent())
        results.put((prepared.data_hash, float(prepared.X.sum()), prepared.X.flags.writeable))
    except Exception as error:  # the parent shows it
        results.put(error)


def prepare_once(address: str, data: Path, overwrite: bool, started: Event) -> None:
    """Say that it begins, then prepare, to be killed on the way."""
    started.set()
    prepare(table_set([address]), data, overwrite=overwrite, progress=Silent())


def prepare_large(path: Path, data: Path, max_rows: int | None, results: SimpleQueue) -> None:
    """Prepare a parquet file; gives the memory before, the peak, and the number of raw rows."""
    rows.MAX_ROWS = max_rows or rows.MAX_ROWS
    reset_peak()
    before = peak_bytes()
    dataset = DataSet(name="large", target=("x0",), path=str(path))
    meta = prepare(dataset, data, progress=Silent()).meta
    results.put((before, meta.peak_bytes, meta.n_raw_rows))


def hold_lock(lock_file: Path, held: Event, release: Event) -> None:
    """Be the process that others wait for."""
    with FileLock(lock_file):
        held.set()
        release.wait()
