"""A network with two inputs: pictures and numbers.

Needs nothing but bmdal.
"""

import torch
from torch import nn


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(32 + 4, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, image: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.convolution(image), numbers], dim=1))


torch.manual_seed(0)
model, images, numbers = Both(), torch.randn(1_000, 1, 12, 12), torch.randn(1_000, 4)

# recipe
from bmdal import select_batch

train, pool = ({"image": images[rows], "numbers": numbers[rows]} for rows in (slice(100), slice(100, None)))
print(select_batch("lcmd-tp_grad_rp-512", model, train, None, pool, 20, generator=0).indices)
pairs = ((images[:100], numbers[:100]), (images[100:], numbers[100:]))  # or tuples, with a function that passes them on
by_tuple = lambda network, batch: network(*batch)
print(select_batch("lcmd-tp_grad_rp-512", model, pairs[0], None, pairs[1], 20, generator=0, forward=by_tuple).indices)
