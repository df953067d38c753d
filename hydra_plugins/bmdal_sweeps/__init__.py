"""Plugins of Hydra for sweeps over thousands of jobs. Hydra imports them at each start: keep their imports light."""
