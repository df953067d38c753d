"""`python -m benchmark.suggest`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmark.suggest import main


@pytest.mark.thorough
def test_a_short_loop(tmp_path: Path) -> None:
    sizes = ["n_labelled=40", "n_candidates=60", "n_test=50", "n_rounds=2", "n_repeats=2", "batch_size=5"]
    output = tmp_path / "table.csv"
    assert main(["dataset=friedman", f"paths.data={tmp_path}", f"output={output}", *sizes]) == 0
    (row,) = pd.read_csv(output, comment="#").to_dict("records")
    assert row["dataset"] == "friedman"
    assert sum(map(int, str(row["verdicts"]).split(" / "))) == 2
    assert abs(row["first"]) < 0.5
    assert 0.5 < row["expected"] < 2


def test_more_rows_than_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset=friedman", f"paths.data={tmp_path}", "n_test=50000"]) == 2
    assert "friedman has 40768 rows, fewer than 60300" in capsys.readouterr().err
