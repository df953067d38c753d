"""Every key with wrong values: each is taken, or refused with status 2 and one line that names the key."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from benchmark import __main__ as command
from benchmark import app
from benchmark.choices import check_values
from benchmark.errors import EXPECTED
from cli.options import CONF, OptionError, read_options
from cli.run import run_command
from data_prep import __main__ as data_command
from plots import __main__ as plots_command
from results import __main__ as results_command

pytestmark = pytest.mark.attacks
VALUES = (
    None, True, -1, 1e30, "x", "", "/", [], {}, [[1], {"a": 2}], math.inf, math.nan, 10**400, "${nope}", "???",
)  # fmt: skip
WRITTEN = (
    "null",
    "true",
    "-1",
    "1e30",
    "x",
    "''",
    "[]",
    "{}",
    "[[1],{a:2}]",
    "nan",
    "9" * 5000,
    "${nope}",
    "[a",
    "1,2",
)
CHOICES = (
    (),
    ("training=forest", "selection=maxdiag", "kernel=pred", "transform=none", "dataset=sgemm"),
    ("method=random", "dataset=fried"),
)


class TakenError(Exception):
    """What the configuration says would be run now."""


def keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in node:
        inner = node._get_node(key)
        yield f"{prefix}{key}"
        if isinstance(inner, DictConfig):
            yield from keys(inner, f"{prefix}{key}.")


def composed(choices: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("config", list(choices))


@pytest.fixture(autouse=True)
def _nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def take(*_: object) -> None:
        raise TakenError

    monkeypatch.setattr(app, "prepare", take)
    monkeypatch.setattr(app.torch, "set_num_threads", lambda n: None)
    monkeypatch.setenv("BMDAL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BMDAL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.chdir(tmp_path)
    yield
    assert not any(tmp_path.iterdir())


def refusal(run: Callable[[], int], capsys: pytest.CaptureFixture[str]) -> str:
    """The line with which something is refused, or "" if it is taken; any other end is an error here."""
    try:
        status = run_command([], None, lambda _: run(), EXPECTED)
    except TakenError:
        capsys.readouterr()
        return ""
    except SystemExit as error:
        status = int(error.code or 0)
    errors = capsys.readouterr().err
    assert status == 2, errors
    assert errors.startswith("error: "), errors
    assert errors.count("\n") == 1, errors
    return errors


def test_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    seen: set[str] = set()
    n_taken = 0
    for choices in CHOICES:
        config = composed(choices)
        for key in [key for key in keys(config) if key not in seen]:
            seen.add(key)
            for value in VALUES:
                shown = refusal(partial(run, with_value(config, key, value)), capsys)
                n_taken += not shown
                names = {word.replace("_target_", key.split(".")[0]) for word in key.split(".")}
                assert not shown or any(name in shown for name in names), f"{key}={value!r}: {shown}"
    assert len(seen) > 50
    assert n_taken > 20  # as null is for sigma and n_threads


def with_value(config: DictConfig, key: str, value: object) -> DictConfig:
    changed = config.copy()
    OmegaConf.set_struct(changed, False)
    OmegaConf.update(changed, key, value, merge=False)
    return changed


def run(config: DictConfig) -> int:
    check_values(config)
    app.run_config(config, [])
    return 0


TYPED = ("sigma", "paths.runs", "task.n_rounds")


@pytest.mark.parametrize("key", TYPED)
def test_as_typed(key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Through Hydra."""
    for value in WRITTEN:
        argument = f"{key}={value}"
        monkeypatch.setattr(sys, "argv", ["benchmark", argument])
        shown = refusal(partial(command._work, [argument]), capsys)
        assert not shown or key.rpartition(".")[2] in shown, f"{argument}: {shown}"


def test_as_swept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for argument in ("sigma=1,inf", "splits=[0],[-1]", "paths.runs=a,null"):
        monkeypatch.setattr(sys, "argv", ["benchmark", "-m", argument])
        shown = refusal(partial(command._work, ["-m", argument]), capsys)
        assert argument.partition("=")[0].partition(".")[2] in shown


@pytest.mark.parametrize("name", ["results", "plots", "data_prep", "benchmark.speed"])
def test_options_of_other_commands(name: str) -> None:
    """Only what is of the kind of the default is taken."""
    defaults = read_options(name, [])
    for key in keys(defaults):
        for value in WRITTEN:
            options = read_or_refuse(name, f"{key}={value}")
            if isinstance(options, OptionError):
                assert key in str(options)
                assert "\n" not in str(options)
            else:
                new, old = OmegaConf.select(options, key), OmegaConf.select(defaults, key)
                assert type(new) is type(old) or old is None, f"{key}={value}"


def read_or_refuse(name: str, argument: str) -> DictConfig | OptionError:
    try:
        return read_options(name, [argument])
    except OptionError as error:
        return error


@pytest.mark.parametrize("main", [results_command.main, plots_command.main, data_command.main])
def test_places(main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("paths.runs", "paths.figures", "paths.data", "output"):
        for value in ("/dev/null", "a" * 300, "12"):
            if (status := main([f"{key}={value}"])) != 0:
                errors = capsys.readouterr().err
                assert (status, errors[:7], errors.count("\n")) == (2, "error: ", 1), errors
