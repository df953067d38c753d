"""A small prepared data set and a short task, in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark.networks import Networks
from benchmark.run import Run
from benchmark.task import Task
from bmdal import Method
from data_prep import DataSet, Friedman, PreparedData, prepare


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """3,000 rows by the formula of Friedman, 600 of them for testing."""
    dataset = DataSet(name="small", source=Friedman(n_rows=3000, seed=1), target="Y")
    return prepare(dataset, tmp_path_factory.mktemp("data"))


@pytest.fixture
def make_run(small_data: PreparedData, tmp_path: Path) -> Callable[..., Run]:
    def make(method: str = "lcmd-tp_grad_rp-64", runs: Path = tmp_path / "runs", **training: float) -> Run:
        return Run(
            experiment="test",
            data=small_data,
            task=Task(batch_size=32, n_rounds=3, n_initial=64, n_valid=100),
            method=Method.from_name(method),
            training=Networks(**{"n_epochs": 3, "batch_size": 32, **training}),
            device=torch.device("cpu"),
            runs=runs,
        )

    return make
