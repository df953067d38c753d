"""Base kernels: functions from a network and points to features."""

from bmdal.kernels.base import BaseKernel, Traits
from bmdal.kernels.gradient import Gradient
from bmdal.kernels.last_layer import LastLayer
from bmdal.kernels.linear import Linear
from bmdal.kernels.nngp import NNGP
from bmdal.kernels.predictions import Predictions
from bmdal.network.network import Network

__all__ = ["NNGP", "BaseKernel", "Gradient", "LastLayer", "Linear", "Network", "Predictions", "Traits"]
