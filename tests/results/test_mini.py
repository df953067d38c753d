"""The records of the experiment `mini` that come along."""

from __future__ import annotations

import zipfile
from pathlib import Path

from results import load_records
from results.aggregate import mean_and_stderr, run_values

ARCHIVE = Path(__file__).resolve().parents[2] / "results" / "mini.zip"


def test_records_are_whole_and_show_that_active_learning_pays(tmp_path: Path) -> None:
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
        n_records = len(archive.namelist())
    frame = load_records(tmp_path)
    assert (frame[["experiment", "task"]].drop_duplicates().to_numpy() == [["mini", "256x8"]]).all()
    assert n_records == 72  # 3 data sets, 8 methods, 3 splits
    assert len(frame) == n_records * 9  # rounds 0 to 8
    assert frame.groupby("dataset", observed=True)["data_hash"].nunique().eq(1).all()
    assert frame["code_version"].nunique() == 1
    values = run_values(frame, metrics=["rmse"], final=True)
    means = mean_and_stderr(values, ["rmse"], ["method"]).set_index("method")["rmse"]
    assert means["lcmd-tp_grad_rp-512"] < means["random"]
