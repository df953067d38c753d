"""The composition root: build plain objects from a Hydra configuration and run them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig

from benchmark.attempt import Outcome, attempt_splits
from benchmark.job import job_from_config
from benchmark.loop import check_data
from benchmark.run import Run
from benchmark.states import discard_runs
from cli.progress import Progress
from data_prep import prepare


def run_config(config: DictConfig, overrides: Sequence[str]) -> Outcome:
    """Run a configuration. Prepare its data set first if necessary.

    Args:
        config: a composed configuration.
        overrides: the command-line overrides it was composed from.

    Raises BenchmarkError, BmdalError, DataError or RecordError before any training if the configuration cannot be run.
    """
    job = job_from_config(config, overrides)
    device = job.device(config.device)
    if config.n_threads is not None:
        torch.set_num_threads(config.n_threads)
    run = Run(
        experiment=job.experiment,
        data=prepare(job.dataset, Path(config.paths.data)),
        task=job.task,
        method=job.method,
        training=job.training,
        device=device,
        runs=job.runs,
    )
    check_data(run)
    if config.overwrite:
        discard_runs(job)
    before = {split for split in job.splits if job.path(split).exists()}
    with Progress(job.title) as progress:
        outcome = attempt_splits(run, job.splits, progress, n_timed=job.n_timed)
    elsewhere = f", {len(outcome.elsewhere)} run(s) in another process" if outcome.elsewhere else ""
    failed = f", {len(outcome.failed)} failed" if outcome.failed else ""
    where = job.path(0).parent
    done = f"{len(outcome.complete)} run(s) complete, {len(before & outcome.complete.keys())} of them done earlier"
    print(f"{done}{elsewhere}{failed}: {where}", flush=True)
    return outcome
