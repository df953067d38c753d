"""The records in the repository: `mini`, `forest`, the models on the grid of `lite`, and the first runs on a GPU."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from results import load_records
from results.aggregate import mean_and_stderr, run_values
from results.models import models_table

FOLDER = Path(__file__).resolve().parents[2] / "results"


@pytest.mark.parametrize(
    ("experiment", "task", "n_records", "method"),
    [("mini", "256x8", 3 * 8 * 3, "lcmd-tp_grad_rp-512"), ("forest", "128x8", 3 * 8 * 5, "bait-f-p_pred")],
)
def test_records_are_whole_and_show_that_active_learning_pays(
    experiment: str, task: str, n_records: int, method: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(FOLDER / f"{experiment}.zip") as archive:
        archive.extractall(tmp_path)
        assert len(archive.namelist()) == n_records  # data sets, methods, splits
    frame = load_records(tmp_path)
    assert (frame[["experiment", "task"]].drop_duplicates().to_numpy() == [[experiment, task]]).all()
    assert len(frame) == n_records * 9  # rounds 0 to 8
    assert frame.groupby("dataset", observed=True)["data_hash"].nunique().eq(1).all()
    assert frame["code_version"].nunique() == 1
    values = run_values(frame, metrics=["rmse"], final=True)
    means = mean_and_stderr(values, ["rmse"], ["method"]).set_index("method")["rmse"]
    assert means[method] < means["random"]


def test_runs_on_a_gpu_begin_like_those_on_a_cpu(tmp_path: Path) -> None:
    """The same splits, data and initial networks; after the first batch they part."""
    for name in ("mini", "gpu"):
        with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
            archive.extractall(tmp_path / name)
    frames = {name: load_records(tmp_path / name) for name in ("mini", "gpu")}
    assert len(frames["gpu"]) == 3 * 20 * 17  # data sets, splits, rounds 0 to 16
    assert set(frames["gpu"]["device"]) == {"NVIDIA H100 80GB HBM3"}
    first = [f[(f["round"] == 0) & (f["method"] == "lcmd-tp_grad_rp-512")] for f in frames.values()]
    cpu, gpu = (f.set_index(["dataset", "split"])[["rmse", "data_hash"]] for f in first)
    both = cpu.join(gpu.add_suffix("_gpu"))
    assert len(both) == 9
    assert (both["data_hash"].astype(str) == both["data_hash_gpu"].astype(str)).all()
    assert both["rmse_gpu"].to_numpy() == pytest.approx(both["rmse"].to_numpy(), rel=0.004)


def test_models_ran_on_the_splits_and_tasks_of_the_networks(tmp_path: Path) -> None:
    """What `table=models` compares: the same data, task and split, and the methods of both other models."""
    for name in ("lite", "models"):
        with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
            archive.extractall(tmp_path)
    frame = load_records(tmp_path)
    assert set(frame["task"]) == {"256x4"}
    assert frame.groupby("dataset", observed=True)["data_hash"].nunique().eq(1).all()
    runs = frame[frame["round"] == 0].groupby("experiment", observed=True)
    assert runs.size()[["forest-lite", "lightgbm-lite"]].to_list() == [
        3 * 8 * 5,
        3 * 8 * 5,
    ]  # data sets, methods, splits
    table = models_table(frame, "rmse", "random")
    assert [name for name, _ in table.columns[1:]] == ["forest-lite", "lightgbm-lite", "lite"]
    shown = {row[0].text for row in table.rows if all(cell.value is not None for cell in row[1:])}
    assert shown == {"MaxDiag", "MaxDet-P", "BAIT-F-P", "MaxDist-P", "KMeansPP-P", "LCMD-P", "LCMD-TP"}
