"""`python -m bmdal`: what there is, and what to do first."""

from __future__ import annotations

import sys

HELP = """\
bmdal: which points should be labelled next? Batch active learning for regression.

First: `from bmdal import select, select_batch`. Then `help(select)` for features that you have, such as embeddings, and
`help(select_batch)` for a trained network, a forest or a list of models.

The benchmark has four commands, in a checkout after `pip install -e '.[harness]'`; each has a --help:
  python -m data_prep    show the data sets and prepare them; runs do it by themselves
  python -m benchmark    run methods on data sets; first: python -m benchmark dataset=friedman task.n_rounds=2
  python -m results      the tables of what has run
  python -m plots        its figures, and a report

Documentation: README.md and docs/ of the checkout. The paper: https://arxiv.org/abs/2203.09410
"""


def main(arguments: list[str]) -> int:
    """Print the help; gives the exit status, 2 for any other argument."""
    unknown = [argument for argument in arguments if argument not in ("-h", "--help")]
    if unknown:
        message = f"error: python -m bmdal takes no arguments but --help, got {' '.join(unknown)}; to run a method: "
        print(f"{message}python -m benchmark", file=sys.stderr)
        return 2
    print(HELP, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
