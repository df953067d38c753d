"""What choosing a batch gains: beside the prediction stand the records of the same kind of model."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from benchmark.gain import _gained
from results import load_records
from results.aggregate import common_part
from results.statistics import paired_differences
from tests.results.synthetic import write_grid

METHOD = "lcmd-tp_ll"


def test_records_of_the_same_model_on_common_splits(tmp_path: Path) -> None:
    write_grid(tmp_path, "mine", ["fried"], "256x3", ["random", METHOD], range(3))
    write_grid(tmp_path, "silu", ["fried"], "256x3", ["random", METHOD], range(5))  # more, but of another network
    for method, splits in (("random", range(9)), (METHOD, range(9, 18))):
        write_grid(tmp_path, "apart", ["fried", "stock"], "256x3", [method], splits)
    frame = load_records(tmp_path)
    row = paired_differences(common_part(frame[frame["experiment"] == "mine"]).frame, "rmse", "random").iloc[0]
    (name,) = found = _gained(OmegaConf.create({"method": METHOD, "paths": {"runs": str(tmp_path)}}))
    assert name == "fried"
    assert [cell.value for cell in found[name]] == [*(row[k] for k in ("difference", "low", "high")), "mine/256x3"]


@pytest.mark.parametrize("method", [METHOD, "lcmd-tp_pred"])
def test_without_such_records(method: str, tmp_path: Path) -> None:
    write_grid(tmp_path, "silu", ["fried"], "256x3", ["random", method], range(2))
    for runs in (tmp_path, tmp_path / "none"):
        assert _gained(OmegaConf.create({"method": method, "paths": {"runs": str(runs)}})) == {}
