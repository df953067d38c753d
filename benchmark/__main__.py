"""python -m benchmark: run a method on a data set. See --help."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from benchmark.app import run_config
from benchmark.choices import check_choices
from benchmark.errors import BenchmarkError
from bmdal import BmdalError
from data_prep import DataError
from results.record import RecordError

CONF = Path(__file__).resolve().parent.parent / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(config: DictConfig) -> None:
    """Run one configuration; in a sweep an error leaves the other jobs alone."""
    try:
        run_config(config)
    except (BenchmarkError, BmdalError, DataError, RecordError) as error:
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    try:
        check_choices(sys.argv[1:], CONF)
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    main()
