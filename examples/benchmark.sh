#!/bin/sh
# The benchmark from the data to the report, on generated data.
#
#     sh examples/benchmark.sh
#     sh examples/benchmark.sh 'splits=[0,1,2,3]' hydra/launcher=local    # arguments go to the sweep
#
# Two rounds and 64 epochs instead of 256: about a minute on one core. Stop it and start it again as you like: it goes on
# where it was.
set -eux
cd "$(dirname "$0")/.."
set -- +experiment=quick experiment.name=example task.n_rounds=2 training.n_epochs=64 "$@"

python -m data_prep dataset=friedman                # runs do it by themselves, too
python -m benchmark -m "$@" dry_run=true            # what will it take?
python -m benchmark -m "$@"
python -m benchmark.status "$@"                     # how far it has got; also while it runs
python -m results experiment=example                # the table
python -m plots experiment=example                  # learning curves
python -m plots experiment=example report=true      # all figures and tables in one HTML file
