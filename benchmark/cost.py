"""The seconds of a run on a device without records: from its bandwidth, its arithmetic speed, and kernel launches."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmark.job import Job
from benchmark.loop import SPLITS_AT_ONCE
from benchmark.speed.measure import bandwidth, matmul_peak
from bmdal.regressor.stack import WIDTHS
from bmdal.regressor.training import Training
from data_prep import Expected

LAUNCH_SECONDS = 4e-6
"""From one small kernel to the next, on a GPU or a CPU."""
STEP_LAUNCHES, PICK_LAUNCHES = 35, 18
"""Kernels of a training step of any number of networks, and of one selected point."""
TRAINING_SHARE, FEATURES_SHARE = {"cpu": 0.7, "cuda": 0.3}, {"cpu": 0.35, "cuda": 0.25}
"""Of the speed of a large matrix product, what the products of a training step and of features reach."""
PASSES = {"maxdiag": 0, "power": 0, "bait-fb": 2}
"""Passes over the features for each selected point, where it is not one."""
FEATURES_SECONDS, ROUND_SECONDS = 0.04, 0.03
"""For anything small: checks of the networks before their features; predictions, splits and records of a round."""


@dataclass(frozen=True)
class Speed:
    """Of a device: bytes per second that a product with a vector reads, and operations per second of a large one."""

    bandwidth: float
    peak: float

    @classmethod
    def of(cls, device: torch.device) -> Speed:
        """Measure it, within a second."""
        large = device.type == "cuda"
        return cls(bandwidth(device, 0.8 if large else 0.1), matmul_peak(device, 4096 if large else 1024))

    def run_seconds(
        self, job: Job, training: Training, size: Expected, columns: int, item: int, device_type: str
    ) -> float:
        """Return the estimated seconds of one run of a job, beside as many others as a device takes at once.

        A step of m networks takes STEP_LAUNCHES launches and 6 m P operations for each point, P being the parameters
        of a network; features take 2 operations for each parameter and each number of a sketch, forwards and backwards;
        a selected point takes PICK_LAUNCHES launches and one pass over the features (bait-fb two).

        Args:
            job: whose run it is.
            training: of its networks.
            size: of its data set.
            columns: number of values for each pool point.
            item: bytes of each.
            device_type: "cuda" or "cpu".
        """
        task, models, together = job.task, job.method.n_models, min(SPLITS_AT_ONCE[device_type], len(job.splits))
        d, (w1, w2) = size.features, WIDTHS
        n_parameters = d * w1 + w1 * w2 + w2
        points = [task.n_initial + r * task.batch_size + task.n_valid / 3 for r in range(task.n_rounds + 1)]
        n_points = training.n_epochs * sum(points)
        at_once = together if device_type == "cuda" else 1 / models  # networks that share launches
        train = models * n_points * 6 * n_parameters / (TRAINING_SHARE[device_type] * self.peak)
        train += n_points / training.batch_size * STEP_LAUNCHES * LAUNCH_SECONDS / at_once
        rest = ROUND_SECONDS * (task.n_rounds + 1)
        if job.method.kernel is None:
            return train + rest
        operations = 2 * (2 * n_parameters + columns * (d + 2 * w1 + 2 * w2 + 1)) * models
        features = FEATURES_SECONDS + size.pool * operations / (FEATURES_SHARE[device_type] * self.peak)
        picks = task.batch_size * PASSES.get(job.method.selection.name, 1)
        selection = picks * (PICK_LAUNCHES * LAUNCH_SECONDS + size.pool * columns * item / self.bandwidth)
        return train + task.n_rounds * (features + selection) + rest
