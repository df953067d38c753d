"""`python -m bmdal`: an overview of the library and the commands; with `suggest`, the rows of a table to label."""

from __future__ import annotations

import sys
from collections.abc import Sequence

HELP = """\
bmdal: which points should be labelled next? Batch active learning for regression.

Two tables in, the rows to label out, without Python code; needs `pip install 'bmdal[table]'`:
  python -m bmdal suggest labelled.csv candidates.csv --target price --batch 50
  python -m bmdal suggest --help

In Python. First: `from bmdal import select, select_batch, suggest`. Then see `help(select)` if you have features, such
as embeddings, `help(select_batch)` if you have a trained network, a forest or a list of models, and `help(suggest)` if
you have tables.

The benchmark has four commands. They need a checkout and `pip install -e '.[harness]'`; each has a --help:
  python -m data_prep    list the data sets and prepare them; runs also do this automatically
  python -m benchmark    run methods on data sets; to start: python -m benchmark dataset=friedman task.n_rounds=2
  python -m results      print tables of the results
  python -m plots        draw figures, or write a report

Documentation: README.md and docs/ in the checkout. The paper: https://arxiv.org/abs/2203.09410
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 2 for arguments that are none."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["suggest"]:
        return _suggest(arguments[1:])
    unknown = [argument for argument in arguments if argument not in ("-h", "--help")]
    if unknown:
        message = f"python -m bmdal takes no arguments other than suggest ... and --help, got {' '.join(unknown)}"
        print(f"error: {message}; to run a method: python -m benchmark", file=sys.stderr)
        return 2
    print(HELP, end="")
    return 0


def _suggest(arguments: Sequence[str]) -> int:
    try:
        from bmdal.suggestion.command import run
    except ModuleNotFoundError as error:
        print(f"error: suggest needs more packages ({error}): pip install 'bmdal[table]'", file=sys.stderr)
        return 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
