"""Flipped bits and odd values in prepared sets, raw tables and descriptions: read as they were, or refused by name."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_attacks import QUICK, SMALL, csv, leftovers, same, zipped
from data_helpers import Silent
from filelock import FileLock
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from openml_files import as_arff, as_parquet, table
from published import sarcos

from data_prep import DataError, DataSet, Download, OpenML, PreparedData, load_prepared, prepare
from data_prep.lock import locked
from data_prep.store import _hash_of, set_aside

pytestmark = pytest.mark.attacks


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepare(SMALL, tmp_path_factory.mktemp("good"), progress=Silent())


def outcome(attempt: Callable[[], PreparedData]) -> PreparedData | str:
    """What an attempt gives, or the message of its DataError; no other error is expected."""
    try:
        return attempt()
    except DataError as error:
        return str(error)


def copied(good: PreparedData, data: Path) -> Path:
    shutil.copytree(good.folder, data / "prepared/small")
    return data / "prepared/small"


def flip(path: Path, bit: int) -> None:
    """Flip one bit, as a disk does: the time stamps of the file stay."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("file_name", ["X.npy", "y.npy"])
@pytest.mark.parametrize("part", range(40))
def test_a_flipped_bit(file_name: str, part: int, good: PreparedData, tmp_path: Path) -> None:
    """In the header, at both ends and between; in a process that has verified the set, and in one that has not."""
    folder = copied(good, tmp_path)
    n_bits = 8 * (folder / file_name).stat().st_size
    bit = int(np.random.default_rng(part).integers(n_bits)) if part > 20 else (part * 7 if part else n_bits - 1)
    assert same(load_prepared(tmp_path, "small"), good)
    flip(folder / file_name, bit)
    for is_new_process in (False, True):
        if is_new_process:
            _hash_of.cache_clear()
        for attempt in (lambda: load_prepared(tmp_path, "small"), lambda: prepare(SMALL, tmp_path, progress=Silent())):
            with pytest.raises(DataError, match=r"(have changed since|damaged).*overwrite=true"):
                attempt()
    assert same(prepare(SMALL, tmp_path, overwrite=True, progress=Silent()), good)


def test_a_bit_that_flips_without_a_trace_is_noticed_by_the_next_process(good: PreparedData, tmp_path: Path) -> None:
    """On a disk neither size nor time stamps tell; a process that has read the set before keeps to that."""
    folder = copied(good, tmp_path)
    load_prepared(tmp_path, "small")
    n_hashed = _hash_of.cache_info().misses
    load_prepared(tmp_path, "small")
    prepare(SMALL, tmp_path, progress=Silent())
    assert _hash_of.cache_info().misses == n_hashed  # once for each process
    flip(folder / "X.npy", 9000)
    with pytest.raises(DataError, match="have changed since"):
        load_prepared(tmp_path, "small")


@pytest.mark.parametrize("seed", range(60))
def test_a_flipped_bit_in_meta(seed: int, good: PreparedData, tmp_path: Path) -> None:
    """What decides on rows is checked against the arrays; texts may change, never the number of test rows."""
    folder = copied(good, tmp_path)
    flip(folder / "meta.json", int(np.random.default_rng(seed).integers(8 * (folder / "meta.json").stat().st_size)))
    loaded = outcome(lambda: load_prepared(tmp_path, "small"))
    if isinstance(loaded, str):
        assert "small" in loaded
    else:
        assert (loaded.n_test, loaded.data_hash) == (good.n_test, good.data_hash)


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e30,
    "",
    "many",
    "\ud800",
    [],
    {},
    [1],
    [None],
    {"a": 1},
    float("inf"),
    "1e999",
]


@pytest.mark.parametrize(
    "key",
    [
        *json.loads('["n","n_test","d","n_raw_rows","raw","recipe","columns","feature_names"]'),
        "name",
        "data_hash",
        "preparation_version",
        "target_mean",
        "seconds",
        "software",
        "licence",
        "unknown",
    ],
)
def test_odd_values_in_meta(key: str, good: PreparedData, tmp_path: Path) -> None:
    folder = copied(good, tmp_path)
    meta = json.loads((folder / "meta.json").read_text())
    for value in ODD:
        (folder / "meta.json").write_text(json.dumps({**meta, key: value}))
        for attempt in (lambda: load_prepared(tmp_path, "small"), lambda: prepare(SMALL, tmp_path, progress=Silent())):
            loaded = outcome(attempt)
            if isinstance(loaded, str):
                assert str(tmp_path) in loaded
            else:
                assert same(loaded, good)
                assert loaded.n_test == good.n_test


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"x"',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"\xff\xfe",
        b"NaN",
        b'{"preparation_version": 1}',
    ],
)
def test_files_that_are_no_meta(content: bytes, good: PreparedData, tmp_path: Path) -> None:
    (copied(good, tmp_path) / "meta.json").write_bytes(content)
    for attempt in (lambda: load_prepared(tmp_path, "small"), lambda: prepare(SMALL, tmp_path, progress=Silent())):
        with pytest.raises(DataError, match=r"meta\.json: damaged .*overwrite=true"):
            attempt()


def npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, X=np.zeros(3))


def pickled(path: Path) -> None:
    np.save(path.with_suffix(""), np.array([{}], dtype=object), allow_pickle=True)


def headed(header: bytes) -> Any:
    return lambda path: path.write_bytes(
        b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(9000)
    )


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "write",
    [
        npz,
        pickled,
        a_folder,
        headed(b"{" * 5000),
        headed(b"(" * 60_000),
        headed(b"\n"),
        headed(b"{'descr': 1}"),
        headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 10)}"),
        headed(b"[" * 9000 + b"]" * 9000),
        headed(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 10)}"),
        headed(b"\xff" * 100),
        headed(b"{'descr': '|O', 'fortran_order': False, 'shape': (200, 10)}"),
        headed(b"__import__('os').abort()"),
        headed(b"{'descr': '<f4', 'fortran_order': True, 'shape': (200, 10)}"),
    ],
)
def test_files_that_are_no_array(write: Any, good: PreparedData, tmp_path: Path) -> None:
    path = copied(good, tmp_path) / "X.npy"
    write(path)
    with pytest.raises(DataError, match=r"(X\.npy: damaged|have changed since).*overwrite=true"):
        load_prepared(tmp_path, "small")


FRAME = table("fried")
RAW = {
    "table.csv": csv(300),
    "table.zip": zipped(csv(300)),
    "table.mat": sarcos()[0],
    "table.arff": as_arff(FRAME),
    "table.pq": as_parquet(FRAME),
}


def raw_set(name: str) -> DataSet:
    if name.endswith((".arff", ".pq")):
        return DataSet(name="table", target="Y", source=OpenML(1, servers=()))
    if name.endswith(".mat"):
        return DataSet(name="table", target=21, source=Download(("http://127.0.0.1:1/table.mat",), "sarcos_inv"))
    return DataSet(name="table", target=3, header=False, source=Download((f"http://127.0.0.1:1/{name}",), "table.csv"))


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize("seed", range(30))
def test_damaged_raw_files(name: str, seed: int, tmp_path: Path) -> None:
    """Cut, doubled, with bytes changed or put in, a letter of latin-1 among them: prepared, or refused by name."""
    r = np.random.default_rng(seed)
    content = bytearray(RAW[name])
    at = int(r.integers(len(content)))
    match seed % 5:
        case 0:
            del content[at:]
        case 1:
            content[at : at + 1] = b"\xe9"
        case 2:
            for place in r.integers(len(content), size=20):
                content[place] ^= int(r.integers(1, 256))
        case 3:
            content[at:at] = r.bytes(200)
        case 4:
            content[at : at + 40] = content[:at]
    folder = tmp_path / "raw/table"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    prepared = outcome(lambda: prepare(raw_set(name), tmp_path, progress=Silent(), patience=QUICK))
    assert leftovers(tmp_path) == []
    if isinstance(prepared, str):
        assert name in prepared
        assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_bytes() == content


@pytest.mark.parametrize("place", ["name", "value", "comment", "category"])
def test_a_letter_of_latin_1_in_arff(place: str, tmp_path: Path) -> None:
    text = {
        "name": b"@RELATION x\n@ATTRIBUTE K\xf6ln REAL\n@ATTRIBUTE Y REAL\n@DATA\n1,2\n3,4\n",
        "value": b"@RELATION x\n@ATTRIBUTE a STRING\n@ATTRIBUTE Y REAL\n@DATA\nK\xf6ln,2\nUlm,4\n",
        "comment": b"% K\xf6ln\n@RELATION x\n@ATTRIBUTE a REAL\n@ATTRIBUTE Y REAL\n@DATA\n1,2\n3,4\n",
        "category": b"@RELATION x\n@ATTRIBUTE a {K\xf6ln,Ulm}\n@ATTRIBUTE Y REAL\n@DATA\nUlm,2\nUlm,4\n",
    }[place]
    later = text + b"Ulm,7\n" * 50_000 + b"K\xf6ln,1\n"  # beyond what is read at first
    folder = tmp_path / "raw/table"
    folder.mkdir(parents=True)
    for content in (text, later):
        (folder / "table.arff").write_bytes(content)
        with pytest.raises(DataError, match=r"table\.arff: .*not in UTF-8 .*; convert it"):
            prepare(raw_set("table.arff"), tmp_path, progress=Silent())


DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "generated": {"_target_": "data_prep.Friedman", "n_rows": 200, "seed": 0},
    "download": {"_target_": "data_prep.Download", "addresses": ["http://127.0.0.1:1/a.csv"], "member": "a.csv"},
    "openml": {"_target_": "data_prep.OpenML", "id": 564, "servers": ["http://127.0.0.1:1"]},
}
SET = {"_target_": "data_prep.DataSet", "name": "odd", "target": "Y"}
OF_SETS = (
    "name target source path drop log_target categorical numeric header separator expected data_hash "
    "published_name licence citation"
)
OF_SOURCES = {
    "generated": "n_rows seed",
    "download": "addresses member content_hash max_bytes",
    "openml": "id servers mirrors bundled max_bytes",
}


@pytest.mark.parametrize(
    ("kind", "key"),
    [("generated", key) for key in OF_SETS.split()]
    + [(kind, f"source.{key}") for kind, keys in OF_SOURCES.items() for key in keys.split()]
    + [("generated", f"expected.{key}") for key in ("pool", "test", "features", "unknown")],
)
def test_odd_values_in_descriptions(kind: str, key: str, tmp_path: Path) -> None:
    """A description makes a set that can be prepared, or one error that names the key, or a value that is missing."""
    for value in [*ODD, -5, 10**30, "../x", [["a"]], "sha256:", float("nan")]:
        plain: dict[str, Any] = {**SET, "source": dict(DESCRIPTIONS[kind])}
        owner, _, last = key.rpartition(".")
        if owner == "expected":
            plain["expected"] = {"pool": 1, "test": 1, "features": 1}
        (plain[owner] if owner else plain)[last] = value
        try:
            dataset = instantiate(plain)
        except InstantiationException as error:
            assert isinstance(error.__cause__, DataError) or "unexpected keyword" in str(error.__cause__)  # noqa: PT017
            assert last in str(error.__cause__)  # noqa: PT017
            continue
        prepared = outcome(partial(prepare, dataset, tmp_path, progress=Silent(), patience=QUICK))
        assert not isinstance(prepared, str) or dataset.name in prepared


def test_a_process_that_dies_in_the_midst_of_a_swap_while_another_waits(good: PreparedData, tmp_path: Path) -> None:
    """Who gets the lock then puts the old set back and removes the new one."""
    folder = copied(good, tmp_path)
    folder.rename(set_aside(folder))
    folder.with_name(f".small.{platform.node()}-4711.tmp").mkdir()
    with locked("small", tmp_path, Silent()):
        assert leftovers(tmp_path) == []
        assert same(load_prepared(tmp_path, "small"), good)


@pytest.mark.parametrize("where", ["prepared", "raw"])
@pytest.mark.parametrize(
    ("writer", "age", "stays"),
    [("here", 0, False), ("elsewhere", 0, True), ("elsewhere", 100_000, False), ("lock held", 0, True)],
)
def test_leftovers_of_any_set_go_with_the_next_run(
    where: str, writer: str, age: int, stays: bool, good: PreparedData, tmp_path: Path
) -> None:
    """But not those that a process still writes: one that holds the lock, or of a machine that may not see it."""
    copied(good, tmp_path)
    machine = "another" if writer == "elsewhere" else platform.node()
    folder = tmp_path / ("prepared" if where == "prepared" else "raw/other")
    left = folder / f".{'other' if where == 'prepared' else 'fetch'}.{machine}-4711.tmp"
    left.mkdir(parents=True)
    (left / "X.npy").write_bytes(b"half")
    for path in (left / "X.npy", left):
        os.utime(path, (time.time() - age,) * 2)
    lock = FileLock(tmp_path / "prepared/.other.lock")
    if writer == "lock held":
        lock.acquire()
    prepare(SMALL, tmp_path, progress=Silent())
    lock.release()
    assert left.exists() == stays
