"""What the attacks on the data sets share: sets to be prepared, hostile answers, processes that end themselves."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "data_prep"))

from data_helpers import Silent
from local_server import Answer, LocalServer
from openml_files import as_arff, as_parquet, description, table

from data_prep import DataSet, Download, Expected, Friedman, OpenML, PreparedData, prepare
from data_prep.store import n_test_of
from data_prep.transfer import Patience

SMALL = DataSet(name="small", target="Y", source=Friedman(n_rows=200, seed=1))
N = 2000
EXPECTED = Expected(pool=N - n_test_of(N) - 1280, test=n_test_of(N), features=3)
QUICK = Patience(connect_seconds=1.0, read_seconds=0.4, bytes_per_second=1000.0, waits=(0.0,))

FILE_OPERATIONS = {"open", "write", "writelines", "flush", "fsync", "close", "truncate", "replace", "rename", "link"}
FILE_OPERATIONS |= {"unlink", "remove", "mkdir", "rmdir", "flock", "lockf", "sendfile", "copy_file_range", "fchmod"}


def csv(n: int = N, n_columns: int = 4) -> bytes:
    """A table of numbers without a header; the last column of four is the target."""
    values = np.random.default_rng(0).random((n, n_columns)).round(6)
    return pd.DataFrame(values).to_csv(index=False, header=False).encode()


def zipped(content: bytes, name: str = "table.csv") -> bytes:
    """An archive that holds a table."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def table_set(*addresses: str, max_bytes: int = 1 << 20) -> DataSet:
    """A set of 2,000 rows at these addresses, with the counts that it is expected to have."""
    source = Download(addresses, "table.csv", max_bytes=max_bytes)
    return DataSet(name="table", target=3, header=False, source=source, expected=EXPECTED)


def openml_set(server: LocalServer, *, parquet: bool) -> DataSet:
    """A set of OpenML at a local server; its 300 rows have a test set of 60 and ten features."""
    frame = table("fried")
    arff = as_arff(frame)
    arff_address = server.add("/fried.arff", _ok(arff))
    pq_address = server.add("/fried.pq", _ok(as_parquet(frame))) if parquet else None
    server.add("/xml/data/564", _ok(description(564, arff, arff_address, pq_address)))
    source = OpenML(564, servers=(f"{server.address}/xml",), max_bytes=1 << 20)
    return DataSet(name="fried", target="Y", source=source, expected=Expected(pool=0, test=60, features=10))


def leftovers(data: Path) -> list[str]:
    """Files in a data folder that no complete preparation leaves there."""
    return sorted(str(path.relative_to(data)) for path in data.rglob("*") if ".tmp" in path.name)


def same(one: PreparedData, other: PreparedData) -> bool:
    """Whether two prepared sets hold the same arrays and say so."""
    return one.data_hash == other.data_hash and all(
        (one.folder / name).read_bytes() == (other.folder / name).read_bytes() for name in ("X.npy", "y.npy")
    )


def kill_everywhere(dataset: DataSet, folder: Path, overwrite: bool, results: SimpleQueue) -> None:
    """Kill a preparation at each of its file operations, prepare again, and put their number and what went wrong.

    Runs in a process of its own, which has one thread and so can fork.
    """
    unbroken = prepare(dataset, folder / "unbroken", progress=Silent(), patience=QUICK)
    wrong: list[str] = []
    for n in itertools.count(1):
        data = folder / str(n)
        if overwrite:
            shutil.copytree(folder / "unbroken", data)
        pid = os.fork()
        if pid == 0:
            _prepare_until(dataset, data, overwrite, n)
        status = os.waitpid(pid, 0)[1]
        if os.WIFEXITED(status):
            results.put((n - 1, wrong if os.WEXITSTATUS(status) == 0 else [*wrong, "it failed without being killed"]))
            return
        again = prepare(dataset, data, progress=Silent(), patience=QUICK)
        if not same(again, unbroken):
            wrong.append(f"other arrays after kill {n}")
        if left := leftovers(data):
            wrong.append(f"after kill {n} there is {left}")
        shutil.rmtree(data)


def _prepare_until(dataset: DataSet, data: Path, overwrite: bool, n: int) -> None:
    """Prepare, and end this process by SIGKILL just before its n-th file operation."""
    done = 0

    def watch(frame: FrameType, event: str, called: Any) -> None:
        nonlocal done
        if event == "c_call" and called.__name__ in FILE_OPERATIONS:
            done += 1
            if done == n:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        prepare(dataset, data, overwrite=overwrite, progress=Silent(), patience=QUICK)
        os._exit(0)
    finally:
        os._exit(1)


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk in memory, of a size such as `size=300k`; skips the test where it cannot be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"cannot mount a disk in memory: {error}")
    if done.returncode:
        pytest.skip(f"cannot mount a disk in memory: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def raw_answer(*parts: bytes, then: bytes = b"", pause: float = 0.0) -> Answer:
    """These bytes and nothing of HTTP around them; `then` without end, with a pause before each; and the end."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        request.close_connection = True
        try:
            for part in parts:
                request.wfile.write(part)
            while then and not stopped.wait(pause):
                request.wfile.write(then)
        except OSError:
            pass  # the other side has had enough

    return answer


def silent_answer() -> Answer:
    """The connection stays open, and nothing comes."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        request.close_connection = True
        stopped.wait()

    return answer


def _ok(body: bytes) -> Answer:
    return raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body), body)
