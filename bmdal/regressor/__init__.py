"""The three-layer network of the paper: stacks of networks that are trained together, and a scikit-learn estimator."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train

if TYPE_CHECKING:
    from bmdal.regressor.estimator import NetworkRegressor
    from bmdal.regressor.gain import Gain, simulate_gain

__all__ = ["Gain", "NetworkRegressor", "NetworkStack", "Training", "TrainingData", "simulate_gain", "train"]
_NEED_SKLEARN = {"NetworkRegressor": "estimator", "Gain": "gain", "simulate_gain": "gain"}


def __getattr__(name: str) -> Any:
    """Import what needs scikit-learn on first access."""
    if name not in _NEED_SKLEARN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(f"bmdal.regressor.{_NEED_SKLEARN[name]}")
    except ModuleNotFoundError as error:
        message = f"{name} needs scikit-learn: pip install 'bmdal[sklearn]' ({error})"
        raise ModuleNotFoundError(message) from None
    return getattr(module, name)
