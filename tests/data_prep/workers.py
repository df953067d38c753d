"""What child processes of the tests run; a module of its own, so that they can import it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from data_prep import DataSet, Download, prepare
from data_prep.progress import Silent


def context() -> ForkServerContext:
    """Processes forked from a server that has imported everything, so that they start at once and share nothing."""
    made = multiprocessing.get_context("forkserver")
    made.set_forkserver_preload(["workers", "pandas", "pooch", "pyarrow.parquet"])
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


def prepare_once(address: str, data: Path, overwrite: bool) -> None:
    """Prepare, to be killed on the way."""
    prepare(table_set([address]), data, overwrite=overwrite, progress=Silent())
