"""python -m benchmark: run a method on a data set or, with -m, a grid of methods and data sets. See --help."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from benchmark.app import run_config
from benchmark.choices import check_choices, check_keys, check_sweep, check_values
from benchmark.errors import EXPECTED, DeviceLostError
from benchmark.sweep import refuse_job, show_estimate
from cli.options import CONF
from cli.processes import is_worker
from cli.run import BAD_INPUT, FAILED, complain, run_command

INTERRUPTED = "interrupted; run the same command again to resume after the last finished round"


@hydra.main(version_base="1.3", config_path=str(CONF.resolve()), config_name="config")
def main(config: DictConfig) -> None:
    """Run one configuration. In a sweep, an error does not stop the other jobs."""
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
    try:
        check_values(config)
        if config.dry_run:
            show_estimate(config, overrides)
            return
        outcome = run_config(config, overrides)
    except (*EXPECTED, OSError) as error:
        complain(error)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            refuse_job(config, overrides, error)
            return
        sys.exit(BAD_INPUT)
    except DeviceLostError as error:  # further jobs of a sweep need another process
        complain(error)
        if is_worker():
            os._exit(FAILED)
        sys.exit(FAILED)
    if outcome.failed and HydraConfig.get().mode != RunMode.MULTIRUN:
        sys.exit(FAILED)


def _work(arguments: Sequence[str]) -> int:
    check_keys(arguments, CONF)
    check_choices(arguments, CONF)
    check_sweep(arguments)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors are raised; otherwise Hydra prints them and exits with status 1
    main()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(sys.argv[1:], None, _work, EXPECTED, INTERRUPTED))
