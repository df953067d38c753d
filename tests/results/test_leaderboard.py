"""The leaderboard: its numbers against naive ones, who takes part, and the archive of the repository."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from results import ResultsError, load_records
from results.__main__ import main
from results.archive import MOST_BYTES, unpacked
from results.leaderboard import OWN, gather, leaderboard, leaderboard_paths, leaderboard_table
from results.record import METRICS, record_path
from results.render import to_csv
from results.statistics import friedman_ranks
from tests.results.synthetic import pack, write_grid

DATASETS = ("fried", "diamonds", "sgemm")
METHODS = ("random", "maxdist-tp_grad_rp-512", "lcmd-tp_grad_rp-512", "lcmd-tp_ll")
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    write_grid(tmp_path / "published", "lite", DATASETS, "256x4", METHODS, range(2))
    return pack(tmp_path / "published", tmp_path / "lite.zip")


@pytest.mark.parametrize("metric", METRICS)
def test_numbers_are_those_of_a_loop(protocol: Path, tmp_path: Path, metric: str) -> None:
    board = leaderboard(gather(protocol, tmp_path / "none"), metric).set_index("method")
    frame = load_records(tmp_path / "published").astype({"dataset": str, "method": str})
    ranks: dict[str, list[float]] = {method: [] for method in METHODS}
    errors: dict[str, list[float]] = {method: [] for method in METHODS}
    for dataset in DATASETS:
        for split in range(2):
            logs = {}
            for method in METHODS:
                run = frame[(frame.dataset == dataset) & (frame.split == split) & (frame.method == method)]
                logs[method] = float(np.mean(np.log(run[run["round"] > 0][metric].to_numpy())))
            for method in METHODS:
                ranks[method].append(1 + sum(logs[other] < logs[method] for other in METHODS))
                errors[method].append(logs[method] - logs["random"])
    generator = np.random.default_rng(7)
    rows = generator.integers(6, size=(20_000, 6))
    for method in METHODS:
        row = board.loc[method]
        assert row["mean_rank"] == pytest.approx(np.mean(ranks[method]))
        assert row["error"] == pytest.approx(np.mean(errors[method]))
        for name, sample in (("rank", ranks[method]), ("error", errors[method])):
            low, high = np.percentile(np.array(sample)[rows].mean(axis=1), [2.5, 97.5])
            spread = np.std(sample) + 1e-12
            assert row[f"{name}_low"] == pytest.approx(low, abs=0.12 * spread)
            assert row[f"{name}_high"] == pytest.approx(high, abs=0.12 * spread)
        run = frame[(frame.method == method) & frame["selection_seconds"].notna()]
        assert row["seconds"] == pytest.approx((run["kernel_seconds"] + run["selection_seconds"]).mean())
        assert row["n_runs"] == 6
    assert list(board["mean_rank"]) == sorted(board["mean_rank"])


def test_own_runs_take_part_if_they_are_those_of_the_protocol(protocol: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    write_grid(runs, "lite", DATASETS, "256x4", ["kmeanspp-p_ll_train", "random"], range(3))  # one split more
    write_grid(runs, "lite", DATASETS, "256x4", ["maxdet-p_ll", "maxdiag_ll", "fw-p_ll"], range(2))
    write_grid(runs, "other", DATASETS, "256x4", ["maxdiag_grad"], range(2))
    write_grid(runs, "lite", DATASETS, "256x3", ["maxdiag_pred"], range(2))
    write_grid(runs, "lite", DATASETS, "256x4", ["lcmd-tp_grad", "power_ll"], range(2))
    record_path(runs, "lite", "fried", "256x4", "maxdet-p_ll", 1).unlink()
    for method, old, new in (("maxdiag_ll", '"relu"', '"silu"'), ("fw-p_ll", "0" * 64, "1" * 64)):
        path = record_path(runs, "lite", "sgemm", "256x4", method, 0)
        path.write_text(path.read_text().replace(old, new))
    for method, part in (("lcmd-tp_grad", {"task": {"n_valid": 256}}), ("power_ll", {"method": {"sigma": 0.1}})):
        path = record_path(runs, "lite", "sgemm", "256x4", method, 0)
        raw = json.loads(path.read_text())
        path.write_text(json.dumps({**raw, "config": {**raw["config"], **part}}))
    contest = gather(protocol, tmp_path / "none", runs)
    board = leaderboard(contest).set_index("method")
    assert set(board.index) == {*METHODS, "kmeanspp-p_ll_train"}
    assert board.loc["kmeanspp-p_ll_train", "origin"] == OWN
    assert board.loc["random", "origin"] == "published"
    assert board["n_runs"].eq(6).all()
    notes = "; ".join(contest.notes)
    assert f"maxdet-p_ll of {runs} is left out: it lacks fried split 1" in notes
    assert "maxdiag_ll of" in notes
    assert "its training is activation=silu" in notes
    assert f"its data hash is {'1' * 64}" in notes
    assert "its task settings is n_valid=256, and the protocol's is " in notes
    assert "its runs have different settings: ; sigma=0.1" in notes
    assert len(contest.notes) == 5


def test_own_runs_in_an_archive_and_a_folder_that_is_not_there(protocol: Path, tmp_path: Path) -> None:
    write_grid(tmp_path / "runs", "lite", DATASETS, "256x4", ["maxdet-p_ll"], range(2))
    archive = pack(tmp_path / "runs", tmp_path / "mine.zip")
    assert "maxdet-p_ll" in set(leaderboard(gather(protocol, tmp_path / "none", archive))["method"])
    (note,) = gather(protocol, tmp_path / "none", tmp_path / "rnus").notes
    assert note.startswith("no runs of your own: there is no folder or archive")


def test_submissions_take_part_with_what_their_rerun_showed(protocol: Path, tmp_path: Path) -> None:
    for name, method, rerun in (
        ("ann", "maxdet-p_ll", json.dumps({"run": "fried/maxdet-p_ll/split-1", "difference": 0.0123})),
        ("bob", "maxdiag_ll", "null"),
    ):
        write_grid(tmp_path / name, "lite", DATASETS, "256x4", [method], range(2))
        pack(tmp_path / name, tmp_path / "sent" / f"{name}.zip", rerun=rerun)
    contest = gather(protocol, tmp_path / "sent")
    board = leaderboard(contest).set_index("method")
    assert board.loc["maxdet-p_ll", "origin"] == "submission ann, rerun of fried/maxdet-p_ll/split-1 agrees (+0.012)"
    assert board.loc["maxdiag_ll", "origin"] == "submission bob, not rerun"
    assert board.loc["maxdiag_ll", "place"] == "sent/bob.zip: lite/*/256x4/maxdiag_ll"
    assert {"maxdet-p_ll", "maxdiag_ll", "random"} <= set(contest.shown)
    assert "submission bob, not rerun" in to_csv(leaderboard_table(contest))


def test_what_no_comparison_can_be_made_of_is_refused(protocol: Path, tmp_path: Path) -> None:
    write_grid(tmp_path / "x", "lite", DATASETS, "256x4", METHODS[1:], range(2))
    with pytest.raises(ResultsError, match="the protocol needs runs of random"):
        leaderboard(gather(pack(tmp_path / "x", tmp_path / "x.zip"), tmp_path / "none"))
    record_path(tmp_path / "published", "lite", "fried", "256x4", "lcmd-tp_ll", 1).unlink()
    with pytest.raises(ResultsError, match="all methods on all of its splits"):
        leaderboard(gather(pack(tmp_path / "published", protocol), tmp_path / "none"))
    for damaged in (tmp_path / "nowhere.zip", tmp_path / "text.zip"):
        (tmp_path / "text.zip").write_text("no archive")
        with pytest.raises(ResultsError, match=r"no folder|neither a folder nor a zip archive"):
            gather(damaged, tmp_path / "none")


def test_an_archive_that_would_fill_the_disk_is_not_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(6):
            archive.writestr(str(number), bytes(100_000_000))
    assert MOST_BYTES < 600_000_000
    with pytest.raises(ResultsError, match="600,000,000 bytes"), unpacked(tmp_path / "bomb.zip"):
        pass


def test_command(protocol: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = [f"paths.runs={tmp_path / 'runs'}", f"paths.protocol={protocol}", "table=leaderboard"]
    assert main(arguments) == 0
    assert "Leaderboard (lite, 256x4)" in capsys.readouterr().out
    damaged = record_path(tmp_path / "runs", "lite", "fried", "256x4", "fw-p_ll", 0)
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{")
    assert main(arguments) == 2
    assert str(damaged) in capsys.readouterr().err
    assert main([*arguments, "skip_damaged=true"]) == 0
    assert f"skipped: {damaged}" in capsys.readouterr().out
    assert main([*arguments, "method=random"]) == 2
    assert "leave out method=" in capsys.readouterr().err


def test_the_leaderboard_of_the_repository(tmp_path: Path) -> None:
    """The 76 published methods; the best one gains on every pair, and MaxDiag on the full gradients loses."""
    contest = gather(*leaderboard_paths(None, None))
    board = leaderboard(contest).set_index("method")
    published = board[board["origin"] == "published"]
    assert len(published) == 76
    assert board["n_runs"].eq(6).all()
    assert board.loc["random", "error"] == 0
    best = board.index[0]
    assert board.loc[best, "error_high"] < 0 < board.loc["maxdiag_grad_train", "error_low"]
    ranks = friedman_ranks(contest.frame[contest.frame["method"].isin(contest.shown)], "rmse")
    assert ranks.critical_difference > ranks.mean_ranks.max() - ranks.mean_ranks.min()  # docs/leaderboard.md says so
    assert (board["rank_low"] <= board["mean_rank"]).all()
    assert (board["mean_rank"] <= board["rank_high"]).all()
