"""MC dropout with kernels of networks: each mask is a network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import autograd_features, normal

from bmdal import BmdalError, select_batch
from bmdal.members import MCDropout
from bmdal.members.masks import masked_networks

X, POOL = normal(20, 4, seed=1), normal(100, 4, seed=2)


def network(p: float = 0.4) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 32), nn.ReLU(), nn.Dropout(p), nn.Linear(32, 16), nn.Tanh(), nn.Dropout(p), nn.Linear(16, 1)]
    return nn.Sequential(*layers).double()


def chosen(models: Any, name: str = "lcmd-tp_grad_ens-3_rp-64") -> list[int]:
    return select_batch(name, models, X, None, POOL, 9, 0).indices.tolist()


def test_a_mask_is_the_same_for_all_points_and_calls() -> None:
    net = network()
    outputs = [m(POOL) for m in masked_networks(MCDropout(net, 3))]
    assert all(torch.equal(m(POOL), f) for m, f in zip(masked_networks(MCDropout(net, 3)), outputs, strict=True))
    for m, f in zip(masked_networks(MCDropout(net, 3)), outputs, strict=True):
        assert not torch.allclose(f, net.eval()(POOL))
        torch.testing.assert_close(torch.cat([m(POOL[[i]]) for i in range(100)]), f)
    assert not torch.equal(outputs[0], outputs[1])
    assert not torch.equal(masked_networks(MCDropout(net, 3, seed=1))[0](POOL), outputs[0])


def test_masks_keep_the_mean() -> None:
    net = nn.Dropout(0.3)
    ones = torch.ones(2, 50)
    masks = torch.stack([m(ones)[0] for m in masked_networks(MCDropout(net, 200))])
    assert masks.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert float(masks.mean()) == pytest.approx(1, abs=5 * (0.3 / 0.7 / masks.numel()) ** 0.5)
    (dead, _) = masked_networks(MCDropout(nn.Dropout(1.0), 2))
    assert torch.equal(dead(ones), torch.zeros(2, 50))


def test_the_batch_of_networks_with_these_masks() -> None:
    """Against networks whose masks are part of the weights, and gradients from autograd."""
    net = network()
    by_hand = []
    for m in masked_networks(MCDropout(net, 3, seed=5)):
        first, second = m[2](torch.ones(1, 32).double()), m[5](torch.ones(1, 16).double())
        by_hand.append(nn.Sequential(*net[:2], Times(first), *net[3:5], Times(second), net[6]))
    before = {name: t.clone() for name, t in net.state_dict().items()}
    net.train()
    batch = chosen(MCDropout(net, 3, seed=5))
    assert batch == chosen(by_hand) == chosen(MCDropout(net, 3, seed=5))
    assert batch != chosen(MCDropout(net, 3, seed=6))
    assert net.training
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    Phi = [torch.cat([autograd_features(m, points) for m in by_hand], dim=1) for points in (POOL, X)]
    exact = select_batch("maxdist-tp_linear", nn.Identity(), Phi[1], None, Phi[0], 9, 0).indices.tolist()
    assert chosen(MCDropout(net, 3, seed=5), "maxdist-tp_grad_ens-3") == exact


class Times(nn.Module):
    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


def test_whole_channels() -> None:
    (m, _) = masked_networks(MCDropout(nn.Sequential(nn.Dropout2d(0.5)), 2))
    out = m(torch.ones(3, 64, 5, 5))
    assert bool((out == out[:1, :, :1, :1]).all())
    assert out.unique().tolist() == [0, 2]


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, num_layers=2, dropout=0.2, batch_first=True)


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (MCDropout(nn.Linear(4, 1).double(), 3), "the network has none: use the kernel pred"),
        (MCDropout(nn.Sequential(nn.AlphaDropout(0.1)), 3), "'0' is a AlphaDropout with dropout: use the kernel pred"),
        (MCDropout(Recurrent(), 3), "'rnn' is a LSTM with dropout"),
        (MCDropout(network(), 4), r"takes 3 model\(s\), 4 were given; add 'ens-4' to its name"),
    ],
)
def test_refused(models: MCDropout, message: str) -> None:
    with pytest.raises(BmdalError, match=message):
        chosen(models)
