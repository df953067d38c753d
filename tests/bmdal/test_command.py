"""`python -m bmdal`."""

from __future__ import annotations

import pytest

from bmdal.__main__ import main

COMMANDS = ("data_prep", "benchmark", "results", "plots")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_names_the_commands_and_what_to_do_first(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    for word in ("First:", "select_batch", "README.md", *(f"python -m {name}" for name in COMMANDS)):
        assert word in shown


def test_other_arguments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset=sgemm"]) == 2
    assert "takes no arguments other than suggest ... and --help, got dataset=sgemm" in capsys.readouterr().err
