"""Load the run records that the options of `results` or `plots` select."""

from __future__ import annotations

import sys

import pandas as pd
from omegaconf import DictConfig

from cli.options import check_choice
from results.errors import ResultsError
from results.load import load_records
from results.record import RecordError

FILTERS = ("experiment", "dataset", "task", "method")
EXPECTED = (ResultsError, RecordError)


def load_chosen(options: DictConfig) -> pd.DataFrame:
    """Load the records that the options select. With `skip_damaged`, damaged records are named on stderr.

    Raises ResultsError or OptionError for a name that no record has, or if nothing is left.
    """
    skipped: list[RecordError] | None = [] if options.skip_damaged else None
    frame = load_records(options.paths.runs, skipped=skipped, progress=True)
    for error in skipped or []:
        print(f"skipped: {error}", file=sys.stderr)
    chosen = frame
    for key in FILTERS:
        for name in options[key]:
            check_choice(key, name, frame[key].cat.categories)
        if options[key]:
            chosen = chosen[chosen[key].isin(list(options[key]))]
    if chosen.empty:
        asked = ", ".join(f"{key}={','.join(options[key])}" for key in FILTERS if options[key])
        raise ResultsError(f"no record in {options.paths.runs} has {asked} together")
    return chosen
