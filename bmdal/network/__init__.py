"""Features of a trained network, computed on private copies of it."""
