"""The members of a network with dropout: one per mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.members.checks import Predict, check_count, stacked
from bmdal.members.networks import as_network, outputs_of
from bmdal.members.points import Array
from bmdal.network.call import Call
from bmdal.network.copies import private_copy
from bmdal.network.network import tolerance
from bmdal.network.random_state import own_random_state


@dataclass(frozen=True)
class MCDropout:
    """A network with dropout, treated as one network for each of `n_members` dropout masks (Monte Carlo dropout).

    Each member uses the same mask for all points. This covers dropout in PyTorch's layers (dropout, recurrent,
    attention) and in functions such as `torch.nn.functional.dropout`; everything else is in evaluation mode.

    Args:
        module: the trained network.
        n_members: number of masks, at least 2.
        seed: source of the masks, 0 <= seed < 2^63.

    Raises BmdalError for values that cannot be used.

    Source: Gal and Ghahramani, arXiv 1506.02142.
    """

    module: nn.Module
    n_members: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.module, nn.Module):
            raise BmdalError(f"MCDropout takes a torch.nn.Module, got a {type(self.module).__name__}")
        check_count(self.n_members)
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise BmdalError(f"seed must be an integer from 0 to 2^63 - 1, got {self.seed!r}")


def dropout(model: MCDropout, few: Any, call: Call) -> Predict:
    """How the members of a network with dropout predict: one member per mask."""
    network, evaluated = as_network("MCDropout", model.module, few, call)
    module = private_copy(evaluated.module)
    for part in module.modules():
        part.training = isinstance(part, nn.RNNBase | nn.MultiheadAttention)  # this only switches dropout on in these
    noisy = replace(evaluated, module=module, by_points=False)
    seeds = torch.randint(2**63 - 1, (model.n_members,), generator=torch.Generator().manual_seed(model.seed)).tolist()

    def one(x: Tensor) -> Tensor:
        return noisy(noisy.padded(x[None]))[0]

    def all_points(X: Tensor, seed: int) -> Tensor:
        with own_random_state(network.device), _FunctionalDropout():
            _seed(seed, network.device)
            return torch.func.vmap(one, randomness="same")(X)

    def one_by_one(X: Tensor, seed: int) -> Tensor:
        outputs = []
        with own_random_state(network.device), _FunctionalDropout():
            for x in X:
                _seed(seed, network.device)
                outputs.append(one(x))
        return torch.stack(outputs)

    points, seed = network.precise[1], seeds[0]
    assert isinstance(points, Tensor)
    try:
        together = all_points(points, seed)
        apart = torch.cat([all_points(points[:1], seed), all_points(points[1:], seed)])
        close = torch.allclose(apart, together, rtol=0.0, atol=tolerance(apart.dtype) * float(apart.abs().max()))
    except Exception as error:  # vmap does not support recurrent layers, for example
        if is_out_of_memory(error):
            raise
        close = False
    masked = all_points if close else one_by_one
    names = [f"member {i} (MCDropout)" for i in range(model.n_members)]

    def predict(X: Any) -> Array:
        outputs = (outputs_of(network, partial(masked, seed=seed), X) for seed in seeds)
        return stacked(names, outputs, X)

    if not np.ptp(predict(few), axis=1).any():
        raise BmdalError(
            "MCDropout needs a network with dropout, and the outputs of this one do not change: train it with "
            "torch.nn.Dropout layers, or pass a list of networks"
        )
    return predict


def _seed(seed: int, device: torch.device) -> None:
    """Seed only the global generators that dropout on a device uses."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


class _FunctionalDropout(TorchFunctionMode):
    """Within this context, dropout functions are active even if the calling module is in evaluation mode."""

    names = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
    functions = tuple(getattr(functional, name) for name in names)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self.functions:
            kwargs["training"] = True
        return func(*args, **kwargs)
