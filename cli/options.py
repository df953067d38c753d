"""Options of the form `key=value`, documented in one YAML file, and suggestions for misspelt words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

CONF = Path(__file__).parent.parent / "conf"


class OptionError(ValueError):
    """An argument is invalid; the message names it and the valid ones."""


def describe_options(name: str, purpose: str) -> str:
    """Return the help text of a command: its purpose and its option file, `conf/<last part of name>.yaml`."""
    return (
        f"{purpose.strip()}\n\nUsage: python -m {name} [key=value ...]\n\n{_source(name).read_text(encoding='utf-8')}"
    )


def read_options(name: str, arguments: Sequence[str]) -> DictConfig:
    """Read the options in `conf/<last part of name>.yaml` and apply arguments of the form `key=value`.

    A value must have the type of its default: true or false, a whole number of at least 1 (or 0 if that is the
    default), or a string (or null if that is the default). If the default is a list, the value is a list, written a,b
    or [a, b], of strings if the default is empty and of whole numbers otherwise.

    Raises OptionError for a value of another type, or for an unknown key, with the closest known one.
    """
    defaults = OmegaConf.load(_source(name))
    assert isinstance(defaults, DictConfig)
    options = defaults.copy()
    known = [key for key in options if key != "paths"] + ["paths." + key for key in options.paths]
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals:
            raise OptionError(f"{argument!r} is not of the form key=value; --help lists the options")
        check_choice("option", key, known)
        try:
            options.merge_with_dotlist([argument])
            value, default = OmegaConf.select(options, key), OmegaConf.select(defaults, key)
        except (OmegaConfBaseException, YAMLError, ValueError) as error:
            raise OptionError(f"cannot read {argument!r}: {one_line(error)}") from error
        OmegaConf.update(options, key, _checked(key, value, default), merge=False)
    return options


def _source(name: str) -> Path:
    return CONF / f"{name.rpartition('.')[2]}.yaml"


def _checked(key: str, value: object, default: object) -> object:
    if isinstance(default, ListConfig):
        return _items(key, value, numbers=len(default) > 0)
    if isinstance(default, bool):
        fits, kind = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        fits, kind = type(value) is int and value >= min(default, 1), f"a whole number of at least {min(default, 1)}"
    else:
        fits = isinstance(value, str) or value is default is None
        kind = "a string (put a number in double quotes)"
    if not fits:
        raise OptionError(f"{key} must be {kind}, got {value!r}")
    return value


def _items(key: str, value: object, *, numbers: bool) -> list[str] | list[int]:
    """Return the items of a list given as nothing, one item, `a,b` or `[a, b]`."""
    items = list(value) if isinstance(value, ListConfig) else [] if value is None else str(value).split(",")
    texts = [str(item).strip() for item in items]
    if not numbers:
        return texts
    if not texts or not all(text.isdecimal() and int(text) for text in texts):
        raise OptionError(f"{key} must be whole numbers of at least 1, written a,b or [a, b], got {value!r}")
    return [int(text) for text in texts]


def check_choice(kind: str, value: str, valid: Iterable[str]) -> str:
    """Return the value if it is valid; otherwise raise OptionError with the closest and all valid values."""
    names = [str(name) for name in valid]
    if value not in names:
        raise OptionError(unknown(kind, value, names))
    return value


def unknown(kind: str, value: str, valid: Iterable[str]) -> str:
    """Return the error message for an unknown name, with the closest match and all valid names."""
    names = list(valid)
    return f"unknown {kind} {value!r}.{did_you_mean(value, names)} Valid: {', '.join(names)}"


def did_you_mean(value: str, valid: Iterable[str]) -> str:
    """Return " Did you mean ...?" with the closest match, or an empty string if nothing is close."""
    nearest = difflib.get_close_matches(str(value), list(valid), n=1, cutoff=0.4)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def one_line(error: BaseException) -> str:
    """Return the first line of an OmegaConf or Hydra error, prefixed with the key that it is about."""
    key = getattr(error, "full_key", None)
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return f"{key}: {text}" if key else text
