"""The network of the paper as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
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
from bmdal.regressor.scaling import InputScaling, Spread, check_targets
from bmdal.regressor.stack import Activation, NetworkStack
from bmdal.regressor.training import Training, TrainingData, train

PAPER = {
    "relu": Training(),
    "silu": Training(activation="silu", sigma_w=0.5, sigma_b=1.0, learning_rate=0.15),
}
"""The two columns of arXiv 2203.09410, Section 5.1."""
CHUNK_SIZE = 8192
"""Number of points predicted at a time."""
VALIDATION_WEIGHT = 2
"""Weight of a validation point relative to a training point when the best epoch is chosen."""


class NetworkRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # no types there
    """The three-layer network of the paper, or an ensemble of them (arXiv 2203.09410, Section 5.1).

    The network d -> 512 -> 512 -> 1 in neural tangent parametrization is trained with Adam on the mean squared error of
    standardized targets, with a learning rate that decreases linearly to 0; the parameters of the best epoch are kept.
    Inputs are transformed to 5 tanh(z / 5), where z is standardized over the points given to `fit`, so the units of
    inputs and targets do not matter. Each output has its own networks.

    Args:
        activation: "relu" or "silu".
        sigma_w: weight factor; None: the paper's for this activation.
        sigma_b: bias factor; None: the paper's for this activation.
        learning_rate: initial learning rate; None: the paper's for this activation.
        n_epochs: number of passes over the training points.
        batch_size: number of points per step, or all points if there are fewer.
        n_models: number of independently trained networks per output; predictions are their mean.
        validation_fraction: fraction of the points that a network is not trained on, 0 <= fraction < 1, drawn
            separately for each network. The best epoch is the one with the smallest mean squared error on these points
            and as many training points, which have half the weight. If there would be fewer than two validation points,
            the training points are used instead.
        random_state: seed or `numpy.random.RandomState` for validation points, initial weights and shuffles.
        device: where to train and predict, e.g. "cpu" or "cuda:1"; None: a GPU if there is one.

    Attributes:
        networks_: the trained networks, to be passed to `select_batch` as `models`; first the `n_models` networks of
            the first output, then those of the next (with several networks, use methods with "ens-N"). They take inputs
            of shape (n, d) like `fit` and predict (y - y_mean_) / y_scale_, shape (n, 1).
        y_mean_: mean of the targets, shape () or (outputs,).
        y_scale_: standard deviation of the targets, same shape; 1 for a constant target, which is predicted exactly.
        validation_rmse_: RMSE of each network on its validation points in units of `y_scale_`, shape
            (len(networks_),).
        n_features_in_, feature_names_in_: as in scikit-learn.

    Raises BmdalError for a parameter that cannot be used, if the training diverges, for masked arrays, dates and
    records, and for targets that only differ by rounding or exceed +-1e300. An input that only differs by rounding
    counts as constant. For other values that are not numbers, scikit-learn raises its own errors.
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
        validation_fraction: float = 0.2,
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
        device = self._device()
        _check_numbers("y", y)
        points, targets = _validated(self, X, y, multi_output=True, y_numeric=True)
        check_targets(targets)
        random = check_random_state(self.random_state)
        of_inputs, of_targets = Spread.of(points), Spread.of(targets)
        inputs = InputScaling(of_inputs).to(device)(torch.tensor(points, device=device))
        self.y_mean_, self._y_std = of_targets.unit * of_targets.mean, of_targets.unit * of_targets.std
        self.y_scale_ = np.where(of_targets.same, 1.0, self._y_std)
        outputs = torch.tensor(of_targets.standardized(targets), dtype=torch.float32, device=device)
        share = int(self.validation_fraction * len(points))
        n_valid = share if share > 1 else 0
        data = [
            _training_data(inputs, column, random.permutation(len(points)), n_valid)
            for column in outputs.reshape(len(points), -1).unbind(dim=1)
            for _ in range(self.n_models)
        ]
        generators = [torch.Generator().manual_seed(int(random.randint(2**31 - 1))) for _ in data]
        initial = (training.activation, training.sigma_w, training.sigma_b, generators)
        stack = NetworkStack(points.shape[1], *initial, device)
        scores = train(stack, data, training, generators)
        if not bool(torch.isfinite(scores).all()):
            raise BmdalError(
                "the training diverged: its error became NaN or infinite; use a learning_rate below "
                f"{training.learning_rate} and check inputs and targets for extreme values"
            )
        self.validation_rmse_ = _validation_rmse(stack, data, n_valid or len(points))
        networks = [_apart(stack.network(k)) for k in range(len(stack))]
        self.networks_ = [nn.Sequential(InputScaling(of_inputs).to(device), net).eval() for net in networks]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Mean of the networks' predictions, shape (n,) or (n, outputs), like the targets."""
        check_is_fitted(self)
        points = torch.tensor(_validated(self, X, reset=False))
        outputs = np.stack([_predictions(network, points) for network in self.networks_])  # shape: (networks, n)
        means = outputs.reshape(np.size(self.y_mean_), -1, len(points)).mean(axis=1).T  # shape: (n, outputs)
        predictions: NDArray[np.float64] = self.y_mean_ + self._y_std * means.reshape(-1, *self.y_mean_.shape)
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


def _validated(estimator: BaseEstimator, X: Any, *y: Any, **options: bool) -> Any:
    """X, or X and y, as validated by scikit-learn; X is in row-major order and float32 or float64."""
    _check_numbers("X", X)
    with np.errstate(over="ignore", invalid="ignore"):  # its check sums numbers of any size
        return validate_data(estimator, X, *y, dtype=[np.float64, np.float32], order="C", **options)


def _check_numbers(name: str, table: Any) -> None:
    """Raise BmdalError for what scikit-learn silently treats as numbers: masked arrays, dates, records, sparse y."""
    if isinstance(table, np.ma.MaskedArray):
        raise BmdalError(f"{name} is a masked array: leave out or fill in the masked values, and pass a plain array")
    if isinstance(table, list | tuple):
        for item in table:
            _check_numbers(name, item)
    dtypes = getattr(table, "dtypes", getattr(table, "dtype", None))
    for dtype in () if dtypes is None else np.atleast_1d(dtypes):
        if getattr(dtype, "kind", "f") in ("m", "M", "V"):
            raise BmdalError(f"{name} must hold numbers, but has values of dtype {dtype}; convert them to numbers")
    if name == "y" and hasattr(table, "toarray"):
        raise BmdalError("y is sparse: pass y.toarray()")


def _training_data(X: Tensor, y: Tensor, order: NDArray[np.int64], n_valid: int) -> TrainingData:
    """The points of one network, which is not trained on the first n_valid points in `order`.

    The best epoch is chosen by the validation points, each with weight VALIDATION_WEIGHT, and as many training points.
    With validation points alone, a single outlier can make a network that has hardly been trained look best; such a
    network is bad on its training points. Of 375 networks for 200 or 300 points of diamonds, fried, sgemm and a noisy
    fried, none had 1.5 times the median test RMSE, compared with 3 if only a tenth of the points was used to choose
    the epoch; the medians differ by -3% to +3%.
    """
    if not n_valid:
        return TrainingData(X, y, X, y)
    valid, rest = order[:n_valid], order[n_valid:]
    judges = np.concatenate([np.tile(valid, VALIDATION_WEIGHT), rest[:n_valid]])
    return TrainingData(X[rest], y[rest], X[judges], y[judges])


@torch.no_grad()
def _validation_rmse(stack: NetworkStack, data: Sequence[TrainingData], n_valid: int) -> NDArray[np.float32]:
    """RMSE of each network of the stack on its validation points, shape (m,)."""
    X, y = torch.stack([d.X_valid[:n_valid] for d in data]), torch.stack([d.y_valid[:n_valid] for d in data])
    rmse: NDArray[np.float32] = (stack(X) - y).square().mean(dim=1).sqrt().cpu().numpy()
    return rmse


def _apart(network: nn.Sequential) -> nn.Sequential:
    """The network with its own memory; views of a stack would be pickled together with the whole stack."""
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    return network


@torch.no_grad()
def _predictions(network: nn.Module, X: Tensor) -> NDArray[np.float64]:
    """Outputs, shape (n,), in float64, so that they do not depend on which points are predicted together."""
    state = {name: t.double() for name, t in network.state_dict().items()}
    device = next(iter(state.values())).device
    parts = [torch.func.functional_call(network, state, (part.to(device),)) for part in torch.split(X, CHUNK_SIZE)]
    predictions: NDArray[np.float64] = torch.cat(parts).flatten().cpu().numpy()
    return predictions
