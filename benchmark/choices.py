"""Check the command line with better messages than Hydra's: the key, the value, and the valid and closest values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from benchmark.errors import BenchmarkError
from cli.options import OptionError, check_choice, one_line
from data_prep.catalog import check_name

MOST_THREADS = 1024


def check_sweep(arguments: Sequence[str]) -> None:
    """Raise BenchmarkError if an experiment is given without a plus or without -m, or if several are given."""
    for argument in arguments:
        if argument.startswith("experiment="):
            raise BenchmarkError(f"{argument}: add an experiment with a plus: python -m benchmark -m +{argument}")
    experiments = [argument for argument in arguments if argument.startswith("+experiment=")]
    if experiments and not {"-m", "--multirun"} & {*arguments}:
        raise BenchmarkError(f"an experiment is a sweep over many runs: python -m benchmark -m {experiments[0]}")
    if len(experiments) > 1 or any("," in argument for argument in experiments):
        raise BenchmarkError(f"one experiment at a time, got {' '.join(experiments)}")


def check_values(config: DictConfig) -> None:
    """Raise BenchmarkError for a setting of the wrong type. The settings of objects are checked when they are built.

    Raises OmegaConfBaseException, which names the key, for a missing value and for a ${...} that cannot be resolved.
    """
    for key in config.keys() - {"hydra"}:
        if OmegaConf.is_config(config[key]):
            OmegaConf.to_container(config[key], resolve=True, throw_on_missing=True)
    for keys, valid, fits in _VALUES:
        for key in keys:
            value = OmegaConf.select(config, key)
            if not fits(value):
                raise BenchmarkError(f"{key} must be {valid}, got {value!r}")


_VALUES: tuple[tuple[Sequence[str], str, Callable[[object], bool]], ...] = (
    (("overwrite", "dry_run"), "true or false", lambda value: isinstance(value, bool)),
    (
        ("device",),
        "auto, cpu, cuda or cuda:N",
        lambda value: isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) is not None,
    ),
    (
        ("n_threads",),
        f"null or 1 to {MOST_THREADS}",
        lambda value: value is None or (type(value) is int and 1 <= value <= MOST_THREADS),
    ),
    (("paths.data", "paths.runs"), "a string (put a number in double quotes)", lambda value: isinstance(value, str)),
    (("method",), "null or the name of a method", lambda value: isinstance(value, str | None)),
    (("experiment",), "a group of keys", lambda value: isinstance(value, DictConfig)),
    (("transform",), "null or a group of keys", lambda value: isinstance(value, DictConfig | None)),
    (
        ("imports",),
        "a list of modules",
        lambda value: (
            isinstance(value, str) or (isinstance(value, ListConfig) and all(isinstance(name, str) for name in value))
        ),
    ),
)


def check_choices(arguments: Sequence[str], conf: Path) -> None:
    """Raise OptionError if an argument cannot be read or names an option that its configuration group does not have.

    Args:
        arguments: command-line arguments, e.g. ["dataset=fried,sgemm", "-m"].
        conf: the configuration folder; its subfolders are the groups.
    """
    parser = OverridesParser.create()
    for argument in arguments:
        if argument.startswith("-"):
            continue
        try:
            override = parser.parse_override(argument)
        except (HydraException, ValueError) as error:
            raise OptionError(f"cannot read {argument!r}: {one_line(error)}") from error
        group = conf / argument.split("=")[0].lstrip("+")
        if not group.is_dir():
            continue
        valid = sorted(path.stem for path in group.glob("*.yaml"))
        choices = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for choice in map(str, choices):
            check_choice(group.name, choice, valid)
            if group.name == "dataset":
                check_name(group / f"{choice}.yaml")


def check_keys(arguments: Sequence[str], conf: Path) -> None:
    """Raise OptionError if an argument changes a key that the configuration does not have.

    Checks keys of one or two parts, such as `splits` and `training.n_epochs`; in a group, the keys of all its options
    are valid. Keys that are added (`+key=value`) or removed (`~key`) are left to Hydra.

    Args:
        arguments: command-line arguments.
        conf: the configuration folder.
    """
    config = OmegaConf.to_container(OmegaConf.load(conf / "config.yaml"))
    assert isinstance(config, dict)
    groups = [path.name for path in conf.iterdir() if path.is_dir()]
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        root, *inner = re.split(r"[.@/]", key)
        if not equals and argument[:1].isalpha():
            raise BenchmarkError(f"{argument!r} is not of the form key=value; --help lists the keys")
        if not equals or root in ("hydra", "") or not root[0].isalpha():
            continue
        check_choice("key", root, sorted({*config, *groups} - {"defaults", "hydra"}))
        if inner and "." in key:
            part = config.get(root)
            options = [part] if isinstance(part, dict) else [OmegaConf.load(f) for f in (conf / root).glob("*.yaml")]
            names = {f"{root}.{name!s}" for option in options for name in option if name != "_target_"}
            if names:
                check_choice("key", f"{root}.{inner[0]}", sorted(names))
