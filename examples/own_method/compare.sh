#!/bin/sh
# From checking your own components to a table that compares them with random selection and the paper's method.
#
#     sh examples/own_method/compare.sh
#     sh examples/own_method/compare.sh 'splits=[0,1,2,3]' training.n_epochs=256    # arguments are passed to the sweep
#
# This uses 64 epochs instead of 256 on two splits of generated data and takes about a minute on one core. For a
# reliable comparison, use more data sets, splits and rounds, as in `-m +experiment=mini`. Completed runs are skipped.
set -eux
cd "$(dirname "$0")/../.."

python examples/own_method/check.py

python -m benchmark -m 'imports=[examples.own_method.components]' experiment.name=own_method \
    dataset=friedman task.n_rounds=2 'splits=[0,1]' training.n_epochs=64 \
    method=random,lottery_grad_rp-512_train,lcmd-tp_quadratic_rp-512,lcmd-tp_grad_rp-512_pca-32,lcmd-tp_grad_rp-512 "$@"

python -m results experiment=own_method
python -m results experiment=own_method table=paired reference=lcmd-tp_grad_rp-512
