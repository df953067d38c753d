"""The grid of an experiment: its methods, data sets and tasks in every combination, as jobs.

Hydra takes about 50 ms to compose a configuration, so thousands of combinations would take minutes. But a method does
not depend on the data set it is combined with, so each *choice* is composed once and the jobs are assembled from the
choices.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from benchmark.errors import BenchmarkError
from benchmark.job import METHOD_GROUPS, Job, JobPart, job_part
from bmdal import IncompatibleError

Overrides = tuple[str, ...]
_PARTS = {part.value: part for part in JobPart} | dict.fromkeys((*METHOD_GROUPS, "sigma"), JobPart.METHOD)


@dataclass(frozen=True)
class GridJob:
    """A job and its overrides."""

    overrides: Overrides
    job: Job


@dataclass(frozen=True)
class Grid:
    """The jobs of an experiment, and the combinations that cannot work, with reasons."""

    jobs: tuple[GridJob, ...]
    impossible: Mapping[Overrides, str]

    @property
    def n_runs(self) -> int:
        """The number of runs, one per (method, data set, task, split)."""
        return sum(len(item.job.splits) for item in self.jobs)


def combinations(arguments: Sequence[str]) -> list[Overrides]:
    """Return all combinations of comma-separated choices, e.g. of ["dataset=fried,sgemm", "task=256x4"].

    A later argument replaces an earlier one with the same key.
    """
    choices: dict[str, list[str]] = {}
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        key = override.get_key_element()
        if not override.is_sweep_override():
            choices[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            choices[key] = [f"{key}={choice}" for choice in override.sweep_string_iterator()]
        else:
            raise BenchmarkError(f"{override.input_line}: give the choices one by one, {key}=a,b,c, or as range(0,20)")
    return list(product(*choices.values()))


def make_grid(arguments: Sequence[str], compose: Callable[[list[str]], DictConfig]) -> Grid:
    """Return the jobs of a sweep over the arguments, in the order of the product.

    Args:
        arguments: command-line arguments of a sweep, preceded by the lists of the experiment.
        compose: returns the configuration of one combination.

    Raises BenchmarkError if two different jobs would write the same records, and the errors of `job_from_config`.
    """
    every = combinations(arguments)
    choices = _Choices(compose, every[0])
    jobs: dict[object, GridJob] = {}
    impossible: dict[Overrides, str] = {}
    for overrides in every:
        try:
            job = choices.job(overrides)
        except IncompatibleError as error:
            impossible[overrides] = str(error)
            continue
        same = jobs.setdefault((job.path(0), job.splits), GridJob(overrides, job))
        if same.job != job:
            raise BenchmarkError(
                f"two jobs would write the same records {job.path(0).parent}: {' '.join(same.overrides)} and "
                f"{' '.join(overrides)}. Run them as separate sweeps, each with its own experiment.name"
            )
    return Grid(tuple(jobs.values()), impossible)


class _Choices:
    """Assemble jobs from parts. Each choice is composed once, with the other choices as in the first combination."""

    def __init__(self, compose: Callable[[list[str]], DictConfig], first: Overrides) -> None:
        self._compose = compose
        self._first = first
        self._composed: dict[tuple[JobPart, Overrides], dict[str, Any] | IncompatibleError] = {}

    def job(self, overrides: Overrides) -> Job:
        fields: dict[str, Any] = {}
        for part in JobPart:
            fields |= self._part(part, overrides)
        return Job(**fields)

    def _part(self, part: JobPart, overrides: Overrides) -> dict[str, Any]:
        pairs = zip(overrides, self._first, strict=True)
        chosen = tuple(mine if _part_of(mine) is part else first for mine, first in pairs)
        if (part, chosen) not in self._composed:
            try:
                self._composed[part, chosen] = job_part(part, self._compose(list(chosen)), chosen)
            except IncompatibleError as error:
                self._composed[part, chosen] = error
        fields = self._composed[part, chosen]
        if isinstance(fields, IncompatibleError):
            raise fields
        return fields


def _part_of(override: str) -> JobPart:
    root = re.split(r"[.@:=]", override.lstrip("+~"), maxsplit=1)[0]
    return _PARTS.get(root, JobPart.CONDITIONS)
