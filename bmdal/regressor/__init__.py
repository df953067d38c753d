"""The three-layer network of the paper: stacks of networks that are trained together, and a scikit-learn estimator."""

from typing import TYPE_CHECKING, Any

from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train

if TYPE_CHECKING:
    from bmdal.regressor.estimator import NetworkRegressor

__all__ = ["NetworkRegressor", "NetworkStack", "Training", "TrainingData", "train"]


def __getattr__(name: str) -> Any:
    """Import `NetworkRegressor` on first access, because only it needs scikit-learn."""
    if name != "NetworkRegressor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from bmdal.regressor.estimator import NetworkRegressor
    except ModuleNotFoundError as error:
        message = f"NetworkRegressor needs scikit-learn: pip install 'bmdal[sklearn]' ({error})"
        raise ModuleNotFoundError(message) from None
    return NetworkRegressor
