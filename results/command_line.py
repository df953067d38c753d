"""The `key=value` command lines of this package and of `plots`, in the syntax of Hydra overrides."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from results.errors import ResultsError
from results.load import load_records
from results.record import RecordError

CONF = Path(__file__).parent.parent / "conf"
FILTERS = ("experiment", "dataset", "task", "method")


def run_command(name: str, purpose: str, arguments: Sequence[str], work: Callable[[DictConfig], None]) -> int:
    """Read the options of `conf/<name>.yaml` with overrides and do the work; gives the exit status.

    `--help` prints the purpose and the option file itself, in which each option is explained. What the user got wrong
    is one line on stderr and status 2; Ctrl-C is status 130.
    """
    source = CONF / f"{name}.yaml"
    if {"-h", "--help"} & set(arguments):
        print(f"{purpose}\n\nUsage: python -m {name} [key=value ...]\n\n{source.read_text(encoding='utf-8')}")
        return 0
    try:
        work(_read_options(source, arguments))
    except (ResultsError, RecordError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _read_options(source: Path, arguments: Sequence[str]) -> DictConfig:
    defaults, options = OmegaConf.load(source), OmegaConf.load(source)
    assert isinstance(options, DictConfig)
    known = [key for key in options if key != "paths"] + ["paths." + key for key in options.paths]
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals:
            raise ResultsError(f"{argument!r} is not of the form key=value; `--help` lists the options")
        check_choice("option", key, known)
        try:
            options.merge_with_dotlist([argument])
            value = OmegaConf.select(options, key)
        except (OmegaConfBaseException, YAMLError) as error:
            raise ResultsError(f"cannot read {argument!r}: {str(error).splitlines()[0]}") from error
        _check_type(key, value, OmegaConf.select(defaults, key))
    return options


def _check_type(key: str, value: object, default: object) -> None:
    """Raise ResultsError for a value that is not of its default's type; names may also be lists or numbers."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ResultsError(f"{key} must be true or false, got {value!r}")
    elif key not in FILTERS and not isinstance(value, str) and (value is not None or default is not None):
        raise ResultsError(f"{key} must be one text (a number: in double quotes), got {value!r}")


def check_choice(kind: str, value: str, valid: Iterable[str]) -> str:
    """The value, if it is valid; otherwise a ResultsError with the nearest and all valid ones."""
    names = [str(name) for name in valid]
    if value in names:
        return value
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ResultsError(f"unknown {kind} {value!r}{hint}; valid: {', '.join(names)}")


def as_names(value: object) -> list[str]:
    """The names in an option: empty, one, `a,b` or `[a, b]`."""
    if value is None:
        return []
    items = value if OmegaConf.is_list(value) else str(value).split(",")
    return [str(item).strip() for item in items]  # type: ignore[attr-defined]


def load_chosen(options: DictConfig) -> pd.DataFrame:
    """The records that the options choose; damaged ones are named on stderr where the options skip them."""
    skipped: list[RecordError] | None = [] if options.skip_damaged else None
    frame = load_records(options.paths.runs, skipped=skipped, progress=True)
    for error in skipped or []:
        print(f"skipped: {error}", file=sys.stderr)
    return _filter(frame, options)


def _filter(frame: pd.DataFrame, options: DictConfig) -> pd.DataFrame:
    """The rows whose experiment, data set, task and method are among those asked for.

    Raises ResultsError for a name that no record has, and if nothing is left.
    """
    chosen = frame
    for key in FILTERS:
        names = as_names(options[key])
        for name in names:
            check_choice(key, name, frame[key].cat.categories)
        if names:
            chosen = chosen[chosen[key].isin(names)]
    if chosen.empty:
        asked = ", ".join(f"{key}={options[key]}" for key in FILTERS if options[key] is not None)
        raise ResultsError(f"no record in {options.paths.runs} has {asked} together")
    return chosen
