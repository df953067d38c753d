"""hydra/sweeper=grid: run every combination of lists, composing each choice once instead of each combination."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.bmdal_sweeps.local import LocalLauncher


class GridSweeper(Sweeper):
    """Sweep over the product of all lists. The exit status says whether every run is done.

    params: the lists of an experiment, e.g. {"dataset": "fried, sgemm"}; the command line can override them.
    """

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = params
        self.config: DictConfig | None = None
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> None:
        from benchmark.sweep import run_sweep

        assert self.config is not None
        assert self.hydra_context is not None
        config, loader = self.config, self.hydra_context.config_loader
        lists = [f"{key}={choices}" for key, choices in self.params.items()]
        status = run_sweep(
            [*lists, *arguments],
            config,
            lambda overrides: loader.load_sweep_config(config, overrides),
            self._launch,
            self._check,
        )
        if status:
            sys.exit(status)

    def _launcher(self) -> Launcher:
        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        return Plugins.instance().instantiate_launcher(self.hydra_context, self.task_function, self.config)

    def _check(self) -> None:
        """Raise what keeps the launcher from starting; if its jobs run on this machine, also for an unknown device."""
        from benchmark.device import find_device

        assert self.config is not None
        if isinstance(self._launcher(), LocalLauncher | BasicLauncher):
            find_device(self.config.device)

    def _launch(self, jobs: list[list[str]], n_gpus: int, job_bytes: float | None) -> None:
        launcher = self._launcher()
        if isinstance(launcher, LocalLauncher):
            launcher.fit(n_gpus, job_bytes)
        for returned in launcher.launch(jobs, initial_job_idx=0):
            _ = returned.return_value  # raises what the job raised
