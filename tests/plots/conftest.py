from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from plots.style import STYLE
from results import load_records
from tests.results.synthetic import pack, write_grid

DATASETS = ("fried", "diamonds", "sgemm")
METHODS = (
    "random",
    "maxdist-tp_ll",
    "maxdist-tp_grad_rp-512",
    "maxdist-p_grad_rp-512_train",
    "kmeanspp-p_grad_rp-512_acs-rf-512",
    "lcmd-tp_grad_rp-512",
    "kmeanspp-p_ll_train",
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment of three data sets, and one of three batch sizes."""
    folder = tmp_path_factory.mktemp("runs")
    write_grid(folder, "mini", DATASETS, "256x4", METHODS, range(2))
    for task in ("512x2", "1024x1"):
        write_grid(folder, "mini", DATASETS[:2], task, METHODS[3:6], range(2))
    return folder


@pytest.fixture(scope="session")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the protocol of a leaderboard, the first of these experiments."""
    folder = tmp_path_factory.mktemp("protocol")
    write_grid(folder, "mini", DATASETS, "256x4", METHODS, range(2))
    return pack(folder, folder / "mini.zip")


@pytest.fixture(scope="session")
def frame(runs: Path) -> pd.DataFrame:
    return load_records(runs)


@pytest.fixture(autouse=True)
def style() -> object:
    with matplotlib.rc_context(STYLE):
        yield
