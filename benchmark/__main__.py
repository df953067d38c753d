"""python -m benchmark: run a method on a data set, or with -m a whole grid of them. See --help."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from benchmark.app import run_config
from benchmark.choices import check_choices, check_flags, check_keys, check_sweep
from benchmark.errors import EXPECTED
from benchmark.sweep import refuse_job, show_estimate

CONF = Path(__file__).resolve().parent.parent / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(config: DictConfig) -> None:
    """Run one configuration; in a sweep an error leaves the other jobs alone."""
    overrides = list(HydraConfig.get().overrides.task)
    try:
        check_flags(config)
        if config.dry_run:
            show_estimate(config, overrides)
            return
        outcome = run_config(config, overrides)
    except (*EXPECTED, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            refuse_job(config, overrides, error)
            return
        sys.exit(2)
    if outcome.failed and HydraConfig.get().mode != RunMode.MULTIRUN:
        sys.exit(1)


if __name__ == "__main__":
    try:
        check_keys(sys.argv[1:], CONF)
        check_choices(sys.argv[1:], CONF)
        check_sweep(sys.argv[1:])
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last round that was finished", file=sys.stderr)
        sys.exit(130)
