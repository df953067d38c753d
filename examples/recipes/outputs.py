"""Three outputs in different units, and a network that returns a mean and a log variance.

Needs nothing but bmdal.
"""

import torch
from torch import nn

torch.manual_seed(0)
x, x_pool = torch.randn(100, 6), torch.randn(5_000, 6)
y = torch.stack([x[:, 0], 1e3 * x[:, 1] ** 2, 1e6 * x[:, 2].sin()], dim=1)
three = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 3))
body, heads = nn.Sequential(nn.Linear(6, 64), nn.SiLU()), (nn.Linear(64, 1), nn.Linear(64, 1))


class Gaussian(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.log_variance = body, *heads

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.mean(self.body(x)), self.log_variance(self.body(x))


# recipe
from bmdal import select_batch

all_three = select_batch("lcmd-tp_grad_rp-512", three, x, y, x_pool, 20, generator=0)  # each in units of its spread
print(all_three.indices, *all_three.notes)
print(select_batch("lcmd-tp_grad_rp-512", three, x, y, x_pool, 20, generator=0, output=1).indices)  # one of them
print(select_batch("lcmd-tp_grad_rp-512", Gaussian(), x, y[:, :1], x_pool, 20, generator=0, output=0).indices)
