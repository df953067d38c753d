"""The records in the repository: of the experiments `mini` and `forest`, and of the first runs on a GPU."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from results import load_records
from results.aggregate import mean_and_stderr, run_values

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
