"""Hydra plugins for sweeps over thousands of jobs. Hydra imports them at every start, so keep their imports light."""
