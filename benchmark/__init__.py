"""The benchmark: task and split, network, training, the active-learning loop, metrics, the command line."""
