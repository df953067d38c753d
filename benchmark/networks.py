"""The paper's networks, trained anew in every round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.model import Fitted, Model, OnShare, Predict
from benchmark.randomness import generator
from bmdal import IncompatibleError, Method
from bmdal.kernels import Predictions
from bmdal.regressor.stack import WIDTHS, NetworkStack
from bmdal.regressor.training import Training, TrainingData, train


@dataclass(frozen=True)
class Networks(Training, Model):
    """Networks with the settings of `Training`, one or an ensemble for each split; all are trained in one stack."""

    repeated = "n_epochs"
    cpu_only = False

    @property
    def network(self) -> Training:
        """The settings themselves."""
        return self

    def check_method(self, method: Method) -> None:
        """Raise IncompatibleError for the kernel `pred`, which needs members."""
        if isinstance(method.kernel, Predictions):
            raise IncompatibleError(
                f"method {method.name!r}: 'pred' compares the members of training=forest or training=lightgbm; a "
                "network needs one of the kernels linear, nngp, ll, grad"
            )

    def columns(self, method: Method, n_inputs: int) -> int:
        """Return the size of the sketch or, without one, of the factors of the kernel's features."""
        sketched = [n for t in method.transformations if (n := getattr(t, "n_features", None))]
        factored = {"linear": n_inputs, "nngp": n_inputs, "ll": WIDTHS[-1] + 1, "grad": n_inputs + 2 * sum(WIDTHS)}
        kernel = method.kernel.name if method.kernel else ""
        return max(sketched, default=method.n_models * factored.get(kernel, n_inputs))

    def fit(
        self, splits: Sequence[int], round_: int, points: Sequence[TrainingData], n_models: int, on_share: OnShare
    ) -> list[Fitted]:
        """Train `n_models` networks for each split. Raises BenchmarkError if the training of one diverges."""
        numbers = [(split, member) for split in splits for member in range(n_models)]
        data = [own for own in points for _ in range(n_models)]
        stack = NetworkStack(
            n_inputs=data[0].X.shape[1],
            activation=self.activation,
            sigma_w=self.sigma_w,
            sigma_b=self.sigma_b,
            generators=[generator(split, round_, "initialization", member) for split, member in numbers],
            device=data[0].X.device,
        )
        shuffles = [generator(split, round_, "shuffling", member) for split, member in numbers]

        def on_epoch(epoch: int) -> None:
            on_share(1 / self.n_epochs, f", epoch {epoch}/{self.n_epochs}")

        best_rmse = train(stack, data, self, shuffles, on_epoch)
        for (split, _), rmse in zip(numbers, best_rmse.tolist(), strict=True):
            if not np.isfinite(rmse):
                raise BenchmarkError(
                    f"split {split}, round {round_}: training diverged, the validation error was never finite; "
                    f"training.learning_rate={self.learning_rate} may be too large"
                )
        networks = [stack.network(k) for k in range(len(stack))]
        groups = [networks[start : start + n_models] for start in range(0, len(networks), n_models)]
        return [Fitted(group, [_only_output(network) for network in group]) for group in groups]


def _only_output(network: nn.Module) -> Predict:
    """Return a function (n, d) -> (n,) for a network that maps (n, d) to (n, 1)."""
    return lambda X: network(X)[:, 0]
