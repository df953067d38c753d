#!/bin/sh
# Benchmark on your own CSV file: one YAML file and no code.
#
#     sh examples/own_dataset/run.sh
#     sh examples/own_dataset/run.sh 'splits=[0,1,2,3]' training.n_epochs=256    # arguments are passed to the sweep
#
# This uses a small task and 40 epochs instead of 256 and takes about a minute on one core. The table shows this data
# set and the generated one. `rm conf/dataset/texas_housing.yaml` removes the data set again.
set -eux
cd "$(dirname "$0")/../.."

cp examples/own_dataset/texas_housing.yaml conf/dataset/
python -m data_prep dataset=texas_housing

python -m benchmark -m experiment.name=own_dataset dataset=friedman,texas_housing \
    task.n_initial=64 task.n_valid=256 task.batch_size=64 task.n_rounds=4 'splits=[0,1]' training.n_epochs=40 \
    method=random,maxdist-tp_grad_rp-512,lcmd-tp_grad_rp-512 "$@"

python -m results experiment=own_dataset table=per_dataset
