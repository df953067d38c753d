"""What lies on disk: arrays that are shared and not changed, damage that is named, sets that are prepared again."""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from data_helpers import Notes, Silent

from data_prep import DataError, DataSet, Friedman, load_prepared, prepare
from data_prep.dataset import Expected
from data_prep.hashing import sha256_of_files
from data_prep.store import set_aside

SMALL = DataSet(name="small", target="Y", source=Friedman(n_rows=200, seed=1))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    prepare(SMALL, tmp_path, progress=Silent())
    return tmp_path


def test_arrays_are_mapped_and_cannot_be_written(data: Path) -> None:
    prepared = load_prepared(data, "small")
    assert isinstance(prepared.X, np.memmap)
    assert (prepared.X.dtype, prepared.y.dtype) == (np.float32, np.float32)
    assert (prepared.X.shape, prepared.y.shape) == ((200, 10), (200,))
    with pytest.raises(ValueError, match="read-only"):
        prepared.X[0, 0] = 1


def test_meta_says_where_it_comes_from(data: Path) -> None:
    meta = load_prepared(data, "small").meta
    folder = data / "prepared/small"
    assert meta.data_hash == sha256_of_files(folder / "X.npy", folder / "y.npy")
    assert meta.recipe["source"] == {"kind": "Friedman", "n_rows": 200, "seed": 1}
    assert meta.peak_bytes > 10 << 20
    assert meta.feature_names == tuple(f"X{i}" for i in range(1, 11))
    assert (meta.n, meta.n_test, meta.d) == (200, 40, 10)


def test_prepared_sets_are_not_prepared_again(data: Path) -> None:
    before = (data / "prepared/small/X.npy").stat().st_mtime_ns
    prepare(SMALL, data, progress=Silent())
    prepare(replace(SMALL, licence="changed", expected=None), data, progress=Silent())
    assert (data / "prepared/small/X.npy").stat().st_mtime_ns == before


def test_another_description_is_prepared_anew(data: Path) -> None:
    old = load_prepared(data, "small")
    before = np.array(old.X)
    new = prepare(replace(SMALL, source=Friedman(n_rows=300, seed=2)), data, progress=Silent())
    assert len(new.y) == 300
    np.testing.assert_array_equal(old.X, before)  # who has the old arrays open keeps them
    assert not (new.X[:200] == before).all()


def test_an_older_version_of_the_rules_is_prepared_anew(data: Path) -> None:
    path = data / "prepared/small/meta.json"
    path.write_text(json.dumps({"preparation_version": 0, "of": "another age"}))
    with pytest.raises(DataError, match="version 0 of the rules"):
        load_prepared(data, "small")
    assert prepare(SMALL, data, progress=Silent()).meta.n == 200


def test_a_set_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="python -m data_prep dataset=small"):
        load_prepared(tmp_path, "small")


@pytest.mark.parametrize(
    ("file_name", "damage"),
    [
        ("X.npy", lambda content: content[:-100]),
        ("X.npy", lambda content: content + b"more"),
        ("X.npy", lambda content: b""),
        ("y.npy", lambda content: content[:50]),
        ("y.npy", lambda content: b"no array at all"),
        ("meta.json", lambda content: content[:200]),
        ("meta.json", lambda content: content.replace(b'"d"', b'"D"')),
        ("meta.json", lambda content: content.replace(b'"d": 10', b'"d": 11')),
    ],
)
def test_damage_is_named_and_nothing_overwritten(file_name: str, damage: object, data: Path) -> None:
    path = data / "prepared/small" / file_name
    damaged = damage(path.read_bytes())  # type: ignore[operator]
    path.write_bytes(damaged)
    named = "X.npy" if b'"d": 11' in damaged else file_name
    for attempt in (lambda: load_prepared(data, "small"), lambda: prepare(SMALL, data, progress=Silent())):
        with pytest.raises(DataError, match="overwrite=true") as caught:
            attempt()
        assert named in str(caught.value)
        assert path.read_bytes() == damaged
    assert prepare(SMALL, data, overwrite=True, progress=Silent()).meta.n == 200


def test_a_missing_array_is_named(data: Path) -> None:
    (data / "prepared/small/y.npy").unlink()
    with pytest.raises(DataError, match=r"y\.npy"):
        load_prepared(data, "small")


def test_a_mismatch_with_the_expected_counts_is_said_each_time(tmp_path: Path) -> None:
    dataset = replace(SMALL, source=Friedman(n_rows=2000, seed=1), expected=Expected(pool=321, test=400, features=9))
    for _ in range(2):
        notes = Notes()
        prepare(dataset, tmp_path, progress=notes)
        assert "warning: data set small: pool 320 (expected 321), features 10 (expected 9)" in notes.texts


def test_a_half_finished_swap_is_mended(data: Path) -> None:
    """Killed between the two renames: the old set comes back."""
    folder = data / "prepared/small"
    folder.rename(data / "prepared/.small.old.tmp")
    shutil.copytree(data / "prepared/.small.old.tmp", data / f"prepared/.small.{platform.node()}-12345.tmp")
    before = sha256_of_files(data / "prepared/.small.old.tmp/meta.json")
    prepare(SMALL, data, progress=Silent())
    assert sha256_of_files(folder / "meta.json") == before
    assert sorted(p.name for p in folder.parent.iterdir() if p.suffix != ".lock") == ["small"]


def test_folder_written_aside_is_told_apart_on_other_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Process numbers alone are not unique on a file system that several machines share."""
    written: list[str] = []

    def give_up(folder: Path, *arguments: object) -> str:
        written.append(folder.name)
        raise DataError("enough seen")

    monkeypatch.setattr(sys.modules[prepare.__module__], "write_arrays", give_up)
    for machine in ("one", "two"):
        monkeypatch.setattr(platform, "node", lambda machine=machine: machine)
        with pytest.raises(DataError, match="enough seen"):
            prepare(SMALL, tmp_path, progress=Silent())
    assert len(set(written)) == 2


def test_failure_keeps_the_set_that_is_there(data: Path) -> None:
    before = sha256_of_files(data / "prepared/small/X.npy")
    with pytest.raises(DataError, match="is not a column"):
        prepare(replace(SMALL, target=("Z",)), data, progress=Silent())
    assert sha256_of_files(data / "prepared/small/X.npy") == before


def test_waits_while_a_new_set_takes_the_place(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = data / "prepared/small"
    aside = folder.rename(set_aside(folder))
    monkeypatch.setattr("data_prep.store.time.sleep", lambda seconds: aside.rename(folder))
    assert len(load_prepared(data, "small").y) == 200


def test_a_swap_that_was_killed_is_not_waited_for_without_end(data: Path) -> None:
    folder = data / "prepared/small"
    aside = folder.rename(set_aside(folder))
    with pytest.raises(DataError, match=r"not prepared .* run `python -m data_prep"):
        load_prepared(data, "small")
    assert aside.is_dir()


def test_sets_opened_while_they_are_replaced_are_of_one_piece(data: Path) -> None:
    """Arrays and meta.json belong together, and there is always a set."""
    sets = (SMALL, replace(SMALL, source=Friedman(n_rows=300, seed=2)))
    hashes = {len(found.y): found.data_hash for found in (prepare(s, data, progress=Silent()) for s in sets)}

    enough = Event()

    def keep_replacing() -> None:
        while not enough.is_set():
            for dataset in sets:
                prepare(dataset, data, progress=Silent())

    replacing = Thread(target=keep_replacing)
    replacing.start()
    try:
        n, deadline = Counter[int](), time.monotonic() + 60
        while min(n[200], n[300]) < 20 and time.monotonic() < deadline:
            found = load_prepared(data, "small")
            assert hashes[len(found.X)] == hashes[len(found.y)] == found.data_hash
            n[len(found.y)] += 1
    finally:
        enough.set()
        replacing.join()
    assert min(n[200], n[300]) > 0
