"""Models side by side: differences to random on the same splits, computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from results import load_records
from results.__main__ import main
from results.errors import ResultsError
from results.models import models_table
from results.record import read_record, record_path
from results.render import Cell
from tests.results.synthetic import write_grid

DATASETS = ("fried", "sgemm")
GRAD, TREES = "lcmd-p_grad_rp-512_train", "lcmd-p_pred"


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    """Networks with two kinds of features and one method more, on three splits; forests on two of them."""
    methods = ("random", GRAD, "lcmd-p_ll_train", "maxdet-p_grad_rp-512_train")
    write_grid(tmp_path, "networks", DATASETS, "256x3", methods, range(3))
    write_grid(tmp_path, "trees", DATASETS, "256x3", ("random", TREES), (1, 2))
    return tmp_path


def log_rmse(runs: Path, experiment: str, dataset: str, method: str, split: int) -> float:
    record = read_record(record_path(runs, experiment, dataset, "256x3", method, split), with_indices=False)
    return float(np.mean([np.log(r.rmse) for r in record.rounds[1:]]))


def test_values_and_errors(two_models: Path) -> None:
    table = models_table(load_records(two_models), "rmse", "random")
    assert [name for name, _ in table.columns] == ["selection", "networks", "trees"]
    cells = {row[0].value: row[1:] for row in table.rows}
    assert list(cells) == ["MaxDet-P", "LCMD-P"]
    assert cells["MaxDet-P"][1] == Cell(None)
    splits = {"networks": (0, 1, 2), "trees": (1, 2)}
    for cell, experiment, method in zip(cells["LCMD-P"], splits, (GRAD, TREES), strict=True):
        pairs = [
            log_rmse(two_models, experiment, d, method, s) - log_rmse(two_models, experiment, d, "random", s)
            for d in DATASETS
            for s in splits[experiment]
        ]
        assert cell.value == pytest.approx(np.mean(pairs))
        assert cell.stderr == pytest.approx(np.std(pairs, ddof=1) / len(pairs) ** 0.5)
    assert "splits of networks: fried 0, 1, 2; sgemm 0, 1, 2" in table.notes
    assert "splits of trees: fried 1, 2; sgemm 1, 2" in table.notes


def test_from_the_command_line(two_models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"paths.runs={two_models}", "table=models"]) == 0
    assert "Mean log RMSE minus that of random, by model (256x3)" in capsys.readouterr().out


def test_what_cannot_be_compared(two_models: Path) -> None:
    frame = load_records(two_models)
    with pytest.raises(ResultsError, match="between experiments, at least two; there is trees"):
        models_table(frame[frame["experiment"] == "trees"], "rmse", "random")
    with pytest.raises(ResultsError, match="reference=lcmd-p_pred has no records in experiment networks"):
        models_table(frame, "rmse", "lcmd-p_pred")
