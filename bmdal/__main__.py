"""`python -m bmdal`: an overview of the library and the commands."""

from __future__ import annotations

import sys

HELP = """\
bmdal: which points should be labelled next? Batch active learning for regression.

First: `from bmdal import select, select_batch`. Then see `help(select)` if you have features, such as embeddings, and
`help(select_batch)` if you have a trained network, a forest or a list of models.

The benchmark has four commands. They need a checkout and `pip install -e '.[harness]'`; each has a --help:
  python -m data_prep    list the data sets and prepare them; runs also do this automatically
  python -m benchmark    run methods on data sets; to start: python -m benchmark dataset=friedman task.n_rounds=2
  python -m results      print tables of the results
  python -m plots        draw figures, or write a report

Documentation: README.md and docs/ in the checkout. The paper: https://arxiv.org/abs/2203.09410
"""


def main(arguments: list[str]) -> int:
    """Print the help and return the exit status, which is 2 for any argument other than --help."""
    unknown = [argument for argument in arguments if argument not in ("-h", "--help")]
    if unknown:
        message = (
            f"error: python -m bmdal takes no arguments other than --help, got {' '.join(unknown)}; to run a method: "
        )
        print(f"{message}python -m benchmark", file=sys.stderr)
        return 2
    print(HELP, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
