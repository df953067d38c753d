"""The benchmark: task and split, network, training, the active-learning loop, metrics, the command line."""

import cli as cli  # first: it looks after Ctrl-C while the rest is imported
