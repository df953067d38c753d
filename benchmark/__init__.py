"""The benchmark: tasks and splits, training, the active-learning loop, metrics, and the command line."""

import cli as cli  # first, because it handles Ctrl-C while the rest is imported
