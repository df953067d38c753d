"""SIGKILL at every file operation of a preparation: the next one succeeds, with the same arrays, and clears up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data_attacks import SMALL, csv, kill_everywhere, openml_set, table_set, zipped
from local_server import LocalServer, ok
from workers import context

from data_prep import DataSet

pytestmark = pytest.mark.attacks


def generated(server: LocalServer) -> DataSet:
    return SMALL


def downloaded(server: LocalServer) -> DataSet:
    return table_set(server.add("/table.zip", ok(zipped(csv()))))


def from_openml(server: LocalServer) -> DataSet:
    return openml_set(server, parquet=False)


@pytest.mark.parametrize(
    ("make", "overwrite"),
    [(generated, False), (generated, True), (downloaded, False), (downloaded, True), (from_openml, False)],
)
def test_killed_at_every_file_operation(
    make: Callable[[LocalServer], DataSet], overwrite: bool, tmp_path: Path
) -> None:
    processes = context()
    results = processes.SimpleQueue()
    with LocalServer() as server:
        arguments = (make(server), tmp_path, overwrite, results)
        attacker = processes.Process(target=kill_everywhere, args=arguments)
        attacker.start()
        attacker.join()
    assert attacker.exitcode == 0
    n_kills, wrong = results.get()
    print(f"{n_kills} kills")
    assert wrong == []
    assert n_kills > 40
