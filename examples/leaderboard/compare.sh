#!/bin/sh
# Runs the method of mine.py on the protocol of the leaderboard and shows where it ranks among the published methods.
#
#     sh examples/leaderboard/compare.sh
#
# The six runs take well under an hour on one core, plus the time to fetch the data sets. Completed runs are skipped.
set -eux
cd "$(dirname "$0")/../.."

python -m benchmark -m +experiment=lite 'imports=[examples.leaderboard.mine]' method=draw_grad_rp-512_train
python -m results table=leaderboard
