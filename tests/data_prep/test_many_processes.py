"""Processes that prepare the same set at once, and processes that are killed.

The repetitions are few by default; BMDAL_TEST_REPEATS=20 and BMDAL_TEST_KILLS=50 make them many.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from data_helpers import Silent
from local_server import LocalServer, ok
from workers import context, prepare_once, prepare_with_others, table_set

from data_prep import PreparedData, prepare

REPEATS = int(os.environ.get("BMDAL_TEST_REPEATS", "3"))
KILLS = int(os.environ.get("BMDAL_TEST_KILLS", "12"))
N_PROCESSES = 10


@pytest.fixture(scope="module")
def archive() -> bytes:
    r = np.random.default_rng(0)
    frame = pd.DataFrame(r.random((20_000, 12)).round(5), columns=[f"x{i}" for i in range(12)])
    frame["word"] = r.choice(["a", "b", "c"], len(frame))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", frame.assign(y=r.random(len(frame))).to_csv(index=False))
    return buffer.getvalue()


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_ten_processes_at_once(repeat: int, archive: bytes, server: LocalServer, tmp_path: Path) -> None:
    """One download, ten good loads."""
    address = server.add("/table.zip", ok(archive))
    processes = context()
    barrier, results = processes.Barrier(N_PROCESSES), processes.SimpleQueue()
    arguments = (address, tmp_path, barrier, results)
    workers = [processes.Process(target=prepare_with_others, args=arguments) for _ in range(N_PROCESSES)]
    for worker in workers:
        worker.start()
    outcomes = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    prepared = prepare(table_set([address]), tmp_path, progress=Silent())
    assert outcomes == [(prepared.data_hash, float(prepared.X.sum()), False)] * N_PROCESSES
    assert server.log == ["/table.zip"]
    assert [path.name for path in (tmp_path / "prepared").glob("*[!k]")] == ["table"]


@pytest.mark.attacks
def test_killed_at_random_moments(archive: bytes, server: LocalServer, tmp_path: Path) -> None:
    """SIGKILL while downloading, reading, writing or swapping; the next call succeeds and the arrays are byte-equal."""
    address = server.add("/table.zip", ok(archive))
    before = time.monotonic()
    unbroken = prepare(table_set([address]), tmp_path / "unbroken", progress=Silent())
    duration = time.monotonic() - before
    moments = random.Random(0)
    processes = context()
    n_killed = 0
    for kill in range(KILLS):
        data = tmp_path / "data"
        overwrite = kill % 2 == 1  # every other time over a set that is there already, to hit the swap
        if not overwrite:
            shutil.rmtree(data, ignore_errors=True)
        started = processes.Event()
        victim = processes.Process(target=prepare_once, args=(address, data, overwrite, started))
        victim.start()
        started.wait()
        victim.join(timeout=moments.uniform(0, 1.3 * duration))
        n_killed += victim.is_alive()
        victim.kill()
        victim.join()
        assert_equal(prepare(table_set([address]), data, progress=Silent()), unbroken)
    # What the dead have left lying goes with the next preparation.
    assert_equal(prepare(table_set([address]), data, overwrite=True, progress=Silent()), unbroken)
    assert {path.name for path in (data / "prepared").iterdir()} == {"table", ".table.lock"}
    assert {path.name for path in (data / "raw/table").iterdir()} == {"table.zip", "table.zip.sha256"}
    assert n_killed > 0


def assert_equal(found: PreparedData, unbroken: PreparedData) -> None:
    for file in ("X.npy", "y.npy"):
        assert (found.folder / file).read_bytes() == (unbroken.folder / file).read_bytes()
    assert found.data_hash == unbroken.data_hash
