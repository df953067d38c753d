"""The network of the paper as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import fields, replace
from numbers import Real
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from bmdal.errors import BmdalError, unknown
from bmdal.regressor.stack import Activation, NetworkStack
from bmdal.regressor.training import Training, TrainingData, train

PAPER = {
    "relu": Training(),
    "silu": Training(activation="silu", sigma_w=0.5, sigma_b=1.0, learning_rate=0.15),
}
"""The two columns of arXiv 2203.09410, Section 5.1."""
CHUNK_SIZE = 8192
"""Points that are predicted at a time."""


class NetworkRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types there
    """The three-layer network of the paper, or an ensemble of them (arXiv 2203.09410, Section 5.1).

    d -> 512 -> 512 -> 1 in neural tangent parametrization, trained with Adam on the mean squared error of standardized
    targets, learning rate falling linearly to 0; the parameters of the epoch with the best validation RMSE are kept.
    Inputs become 5 tanh(z / 5), with z standardized by the points given to `fit`. Each of several outputs has networks
    of its own.

    Args:
        activation: "relu" or "silu".
        sigma_w: weight factor; None: the paper's for this activation.
        sigma_b: bias factor; None likewise.
        learning_rate: initial learning rate; None likewise.
        n_epochs: passes over the training points.
        batch_size: points in a step, or all if there are fewer.
        n_models: number of independently trained networks for an output; predictions are their mean.
        validation_fraction: part of the points, chosen at random, that decides which epoch was best and is not
            trained on, 0 <= fraction < 1. Where that is less than one point, the training points decide.
        random_state: seed or `numpy.random.RandomState`, source of the validation points, initial weights and shuffles.
        device: where to train and predict, e.g. "cpu" or "cuda:1"; None: a GPU if there is one.

    Attributes:
        networks_: the trained networks for the `models` of `select_batch`, `n_models` for the first output, then for
            the next (more than one: methods with "ens-N"). They take inputs as `fit` does, shape (n, d), and predict
            (y - y_mean_) / y_scale_, shape (n, 1).
        y_mean_: mean of the targets, shape () or (outputs,).
        y_scale_: their standard deviation, 1 for a constant target; same shape.
        validation_rmse_: best validation RMSE of each network in units of `y_scale_`, shape (len(networks_),).
        n_features_in_, feature_names_in_: as in scikit-learn.

    Raises BmdalError for a parameter that cannot be used or if the training diverges.
    """

    def __init__(
        self,
        activation: Activation = "relu",
        *,
        sigma_w: float | None = None,
        sigma_b: float | None = None,
        learning_rate: float | None = None,
        n_epochs: int = 256,
        batch_size: int = 256,
        n_models: int = 1,
        validation_fraction: float = 0.1,
        random_state: int | np.random.RandomState | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.activation = activation
        self.sigma_w = sigma_w
        self.sigma_b = sigma_b
        self.learning_rate = learning_rate
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.n_models = n_models
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the networks.

        Args:
            X: inputs, shape (n, d).
            y: targets, shape (n,) or (n, outputs).
        """
        training = self._training()
        points, targets = validate_data(self, X, y, dtype=[np.float64, np.float32], multi_output=True, y_numeric=True)
        random = check_random_state(self.random_state)
        order = random.permutation(len(points))
        n_valid = int(self.validation_fraction * len(points))
        valid, rest = (order[:n_valid], order[n_valid:]) if n_valid else (order, order)

        device = self._device()
        # In rows: the layout of a table decides how sums are rounded.
        scaling = InputScaling(*_mean_and_scale(np.ascontiguousarray(points, dtype=np.float64))).to(device)
        inputs = scaling(torch.tensor(points, device=device))
        self.y_mean_, self.y_scale_ = _mean_and_scale(targets.astype(np.float64))
        outputs = torch.tensor((targets - self.y_mean_) / self.y_scale_, dtype=torch.float32, device=device)
        data = [
            TrainingData(inputs[rest], output[rest], inputs[valid], output[valid])
            for output in outputs.reshape(len(points), -1).unbind(dim=1)
            for _ in range(self.n_models)
        ]
        generators = [torch.Generator().manual_seed(int(random.randint(2**31 - 1))) for _ in data]
        initial = (training.activation, training.sigma_w, training.sigma_b, generators)
        stack = NetworkStack(points.shape[1], *initial, device)
        self.validation_rmse_ = train(stack, data, training, generators).cpu().numpy()
        if not np.isfinite(self.validation_rmse_).all():
            raise BmdalError(
                "the training diverged, its error became NaN or infinite: use a learning_rate below "
                f"{training.learning_rate} and check inputs and targets for extreme values"
            )
        self.networks_ = [nn.Sequential(scaling, _apart(stack.network(k))).eval() for k in range(len(stack))]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean of the networks' predictions, shape (n,) or (n, outputs), as the targets had it."""
        check_is_fitted(self)
        points = torch.tensor(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))
        outputs = np.stack([_predictions(network, points) for network in self.networks_])  # shape: (networks, n)
        means = outputs.reshape(np.size(self.y_mean_), -1, len(points)).mean(axis=1).T  # shape: (n, outputs)
        predictions: NDArray[np.float64] = self.y_mean_ + self.y_scale_ * means.reshape(-1, *self.y_mean_.shape)
        return predictions

    def _training(self) -> Training:
        if self.activation not in PAPER:
            raise BmdalError(unknown("activation", str(self.activation), PAPER))
        if not isinstance(self.n_models, int | np.integer) or self.n_models < 1:
            raise BmdalError(f"n_models must be an integer of at least 1, got {self.n_models!r}")
        fraction = self.validation_fraction
        if not (isinstance(fraction, Real) and 0 <= float(fraction) < 1):
            raise BmdalError(f"validation_fraction must be at least 0 and less than 1, got {fraction!r}")
        given = {f.name: getattr(self, f.name) for f in fields(Training) if getattr(self, f.name) is not None}
        return replace(PAPER[self.activation], **given)

    def _device(self) -> torch.device:
        has_gpu = torch.cuda.is_available()
        try:
            return torch.device(self.device or ("cuda" if has_gpu else "cpu"))
        except RuntimeError:
            valid = "cpu, cuda, cuda:0, ..." if has_gpu else "cpu"
            raise BmdalError(f"device={self.device!r} is unknown; valid here: {valid}") from None


class InputScaling(nn.Module):
    """x -> 5 tanh(z / 5), z = (x - mean) / scale (arXiv 2203.09410, Section 5.1).

    Args:
        mean: shape (d,).
        scale: shape (d,).
    """

    def __init__(self, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        # In float64, also the mean: where it is large, float32 would leave little of what the points differ in.
        z = (x.double() - self.mean) / self.scale
        return (5 * torch.tanh(z / 5)).to(self.scale.dtype)


def _mean_and_scale(values: NDArray[np.float64]) -> tuple[Any, Any]:
    """Mean and standard deviation (Bessel-corrected; 1 where all values are the same) over the points."""
    std = values.std(axis=0, ddof=min(1, len(values) - 1))
    return values.mean(axis=0), np.where(np.ptp(values, axis=0) > 0, np.maximum(std, np.finfo(np.float32).tiny), 1.0)


def _apart(network: nn.Sequential) -> nn.Sequential:
    """The network with memory of its own; what shares it with a stack is pickled with the whole stack."""
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    return network


@torch.no_grad()
def _predictions(network: nn.Module, X: Tensor) -> NDArray[np.float64]:
    """Outputs in float64, so that they do not depend on which points are predicted together; shape (n,)."""
    state = {name: t.double() for name, t in network.state_dict().items()}
    device = next(iter(state.values())).device
    parts = [torch.func.functional_call(network, state, (part.to(device),)) for part in torch.split(X, CHUNK_SIZE)]
    predictions: NDArray[np.float64] = torch.cat(parts).flatten().cpu().numpy()
    return predictions
