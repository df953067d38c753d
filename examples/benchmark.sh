#!/bin/sh
# The whole benchmark, from the data to the report, on generated data.
#
#     sh examples/benchmark.sh
#     sh examples/benchmark.sh 'splits=[0,1,2,3]' hydra/launcher=local    # arguments are passed to the sweep
#
# This uses two rounds and 64 epochs instead of 256 and takes about a minute on one core. If you stop it and start it
# again, it resumes where it stopped.
set -eux
cd "$(dirname "$0")/.."
set -- +experiment=quick experiment.name=example task.n_rounds=2 training.n_epochs=64 "$@"

python -m data_prep dataset=friedman                # runs also do this automatically
python -m benchmark -m "$@" dry_run=true            # estimate the time and memory
python -m benchmark -m "$@"
python -m benchmark.status "$@"                     # progress; also works during the sweep
python -m results experiment=example                # the table
python -m plots experiment=example                  # learning curves
python -m plots experiment=example report=true      # all figures and tables in one HTML file
