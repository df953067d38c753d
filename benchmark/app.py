"""The composition root: from a Hydra configuration to plain objects, and their run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from benchmark.errors import BenchmarkError
from benchmark.loop import run_splits
from benchmark.progress import Progress
from benchmark.run import Run
from benchmark.task import Task
from benchmark.training import Training
from bmdal import Method
from data_prep import DataSet, prepare
from results.record import RunRecord

METHOD_GROUPS = ("kernel", "transform", "selection", "mode")


def run_config(config: DictConfig) -> list[RunRecord]:
    """Run what a configuration says; the data set is prepared first if it is not yet.

    Raises BenchmarkError, BmdalError, DataError or RecordError before anything is trained if it cannot be run.
    """
    for module in config.imports:
        importlib.import_module(module)
    method = method_from_config(config)
    splits = _splits(config.splits)
    device = _device(config.device)
    if config.n_threads is not None:
        torch.set_num_threads(config.n_threads)
    dataset: DataSet = instantiate(config.dataset)
    task: Task = instantiate(config.task)
    training: Training = instantiate(config.training)
    run = Run(
        experiment=config.experiment.name,
        data=prepare(dataset, Path(config.paths.data)),
        task=task,
        method=method,
        training=training,
        device=device,
        runs=Path(config.paths.runs),
    )
    n_before = 0 if config.overwrite else sum(run.path(split).exists() for split in splits)
    with Progress(f"{run.method.name} on {run.data.name}") as progress:
        records = run_splits(run, splits, progress, config.overwrite)
    print(f"{len(records)} run(s) complete, {n_before} of them before: {run.path(splits[0]).parent}")
    return records


def method_from_config(config: DictConfig) -> Method:
    """The method that `method=<name>` names, else the one that kernel, transform, selection and mode make up.

    A selection that looks at no features (random) takes no kernel; mode=auto is the selection's usual mode.
    Raises BmdalError or IncompatibleError, with the reason, for a method that cannot work, and BenchmarkError if it
    is given twice.
    """
    if config.method is not None:
        overridden = _overridden_groups()
        if overridden:
            raise BenchmarkError(
                f"method={config.method} stands for {', '.join(METHOD_GROUPS)}; leave out {', '.join(overridden)}"
            )
        return Method.from_name(config.method, sigma=config.sigma)
    selection = instantiate(config.selection)
    mode = config.mode
    if mode == "auto":
        mode = selection.modes[0] if selection.modes else None
    if not selection.needs_kernel:
        return Method(selection, mode=mode, sigma=config.sigma)
    transformations = tuple(instantiate(step) for step in config.transform.values())
    return Method(selection, instantiate(config.kernel), transformations, mode, config.sigma)


def _overridden_groups() -> list[str]:
    if not HydraConfig.initialized():
        return []
    keys = [override.split("=")[0] for override in HydraConfig.get().overrides.task]
    return [group for group in METHOD_GROUPS if group in keys]


def _splits(splits: Sequence[int] | int) -> list[int]:
    numbers = [splits] if isinstance(splits, int) else list(splits)
    if not numbers or any(not isinstance(s, int) or s < 0 for s in numbers) or len(set(numbers)) < len(numbers):
        raise BenchmarkError(f"splits must be distinct numbers 0, 1, 2, ..., e.g. 'splits=[0,1]', got {numbers}")
    return numbers


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise BenchmarkError(f"device={name} is unknown; valid: auto, cpu, cuda, cuda:0, cuda:1, ...")
    n_gpus = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise BenchmarkError(f"device={name}: this machine has {n_gpus} CUDA device(s); use device=cpu or auto")
    return device
