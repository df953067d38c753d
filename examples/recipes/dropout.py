"""Monte Carlo dropout: one trained network is many, one for each dropout mask.

Needs nothing but bmdal.
"""

import torch
from torch import nn

torch.manual_seed(0)
x, x_pool = torch.randn(100, 6), torch.randn(2_000, 6)
net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

# recipe
from bmdal import select_batch
from bmdal.members import MCDropout

print(select_batch("bait-f-p_pred", MCDropout(net, 20), x, None, x_pool, 20, generator=0).indices)
print(select_batch("lcmd-tp_grad_ens-3_rp-512", MCDropout(net, 3, seed=0), x, None, x_pool, 20, generator=0).indices)
