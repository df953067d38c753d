"""Submissions to the leaderboard: the runs of one published method sent as if it were new, whole and attacked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from warm_python import warm_python

from results import load_records
from results.__main__ import main
from results.leaderboard import gather, leaderboard
from results.record import record_path
from results.statistics import paired_values
from results.submission import INITIAL_WITHIN, RERUN_WITHIN, _training_of
from tests.results.synthetic import pack

ROOT = Path(__file__).resolve().parents[2]
METHOD = "maxdist-tp_ll"
PROTOCOL_METHODS = ("random", "lcmd-tp_grad_rp-512", "lcmd-tp_ll_ens-3_rp-512", "bait-f-p_ll_train")
Capture = pytest.CaptureFixture[str]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A protocol of four of the published methods, and the runs of another one."""
    folder = tmp_path_factory.mktemp("archives")
    with zipfile.ZipFile(ROOT / "results" / "lite.zip") as archive:
        for name in archive.namelist():
            method = name.split("/")[3]
            if method in (*PROTOCOL_METHODS, METHOD):
                archive.extract(name, folder / ("mine" if method == METHOD else "protocol"))
    pack(folder / "protocol", folder / "protocol.zip")
    return folder


@pytest.fixture
def mine(archives: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(archives / "mine", tmp_path / "mine"))


@pytest.mark.parametrize(("archive", "name"), [("forest", "forest"), ("lite", "relu"), ("models", "forest")])
def test_the_training_that_a_repeated_run_needs(archive: str, name: str) -> None:
    with zipfile.ZipFile(ROOT / "results" / f"{archive}.zip") as files, files.open(files.namelist()[0]) as file:
        record = json.load(file)
    assert _training_of(SimpleNamespace(config=record["config"])) == name  # type: ignore[arg-type]


def path_of(mine: Path, dataset: str, split: int) -> Path:
    return record_path(mine, "lite", dataset, "256x4", METHOD, split)


def edit(path: Path, change: Change) -> None:
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def send(archives: Path, source: Path, *arguments: str) -> int:
    sent = source.parent / "sent"
    return main([
        f"submit={source}", f"paths.protocol={archives / 'protocol.zip'}", f"paths.submissions={sent}", *arguments
    ])  # fmt: skip


def test_a_whole_submission_is_written_and_takes_part(archives: Path, mine: Path, capsys: Capture) -> None:
    assert send(archives, mine, "rerun=false") == 0
    written = mine.parent / "sent" / f"{METHOD}.zip"
    assert capsys.readouterr().out == f"not rerun\nwritten: {written.resolve()}\n"
    first = written.read_bytes()
    with zipfile.ZipFile(written) as file:
        assert {entry.external_attr >> 16 for entry in file.infolist()} == {0o644}  # unzip gives readable files
    assert send(archives, written, "rerun=false") == 0  # checked once more, as before it is accepted
    assert written.read_bytes() == first
    board = leaderboard(gather(archives / "protocol.zip", written.parent)).set_index("method")
    assert board.loc[METHOD, "origin"] == f"submission {METHOD}, not rerun"
    # Its numbers are those in the archive of all methods.
    frame = load_records(archives / "mine")
    random = load_records(archives / "protocol")
    own, others = paired_values(frame, "rmse")[METHOD], paired_values(random, "rmse")["random"]
    assert board.loc[METHOD, "error"] == pytest.approx(np.mean(own.to_numpy() - others.to_numpy()))


def rounds(change: Change) -> Change:
    return lambda raw: [change(measured) for measured in raw["rounds"]]


def without_points(raw: dict[str, Any]) -> None:
    for measured in raw["rounds"]:
        measured["indices"] = None


ATTACKS: list[tuple[Change, str]] = [
    (lambda raw: raw["provenance"].update(data_hash="0" * 64), "data_hash should be 2fcbe29c1c14"),
    (lambda raw: raw["config"]["training"].update(n_epochs=512), "config.training.n_epochs should be 256, got 512"),
    (lambda raw: raw["config"]["training"].update(width=9), "config.training.width should be None, got 9"),
    (lambda raw: raw["config"]["task"].update(n_valid=9), "config.task.n_valid should be 1024, got 9"),
    (lambda raw: raw["config"].pop("task"), "config.task.batch_size should be 256, got None"),
    (lambda raw: raw["config"]["method"].update(name="x"), f"config.method.name should be {METHOD}, got x"),
    (lambda raw: raw["config"]["method"].update(sigma=5.0), "its runs have different settings or code"),
    (lambda raw: raw["provenance"].update(seed=5), "seed should be 0, as the split, got 5"),
    (lambda raw: raw["rounds"][2].update(mae=9.0), "rounds[2] should have mae <= rmse <= maxe"),
    (rounds(lambda r: r.update(rmse=r["rmse"] * 1.04)), "the log RMSE of round 0 should be"),
    (lambda raw: raw["rounds"][3].update(mae=0.01, rmse=0.02), "rounds[3].rmse is below the smallest of the protocol"),
    (lambda raw: raw["config"]["method"].pop("sigma"), "config.method.sigma is missing"),
    (lambda raw: raw["config"]["method"].update(code={"../x": "0"}), "should have names of modules, got '../x'"),
    (without_points, "the selected points are missing"),
    (
        lambda raw: raw["config"]["method"].update(code={"my_own.module": "0123456789ab"}),
        "module my_own.module with the hash 0123456789ab, is not here: there is no my_own/module.py",
    ),
]


@pytest.mark.parametrize(("change", "message"), ATTACKS, ids=[message[:40] for _, message in ATTACKS])
def test_attack(archives: Path, mine: Path, capsys: Capture, change: Change, message: str) -> None:
    edit(path_of(mine, "fried", 0), change)
    assert send(archives, mine, "rerun=false") == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert all(line.startswith("refused: ") for line in captured.err.splitlines())
    assert captured.out == ""
    assert not (mine.parent / "sent").exists()


def test_all_faults_are_named_at_once(archives: Path, mine: Path, capsys: Capture) -> None:
    path_of(mine, "sgemm", 1).unlink()
    path_of(mine, "diamonds", 0).write_text("{")
    moved = path_of(mine, "fried", 0)
    shutil.copy(path_of(mine, "fried", 1), moved)
    edit(moved, lambda raw: (raw.update(split=0), raw["provenance"].update(seed=0)))
    extra = path_of(mine, "fried", 2)
    shutil.copy(path_of(mine, "fried", 1), extra)
    edit(extra, lambda raw: raw.update(split=2))
    assert send(archives, mine, "rerun=false", "name=a/b") == 1
    error = capsys.readouterr().err
    for message in (
        f"{METHOD}: sgemm split 1 is missing",
        f"{path_of(mine, 'diamonds', 0)}: Invalid JSON",
        f"{moved}: the log RMSE of round 0 should be -1.1",
        f"{extra}: not in the protocol, which is 256x4 on the splits diamonds 0, diamonds 1, fried 0",
        "name=a/b should be a name",
    ):
        assert message in error
    assert not (mine.parent / "sent").exists()


def test_names_that_are_taken(archives: Path, mine: Path, capsys: Capture) -> None:
    assert send(archives, mine, "rerun=false", "name=first") == 0
    assert send(archives, mine, "rerun=false", "name=second") == 1
    assert f"first.zip has the method {METHOD}; give yours another name" in capsys.readouterr().err
    assert send(archives, mine, "rerun=false", "name=first") == 1
    assert "first.zip exists; choose another name=" in capsys.readouterr().err
    assert send(archives, archives / "protocol", "rerun=false") == 1
    assert "has no records of a method that is not yet in the protocol" in capsys.readouterr().err
    assert send(archives, mine.parent / "nowhere") == 2
    assert "is neither a folder nor a zip archive of run records" in capsys.readouterr().err


def test_tolerances_are_above_what_another_device_changes(tmp_path: Path) -> None:
    """The same methods and splits on a GPU (lite.zip) and a CPU (mini.zip, of which the first rounds are the same)."""
    frames = {}
    for name in ("lite", "mini"):
        with zipfile.ZipFile(ROOT / "results" / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
        frame = load_records(tmp_path / name).astype({"dataset": str, "method": str})
        frames[name] = np.log(frame.set_index(["dataset", "method", "split", "round"])["rmse"])
    difference = (frames["lite"] - frames["mini"]).dropna()
    rows = difference.index.get_level_values("round")
    assert len(difference) == 3 * 8 * 2 * 5
    first = difference[rows == 0].abs().max()
    later = difference[rows > 0].groupby(level=["dataset", "method", "split"]).mean().abs().max()
    assert first == pytest.approx(0.0033, abs=5e-5)
    assert later == pytest.approx(0.051, abs=5e-4)
    assert 2 * first < INITIAL_WITHIN
    assert 1.9 * later < RERUN_WITHIN


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A protocol of two splits of generated data, and the runs of a method of one's own, both really run."""
    folder = tmp_path_factory.mktemp("tiny")
    source = (ROOT / "examples/own_method/components.py").read_text()
    (folder / "mine.py").write_text(
        source.replace('"lottery"', '"mine"').replace('"quad', '"own-quad').replace("pca", "axes")
    )
    short = ("experiment.name=tiny", "dataset=friedman", "task=64x6", "task.n_rounds=1", "training.n_epochs=2")
    for runs, method in (("protocol", "random"), ("runs", "mine_grad_rp-8_train")):
        command = [warm_python(), "-m", "benchmark", *short, "splits=[0,1]", f"method={method}", "imports=[mine]"]
        done = subprocess.run(
            [*command, f"paths.runs={folder / runs}", f"paths.data={folder / 'data'}"],
            cwd=folder, env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    pack(folder / "protocol", folder / "protocol.zip")
    return folder


@pytest.fixture
def again(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tiny)  # where the code of the method is
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Path(shutil.copytree(tiny / "runs", tmp_path / "runs"))


@pytest.mark.thorough
def test_a_run_is_repeated_with_the_code_in_the_archive(
    tiny: Path, again: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert send(tiny, again, f"paths.data={tiny / 'data'}", "name=mine") == 0
    out = capsys.readouterr().out
    assert "running friedman/mine_grad_rp-8_train/split-" in out
    assert "log RMSE +0.0000, within 0.1" in out
    archive = tmp_path / "sent" / "mine.zip"
    with zipfile.ZipFile(archive) as file:
        assert file.read("code/mine.py") == (tiny / "mine.py").read_bytes()
        assert json.loads(file.read("rerun.json"))["difference"] == pytest.approx(0, abs=1e-6)
    monkeypatch.chdir(tmp_path)  # elsewhere, the code in the archive is enough
    assert send(tiny, archive, f"paths.data={tiny / 'data'}", "name=mine") == 0


@pytest.mark.thorough
def test_too_good_errors_and_points_of_another_split_are_found_by_the_repetition(
    tiny: Path, again: Path, capsys: Capture
) -> None:
    def better(raw: dict[str, Any]) -> None:
        for measured in raw["rounds"][1:]:
            for metric in ("mae", "rmse", "q95", "q99", "maxe"):
                measured[metric] *= 0.8

    paths = sorted(again.rglob("split-?.json"))
    assert len(paths) == 2
    for path in paths:
        edit(path, better)
    assert send(tiny, again, f"paths.data={tiny / 'data'}") == 1
    assert (
        "its log RMSE minus that of a repeated run is +0.0000 in round 0 and -0.2231 on average"
        in capsys.readouterr().err
    )
    shutil.copytree(tiny / "runs", again, dirs_exist_ok=True)
    batches = [json.loads(path.read_text())["rounds"][0]["indices"] for path in paths]
    for path, batch in zip(paths, reversed(batches), strict=True):
        edit(path, lambda raw, batch=batch: raw["rounds"][0].update(indices=batch))
    assert send(tiny, again, f"paths.data={tiny / 'data'}") == 1
    assert "should be rows of the pool of split" in capsys.readouterr().err
    assert not (again.parent / "sent").exists()


@pytest.mark.thorough
def test_code_that_has_changed_is_refused(tiny: Path, again: Path, tmp_path: Path, capsys: Capture) -> None:
    (again / "code").mkdir()
    (again / "code" / "mine.py").write_text("changed = True")
    code = hashlib.sha256((tiny / "mine.py").read_bytes()).hexdigest()[:12]
    assert send(tiny, again, f"paths.data={tiny / 'data'}") == 0  # that of the current folder is the right one
    with zipfile.ZipFile(tmp_path / "sent" / "mine_grad_rp-8_train.zip") as file:
        assert file.read("code/mine.py") == (tiny / "mine.py").read_bytes()
    for path in again.rglob("split-?.json"):
        path.write_text(path.read_text().replace(code, "0" * 12))
    assert send(tiny, again, f"paths.data={tiny / 'data'}", "name=other") == 1
    assert "module mine with the hash 000000000000, is not here" in capsys.readouterr().err
