"""Looking into a trained network without changing it."""
