"""A job, one method on one task of one data set with all its splits, built from a configuration as plain objects."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.choices import check_values
from benchmark.device import find_device
from benchmark.errors import BenchmarkError
from benchmark.failures import describe
from benchmark.model import Model
from benchmark.run import settings
from benchmark.task import Task
from bmdal import Method, UnknownComponentError
from bmdal.kernels import BaseKernel
from bmdal.selection import Selection
from bmdal.transformations import Transformation
from cli.options import one_line
from cli.types import check_fields
from data_prep import DataSet
from results.record import record_path

METHOD_GROUPS = ("kernel", "transform", "selection", "mode")


@dataclass(frozen=True)
class Job:
    """One (method, data set, task) of an experiment, the work of one process or one cluster job.

    `splits` are in the order in which they run; the first `n_timed` of them run alone on their device.

    Raises IncompatibleError if the method does not work with the trained model.
    """

    experiment: str
    dataset: DataSet
    task: Task
    training: Model
    method: Method
    splits: tuple[int, ...]
    n_timed: int
    runs: Path

    def __post_init__(self) -> None:
        self.training.check_method(self.method)

    @property
    def config(self) -> dict[str, Any]:
        """All settings that affect the results, except for the split and the data."""
        return settings(self.task, self.training, self.method)

    @property
    def title(self) -> str:
        """A readable name, e.g. "lcmd-tp_grad_rp-512 on sgemm, 256x16"."""
        return f"{self.method.name} on {self.dataset.name}, {self.task.name}"

    def path(self, split: int) -> Path:
        """Return the path of the complete record of a split."""
        return record_path(self.runs, self.experiment, self.dataset.name, self.task.name, self.method.name, split)

    def device(self, name: str) -> torch.device:
        """Return the device with a name. Raises BenchmarkError as `find_device` does."""
        return find_device(name, cpu_only=self.training.cpu_only)

    def n_gpus(self, name: str) -> int:
        """Return how many of the machine's GPUs jobs like this one use with a device name: all, one, or none."""
        if name == "cpu" or self.training.cpu_only:
            return 0
        return 1 if ":" in name else torch.cuda.device_count()


def job_from_config(config: DictConfig, overrides: Sequence[str]) -> Job:
    """Check a configuration and return the job that it describes.

    Args:
        config: a composed configuration.
        overrides: the command-line overrides it was composed from, e.g. ["method=random", "dataset=fried"].

    Raises BenchmarkError, BmdalError, DataError or IncompatibleError if the job cannot be run.
    """
    fields: dict[str, Any] = {}
    for part in JobPart:
        fields |= job_part(part, config, overrides)
    return Job(**fields)


class JobPart(StrEnum):
    """The independent parts of a job."""

    CONDITIONS = "conditions"
    DATASET = "dataset"
    TASK = "task"
    TRAINING = "training"
    METHOD = "method"


def job_part(part: JobPart, config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the fields of `Job` that one part of a configuration determines."""
    check_values(config)
    _import_components(config.imports)
    match part:
        case JobPart.CONDITIONS:
            return _conditions(config)
        case JobPart.METHOD:
            return {"method": _method(config, overrides)}
        case JobPart.DATASET:
            return {"dataset": _built(config, "dataset", DataSet)}
        case JobPart.TASK:
            return {"task": _built(config, "task", Task)}
        case JobPart.TRAINING:
            return {"training": _built(config, "training", Model)}


def _conditions(config: DictConfig) -> dict[str, Any]:
    name, splits, n_timed = config.experiment.name, _splits(config.splits), config.experiment.n_timed_splits
    if isinstance(name, bool | None) or not re.fullmatch(r"\w[\w.-]*", str(name)):
        raise BenchmarkError(f"experiment.name must be made of letters, digits, '-', '_' and '.', got {name!r}")
    if type(n_timed) is not int or not 0 <= n_timed <= len(splits):
        raise BenchmarkError(f"experiment.n_timed_splits must be 0 to {len(splits)} (the splits), got {n_timed!r}")
    # The published runs timed split 9, so that one comes first.
    timed = sorted(splits, key=lambda split: (split < 9, split))[:n_timed]
    return {
        "experiment": str(name),
        "splits": (*timed, *(split for split in splits if split not in timed)),
        "n_timed": n_timed,
        "runs": Path(config.paths.runs),
    }


def _method(config: DictConfig, overrides: Sequence[str]) -> Method:
    """Return the method named by `method=<name>` or, without a name, built from kernel, transform, selection and mode.

    A selection method that uses no features (random) gets no kernel; mode=auto is the selection method's default mode.
    """
    if config.method is not None:
        keys = {override.split("=")[0] for override in overrides}
        if given := [group for group in METHOD_GROUPS if group in keys]:
            raise BenchmarkError(
                f"method={config.method} stands for {', '.join(METHOD_GROUPS)}; leave out {', '.join(given)}"
            )
        try:
            return Method.from_name(config.method, sigma=config.sigma)
        except UnknownComponentError as error:
            if config.imports:
                raise
            raise BenchmarkError(f"{error}. A component of your own needs 'imports=[its_module]'") from None
    selection = _built(config, "selection", Selection)
    mode = config.mode
    if mode == "auto":
        mode = selection.modes[0] if selection.modes else None
    if not selection.needs_kernel:
        return Method(selection, mode=mode, sigma=config.sigma)
    steps = config.transform or {}
    transformations = tuple(_built(config, f"transform.{step}", Transformation) for step in steps)
    return Method(selection, _built(config, "kernel", BaseKernel), transformations, mode, config.sigma)


def _import_components(modules: Sequence[str] | str) -> None:
    """Import the modules that register the user's own components, from the current folder or anywhere on the path."""
    for module in [modules] if isinstance(modules, str) else modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise BenchmarkError(f"imports=[{module}]: it imports a module that is missing: {error}") from None
            valid = "my_module for my_module.py in the current folder, folder.my_module for one below it"
            raise BenchmarkError(f"imports=[{module}]: {error}; valid: {valid} ({Path.cwd()})") from None
        except Exception as error:  # a user's code may raise anything
            raise BenchmarkError(f"imports=[{module}]: {describe(error)}") from error


def _built(config: DictConfig, key: str, kind: type) -> Any:
    """Build the object that a part of the configuration describes.

    Raises BenchmarkError, naming the key, if the object refuses a value, a field has the wrong type, or the object is
    not of the given kind.
    """
    try:
        built = instantiate(OmegaConf.select(config, key))
        check_fields(built, key)
    except (HydraException, OmegaConfBaseException, TypeError) as error:
        cause = error.__cause__ or error
        text = one_line(cause)
        raise BenchmarkError(text if key in text else f"{key}: {text}") from None
    if not isinstance(built, kind):
        raise BenchmarkError(f"{key} must describe a {kind.__name__}, got {OmegaConf.select(config, key)!r}")
    return built


def _splits(splits: Any) -> list[int]:
    numbers = list(splits) if isinstance(splits, Sequence) and not isinstance(splits, str) else [splits]
    if (
        not numbers
        or any(type(s) is not int or not 0 <= s < 2**32 for s in numbers)
        or len(set(numbers)) < len(numbers)
    ):
        raise BenchmarkError(
            f"splits must be distinct numbers 0, 1, 2, ... below 2**32, e.g. 'splits=[0,1]', got {splits}"
        )
    return numbers
