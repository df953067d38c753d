"""Every experiment composes, and is the grid that it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import ROOT, SMALL, run
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from benchmark.boosting import Boosting
from benchmark.choices import check_sweep
from benchmark.errors import BenchmarkError
from benchmark.forest import Forest
from benchmark.grid import Grid, combinations, make_grid
from benchmark.networks import Networks
from results.methods import LITERATURE
from results.published import PUBLISHED_DATASETS, load_published

MakeGrid = Callable[..., Grid]
N_JOBS_AND_SPLITS = {
    "relu": (1140, 20),
    "silu": (1140, 20),
    "batch_sizes": (630, 20),
    "literature": (120, 20),
    "lite": (228, 2),
    "mini": (24, 3),
    "newcomers": (24, 2),
    "forest": (24, 5),
    "forest-lite": (24, 2),
    "lightgbm-lite": (24, 2),
    "quick": (3, 2),
}


def config_of(overrides: list[str]) -> DictConfig:
    return compose("config", overrides, return_hydra_config=True)


def lists_of(overrides: Sequence[str]) -> list[str]:
    experiment = [override for override in overrides if override.startswith("+experiment=")]
    return [f"{key}={choices}" for key, choices in config_of(experiment).hydra.sweeper.params.items()]


@pytest.fixture(autouse=True)
def _conf() -> Iterator[None]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


@pytest.fixture
def grid_of() -> MakeGrid:
    return lambda *overrides: make_grid([*lists_of(overrides), *overrides], config_of)


def test_all_experiments_are_counted_here() -> None:
    assert {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")} == set(N_JOBS_AND_SPLITS)


@pytest.mark.parametrize("name", N_JOBS_AND_SPLITS)
def test_composes(name: str, grid_of: MakeGrid) -> None:
    n_jobs, n_splits = N_JOBS_AND_SPLITS[name]
    assert len(combinations([*lists_of([f"+experiment={name}"])])) == n_jobs
    job = grid_of(f"+experiment={name}", "dataset=fried", "method=random").jobs[0].job
    assert job.experiment == {"newcomers": "lite"}.get(name, name)  # whose records they join
    assert sorted(job.splits) == list(range(n_splits))
    silu = Networks(activation="silu", sigma_w=0.5, sigma_b=1.0, learning_rate=0.15)
    others = {"silu": silu, "forest": Forest(), "forest-lite": Forest(), "lightgbm-lite": Boosting()}
    assert job.training == others.get(name, Networks())


@pytest.mark.thorough
def test_published_grid(grid_of: MakeGrid) -> None:
    jobs = [item.job for item in grid_of("+experiment=relu").jobs]
    assert len(jobs) == 1140
    assert {job.method.name for job in jobs} == set(load_published("relu")["method"])
    assert {job.dataset.name for job in jobs} == set(PUBLISHED_DATASETS)
    assert {job.task.name for job in jobs} == {"256x16"}
    assert {job.splits[: job.n_timed] for job in jobs} == {(9,)}
    assert lists_of(["+experiment=relu"]) == lists_of(["+experiment=silu"])


@pytest.mark.thorough
def test_literature_and_batch_sizes(grid_of: MakeGrid) -> None:
    assert {item.job.method.name for item in grid_of("+experiment=literature").jobs} == set(LITERATURE)
    tasks = {item.job.task.name for item in grid_of("+experiment=batch_sizes").jobs}
    assert tasks == {"4096x1", "2048x2", "1024x4", "512x8", "128x32", "64x64"}


@pytest.mark.thorough
def test_newcomers_run_as_lite_does(grid_of: MakeGrid) -> None:
    lite, newcomers = ([item.job for item in grid_of(f"+experiment={name}").jobs] for name in ("lite", "newcomers"))
    assert not {job.method for job in lite} & {job.method for job in newcomers}
    changed = [{replace(job, method=lite[0].method) for job in jobs} for jobs in (lite, newcomers)]
    assert changed[0] == changed[1]


def test_the_command_line_replaces_lists(grid_of: MakeGrid) -> None:
    grid = grid_of("+experiment=mini", "dataset=fried,sgemm", "method=random", "splits=[4]", "task.n_rounds=2,3")
    assert [item.job.title for item in grid.jobs] == [
        "random on fried, 256x2", "random on fried, 256x3", "random on sgemm, 256x2", "random on sgemm, 256x3"
    ]  # fmt: skip
    assert grid.n_runs == 4


def test_jobs_equal_what_each_combination_composes(grid_of: MakeGrid) -> None:
    """Each choice is composed once, which must not differ from composing every combination; fw cannot do nngp."""
    swept = ["selection=fw,lcmd", "kernel=nngp,grad", "transform=none,rp-512", "dataset=fried,sgemm", "sigma=1e-2"]
    grid = grid_of(*swept, "task=256x4", "task.n_valid=99")
    assert len(grid.jobs) + len(grid.impossible) == len(combinations([*swept, "task=256x4"])) == 16
    assert len(grid.impossible) == 2 * (3 + 1)  # three with fw, and a sketch of nngp
    for item in grid.jobs:
        (alone,) = grid_of(*item.overrides).jobs
        assert alone.job == item.job


def test_jobs_that_would_share_their_records(grid_of: MakeGrid) -> None:
    assert len(grid_of("selection=random", "kernel=grad,ll").jobs) == 1
    with pytest.raises(BenchmarkError, match=r"the same records .*training.n_epochs=1 and .*training.n_epochs=2"):
        grid_of("training.n_epochs=1,2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+experiment=mini"], "an experiment is a sweep over many runs: python -m benchmark -m .experiment=mini"),
        (["-m", "+experiment=mini,quick"], "one experiment at a time"),
    ],
)
def test_experiment_misused(arguments: list[str], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message):
        check_sweep(arguments)


def test_dry_run(tmp_path: Path) -> None:
    """Counts, memory and, once there are records, time; nothing is run or prepared."""
    before = run(tmp_path, "-m", "+experiment=relu", "dry_run=true", "method=random,lcmd-tp_ll")
    assert before.returncode == 0, before.stderr
    assert "30 jobs, 600 runs: 2 methods x 15 data sets x 1 tasks x 20 splits" in before.stdout
    assert "600 missing" in before.stdout
    assert "up to" in before.stdout
    assert "guessed from the speed of the device, no earlier records on cpu" in before.stdout
    assert not (tmp_path / "data").exists()
    assert run(tmp_path, *SMALL, "method=lcmd-tp_ll", "task.n_rounds=1").returncode == 0
    after = run(tmp_path, "-m", "+experiment=mini", "dry_run=true")
    assert "24 jobs, 72 runs: 8 methods x 3 data sets x 1 tasks x 3 splits" in after.stdout
    assert "from 1 earlier runs on cpu" in after.stdout
