from pathlib import Path

import pytest

from tests.results.synthetic import write_grid

METHODS = ("random", "maxdist-tp_grad_rp-512", "lcmd-tp_grad_rp-512", "lcmd-tp_ll")
DATASETS = ("fried", "diamonds", "sgemm", "stock")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Four methods on four data sets, three splits each, of the task 256x3."""
    folder = tmp_path / "runs"
    write_grid(folder, "mini", DATASETS, "256x3", METHODS, range(3))
    return folder
