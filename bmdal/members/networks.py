"""Networks as members, in float64 if possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from bmdal.errors import BmdalError
from bmdal.inputs import may_cast
from bmdal.network.call import Call
from bmdal.network.network import Function, Network
from bmdal.tables import as_tensor


def as_network(name: str, model: nn.Module, few: Any, call: Call) -> tuple[Network, Function]:
    """A checked network, and the same network as a function, in float64 if it accepts that."""
    points = as_tensor("the points", few)
    network = Network(model, points, may_cast(few, points), call)
    try:
        return network, network.precise[0]
    except BmdalError as error:
        raise BmdalError(f"{name}: {error}") from error


def outputs_of(network: Network, function: Callable[[Tensor], Tensor], X: Any) -> Tensor:
    points = network.inputs(as_tensor("the points", X)).to(network.precise[1].dtype)
    assert isinstance(points, Tensor)
    if isinstance(function, Function):
        return function(function.padded(points))[: len(points)]
    return function(points)
