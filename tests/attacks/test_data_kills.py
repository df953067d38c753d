"""SIGKILL at every file operation of a preparation: the next one succeeds, with the same arrays, and clears up."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from data_attacks import QUICK, SMALL, context, csv, leftovers, prepare_until, same, table_set, zipped
from data_helpers import Silent
from local_server import LocalServer, ok

from data_prep import DataSet, prepare
from data_prep.store import load_prepared

pytestmark = pytest.mark.attacks


def generated(server: LocalServer) -> DataSet:
    return SMALL


def downloaded(server: LocalServer) -> DataSet:
    return table_set(server.add("/table.zip", ok(zipped(csv()))))


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("overwrite", [False, True], ids=["fresh", "overwrite"])
@pytest.mark.parametrize("make", [generated, downloaded])
def test_killed_at_every_file_operation(
    make: Callable[[LocalServer], DataSet], overwrite: bool, part: int, tmp_path: Path
) -> None:
    """Every fourth operation, beginning with the one of number `part`."""
    processes = context()
    counts = processes.SimpleQueue()
    with LocalServer() as server:
        dataset = make(server)
        unbroken = prepare(dataset, tmp_path / "unbroken", progress=Silent(), patience=QUICK)

        def attempt(n: int) -> tuple[Path, int | None]:
            data = tmp_path / str(n)
            if overwrite:
                shutil.copytree(tmp_path / "unbroken", data)
            child = processes.Process(target=prepare_until, args=(dataset, data, overwrite, n, counts))
            child.start()
            child.join()
            return data, child.exitcode

        assert attempt(0)[1] == 0
        n_operations = counts.get()
        assert n_operations > 20
        for n in range(1 + part, n_operations + 1, 4):
            data, exit_code = attempt(n)
            assert exit_code == -signal.SIGKILL
            again = prepare(dataset, data, progress=Silent(), patience=QUICK)
            assert same(again, unbroken), n
            assert leftovers(data) == [], n
            assert same(load_prepared(data, dataset.name), unbroken), n
    print(f"{len(range(1 + part, n_operations + 1, 4))} kills survived, {n_operations} operations in all")
