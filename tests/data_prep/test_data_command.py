"""python -m data_prep, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import copy_tree
from warm_python import warm_python

from data_prep import load_prepared
from data_prep.__main__ import main
from data_prep.catalog import load_dataset, names
from data_prep.hashing import sha256_of_files
from data_prep.provenance import verdict
from results.published import PUBLISHED_DATASETS

ROOT = Path(__file__).resolve().parents[2]


def test_as_a_program(tmp_path: Path) -> None:
    """From $BMDAL_DATA, in a process of its own."""
    environment = {**os.environ, "BMDAL_DATA": str(tmp_path)}
    command = [warm_python(), "-W", "error", "-m", "data_prep", "dataset=friedman"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "prepared" in done.stdout) == (0, True)
    assert f"friedman: 40,768 rows, 10 features in {tmp_path / 'prepared/friedman'}" in done.stderr


def test_real_sets(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts as published, for the sets whose raw files are at hand."""
    copy_tree(shared / "data/raw", tmp_path / "raw")
    monkeypatch.setenv("OPENML_CACHE_DIR", str(shared / "data/openml_cache"))
    assert main(["dataset=sgemm,fried,diamonds", f"paths.data={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, *numbers in (
        ("sgemm", "241600", "192000", "48320", "14"),
        ("fried", "40768", "31335", "8153", "10"),
        ("diamonds", "53940", "41872", "10788", "29"),
    ):
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.split()[1:6] == ["prepared", *numbers]


def test_status_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"paths.data={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("friedman", *PUBLISHED_DATASETS))
    assert "friedman: not prepared; generated, needs no file" in out
    assert f"0 of {len(names())} data sets are prepared." in out
    assert "sgemm: not prepared; no raw file yet" in out


@pytest.fixture
def data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["dataset=friedman", f"paths.data={tmp_path}"]) == 0
    capsys.readouterr()
    return tmp_path


def test_verify(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["dataset=friedman", "verify=true", f"paths.data={data}"]
    assert main(arguments) == 0
    assert "friedman: verified" in capsys.readouterr().out
    path = data / "prepared/friedman/y.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # one bit; size and header stay as they are
    path.write_bytes(content)
    assert main(arguments) == 1
    assert "meta.json says" in capsys.readouterr().out
    assert main(["dataset=friedman", "overwrite=true", f"paths.data={data}"]) == 0
    assert main(arguments) == 0


def test_the_page_of_sources_and_hashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says of each set whether it is the known one, and nothing of this machine."""
    folder = tmp_path / "raw/road"
    folder.mkdir(parents=True)
    np.savetxt(folder / "3D_spatial_network.txt", np.random.default_rng(0).random((50, 4)), delimiter=",")
    assert main(["dataset=friedman,diamonds,road", "report=true", f"paths.data={tmp_path}"]) == 0
    assert main(["report=true", f"paths.data={tmp_path}"]) == 0
    for page in capsys.readouterr().out.split("Data sets on ")[1:]:
        assert "friedman: matches\n  source    generated, 40,768 rows, seed 0\n" in page
        assert f"  hash      {load_dataset('friedman').data_hash}\n" in page
        assert "diamonds: matches\n  source    OpenML 42225\n" in page
        assert "  raw hash  b839f0c3d96e97ca530285c89a715d73e48cdc7a96bbfcfe871ddbe1a41f1c9b\n" in page
        assert "road: does not match: pool 0 (expected 198720), test 10 (expected 234874)" in page
        assert str(tmp_path) not in page
    assert f"\nsgemm: not prepared ({load_dataset('sgemm').source.addresses[0]})\n" in page
    flipped = tmp_path / "prepared/diamonds/y.npy"
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"?")
    assert main(["dataset=diamonds", "verify=true", "report=true", f"paths.data={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "diamonds: does not match: <data>/prepared/diamonds: X.npy and y.npy have changed" in out
    assert str(tmp_path) not in out


@pytest.mark.parametrize("data_hash", [None, "0" * 64])
def test_what_a_known_hash_makes_of_the_verdict(data_hash: str | None, data: Path) -> None:
    dataset = replace(load_dataset("friedman"), data_hash=data_hash)
    meta = load_prepared(data, "friedman").meta
    assert verdict(dataset, meta).startswith(
        "unknown" if data_hash is None else "does not match: hash of the arrays 93c7"
    )


def test_verify_looks_at_raw_files_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "raw/road"
    folder.mkdir(parents=True)
    path = folder / "3D_spatial_network.txt"
    np.savetxt(path, np.random.default_rng(0).random((50, 4)), delimiter=",")
    assert main(["dataset=road", f"paths.data={tmp_path}"]) == 1  # 50 rows are not the published count
    assert "pool 0 (expected 198720)" in capsys.readouterr().out
    assert [p.name for p in folder.iterdir()] == [path.name]  # so it is not the content that has to stay
    path.with_name(f"{path.name}.sha256").write_text(f"{sha256_of_files(path)}  {path.name}\n")
    with path.open("a") as file:
        file.write("1,2,3,4\n")
    assert main(["dataset=road", "verify=true", f"paths.data={tmp_path}"]) == 1
    assert "3D_spatial_network.txt: its sha256 is" in capsys.readouterr().out


def test_a_mismatch_marks_the_set(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data / "prepared/friedman/meta.json"
    meta = json.loads(path.read_text())
    shape = (2000, 10)
    np.save(data / "prepared/friedman/X.npy", np.zeros(shape, np.float32))
    np.save(data / "prepared/friedman/y.npy", np.zeros(2000, np.float32))
    path.write_text(json.dumps({**meta, "n": 2000, "n_test": 400}))
    assert main([f"paths.data={data}"]) == 1
    out = capsys.readouterr().out
    assert "320 (expected 31335)" in out
    assert "friedman: pool 320 (expected 31335), test 400 (expected 8153)" in out


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["dataset=sgem"], ["unknown data set 'sgem'", "Did you mean 'sgemm'?", "wec_sydney, all"]),
        (["dataset=fried,nothing"], ["unknown data set 'nothing'", "Valid: ct_slices"]),
        (["datset=fried"], ["unknown option 'datset'. Did you mean 'dataset'?", "paths.data"]),
        (["fried"], ["'fried' is not of the form key=value"]),
        (["verify=perhaps"], ["verify must be true or false, got 'perhaps'"]),
        (["dataset=[a"], ["cannot read 'dataset=[a'"]),
        (["overwrite=true"], ["it needs dataset=<names> or dataset=all"]),
        (["overwrite=true", "verify=true", "dataset=all"], ["no verify=true"]),
    ],
)
def test_bad_input(
    arguments: list[str], messages: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, f"paths.data={tmp_path}"]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert all(message in captured.err for message in messages)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    out = capsys.readouterr().out
    for word in ("dataset=all", "verify=true", "overwrite", "paths.data", "OPENML_CACHE_DIR", "methane"):
        assert word in out
    for name in ("bmdal", "benchmark", "results", "plots"):
        assert f"python -m {name}" in out


def test_one_failure_does_not_stop_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged raw file fails one set, with the reason; the other is prepared; the status says 2."""
    (tmp_path / "raw/sgemm").mkdir(parents=True)
    (tmp_path / "raw/sgemm/sgemm_gpu_kernel_performance.zip").write_bytes(b"PK")
    assert main(["dataset=[sgemm,friedman]", f"paths.data={tmp_path}"]) == 2
    captured = capsys.readouterr()
    assert "sgemm_gpu_kernel_performance.zip: damaged zip archive" in captured.err
    assert "prepared   40768" in captured.out
