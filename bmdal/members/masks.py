"""The members of a network with dropout as networks of their own, for kernels of networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bmdal.errors import BmdalError
from bmdal.members.dropout import MCDropout
from bmdal.network.copies import private_copy, unwrapped

BY_CHANNEL = nn.Dropout1d | nn.Dropout2d | nn.Dropout3d


class FixedDropout(nn.Module):
    """Dropout with one mask for all points and all calls: x -> x * mask / (1 - p), shape (n, ...).

    Args:
        p: probability of a zero.
        by_channel: whether the mask is for whole channels, the second dimension.
        seed: source of the mask, which depends on nothing else but the shape of a point.
    """

    def __init__(self, p: float, by_channel: bool, seed: tuple[int, int]) -> None:
        super().__init__()
        self.p, self.by_channel, self.seed = p, by_channel, seed

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape[1:2] + (1,) * (x.ndim - 2) if self.by_channel else x.shape[1:]
        kept = np.random.default_rng(self.seed).random(shape) >= self.p
        return x * torch.as_tensor(kept / max(1 - self.p, np.finfo(float).tiny), dtype=x.dtype, device=x.device)


def masked_networks(model: MCDropout) -> list[nn.Module]:
    """A copy of the network for each of the `n_members` masks, all with the same parameters.

    Only dropout layers are on; calls of functions such as `torch.nn.functional.dropout` are off, as in evaluation.

    Raises BmdalError if the network has no dropout layer, or dropout in recurrent, attention or alpha dropout layers,
    which have no mask of this kind.
    """
    module = unwrapped(model.module)
    for name, part in module.named_modules():
        alpha = isinstance(part, nn.AlphaDropout | nn.FeatureAlphaDropout)
        within = isinstance(part, nn.RNNBase | nn.MultiheadAttention) and part.dropout > 0
        if alpha or within:
            raise BmdalError(
                f"MCDropout for kernels of networks needs layers such as torch.nn.Dropout, and {name!r} is a "
                f"{type(part).__name__} with dropout: use the kernel pred"
            )
    if not any(isinstance(part, nn.Dropout | BY_CHANNEL) for part in module.modules()):
        raise BmdalError(
            "MCDropout for kernels of networks needs layers such as torch.nn.Dropout, and the network has none: use "
            "the kernel pred, or pass a list of networks"
        )
    seeds = torch.randint(2**63 - 1, (model.n_members,), generator=torch.Generator().manual_seed(model.seed)).tolist()
    return [_masked(module, seed) for seed in seeds]


def _masked(module: nn.Module, seed: int) -> nn.Module:
    twin = nn.ModuleList([private_copy(module)])  # so that a network which is a single layer is a child, too
    number = 0
    for parent in list(twin.modules()):
        for name, part in parent._modules.items():
            if isinstance(part, nn.Dropout | BY_CHANNEL):
                parent._modules[name] = FixedDropout(part.p, isinstance(part, BY_CHANNEL), (seed, number))
                number += 1
    return twin[0]
