"""A better answer to a misspelt choice on the command line than Hydra's own: the nearest match."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from benchmark.errors import BenchmarkError


def check_sweep(arguments: Sequence[str]) -> None:
    """Raise BenchmarkError if an experiment is asked for as a single run, or several at once."""
    experiments = [argument for argument in arguments if argument.startswith("+experiment=")]
    if experiments and not {"-m", "--multirun"} & {*arguments}:
        raise BenchmarkError(f"an experiment is a sweep over many runs: python -m benchmark -m {experiments[0]}")
    if len(experiments) > 1 or any("," in argument for argument in experiments):
        raise BenchmarkError(f"one experiment at a time, got {' '.join(experiments)}")


def check_choices(arguments: Sequence[str], conf: Path) -> None:
    """Raise BenchmarkError if an argument chooses what a configuration group does not have.

    Args:
        arguments: command-line arguments, e.g. ["dataset=fried,sgemm", "-m"].
        conf: the configuration folder; its subfolders are the groups.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        group = conf / argument.split("=")[0].lstrip("+")
        if argument.startswith("-") or not group.is_dir():
            continue
        try:
            override = parser.parse_override(argument)
        except OverrideParseException:
            continue  # Hydra says what is wrong with it
        valid = sorted(path.stem for path in group.glob("*.yaml"))
        choices = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for choice in choices:
            if isinstance(choice, str) and choice not in valid:
                nearest = difflib.get_close_matches(choice, valid, n=1, cutoff=0.4)
                hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
                raise BenchmarkError(f"unknown {group.name} {choice!r}.{hint} Valid: {', '.join(valid)}")
