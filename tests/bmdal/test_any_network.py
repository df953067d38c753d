"""Networks that the library was not written for: the right batch, or a refusal that says why."""

from __future__ import annotations

import copy
import io
import random
from collections import defaultdict, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from toys import autograd_features, generator, normal

import bmdal.pipeline
from bmdal import BmdalError, Method, select, select_batch
from bmdal.kernels import Gradient, LastLayer, Network
from bmdal.network.copies import private_copy
from bmdal.network.gradients import make_plan
from bmdal.network.modes import plain_arithmetic
from bmdal.regressor import NetworkRegressor
from bmdal.regressor.stack import NetworkStack


def pick(net: nn.Module, x: Any, name: str = "maxdiag_ll", batch_size: int = 1, x_train: Any = None) -> list[int]:
    train = x if x_train is None else x_train
    models = net if isinstance(net, nn.ModuleList | list) else [net]
    return select_batch(Method.from_name(name), models, train, None, x, batch_size, generator()).indices.tolist()


def plan_of(net: nn.Module, X: Tensor) -> tuple[list[str], bool]:
    """The layers that factor, and whether the others are done many at once."""
    with plain_arithmetic([net]):
        plan = make_plan(Network(net, X), [name for name, _ in net.named_parameters()])
    return [layer.name for layer in plan.layers], plan.many_at_once


def assert_kernels(net: nn.Module, X: Tensor) -> None:
    """Both kernels equal those of plain autograd."""
    net = copy.deepcopy(net).double().eval()
    last = [m for m in net.modules() if list(m.parameters(recurse=False))][-1]
    for kernel, parameters in ((Gradient(), None), (LastLayer(), list(last.parameters()))):
        J = autograd_features(net, X, parameters)
        with plain_arithmetic([net]):
            features = kernel.features(Network(net, X), X)
        torch.testing.assert_close(features.kernel(features), J @ J.T)


class Lambda(nn.Module):
    """A network of some layers, and how they are put together."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def linear(weight: float, bias: float) -> nn.Linear:
    layer = nn.Linear(1, 1)
    with torch.no_grad():
        layer.weight.fill_(weight)
        layer.bias.fill_(bias)
    return layer


# Layers whose rows are not the points, or whose parameters are used elsewhere.


def sorting(net: Any, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    return net.a(x[order])[order.argsort()]


def test_sorted_rows() -> None:
    x = torch.tensor([[3.0], [1.0], [2.0]])
    assert pick(Lambda(sorting, a=nn.Linear(1, 1)), x) == pick(nn.Linear(1, 1), x) == [0]


@pytest.mark.parametrize("order", [lambda x: x, lambda x: x.flip(0), lambda x: x[torch.randperm(len(x))]])
def test_sorted_points_do_not_hide_that_rows_are_sorted(order: Callable[[Tensor], Tensor]) -> None:
    x = order(torch.linspace(-3, 5, 40)[:, None])
    assert pick(Lambda(sorting, a=nn.Linear(1, 1)), x, batch_size=5) == pick(nn.Linear(1, 1), x, batch_size=5)


def test_a_weight_that_is_used_twice() -> None:
    net = Lambda(lambda net, x: net.a(x) * net.a.weight.sum(), a=linear(1.0, -4.0))
    assert pick(net, torch.tensor([[3.0], [1.0], [0.0]])) == [2]
    assert_kernels(net, normal(5, 1))


def test_a_second_use_that_hardly_any_point_sees() -> None:
    """Found by counting uses, since the points that are compared with autograd may all miss it."""

    def forward(net: Any, x: Tensor) -> Tensor:
        h, g = torch.relu(net.a(x)), torch.relu(net.gate(x) - 40)
        return net.head(h) + g * functional.linear(h * h, net.head.weight)

    torch.manual_seed(0)
    net = Lambda(forward, a=nn.Linear(5, 16), gate=nn.Linear(5, 1), head=nn.Linear(16, 1)).double()
    assert plan_of(net, normal(20, 5))[0] == ["a", "gate"]
    X = torch.cat([normal(20, 5), 200 * normal(4, 5)])
    assert int((net.gate(X) > 40).sum()) > 0
    assert_kernels(net, X)


def test_backward_hooks_that_see_the_whole_batch() -> None:
    """They make the gradients of a point depend on the others; one point at a time, they do what they are meant to."""

    def clip(module: nn.Module, of_inputs: Any, of_outputs: Any) -> Any:
        return (of_inputs[0] * min(1.0, 1.0 / float(of_inputs[0].norm())),)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 9), nn.Tanh(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 1)).double()
    net[2].register_full_backward_hook(clip)
    assert not Network(net, normal(16, 3)).function.by_points


def test_stored_views_keep_their_values() -> None:
    """Of parameters that lie in one vector, and of one whose data was exchanged."""
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    last = net[2]
    nn.utils.vector_to_parameters(torch.arange(67.0) / 50, net.parameters())
    with torch.no_grad():
        last.register_buffer("row", last.weight[1])
    copied = private_copy(net)[2]
    assert torch.equal(copied.row, last.row)
    assert copied.row.data_ptr() == copied.weight[1].data_ptr()
    last.weight.data = last.weight.data + 1
    assert torch.equal(private_copy(net)[2].row, last.row)


def test_tied_autoencoder() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.head(functional.linear(torch.tanh(net.enc(x)), net.enc.weight.t()))

    net = Lambda(forward, enc=nn.Linear(4, 3), head=nn.Linear(4, 1))
    assert_kernels(net, normal(6, 4))
    assert plan_of(net.double(), normal(6, 4)) == (["head"], True)


def mixture(net: Any, x: Tensor) -> Tensor:
    z, m = x.new_zeros(len(x), 1), x[:, 0] > net.threshold
    for expert, rows in ((net.a, m), (net.b, ~m)):
        if bool(rows.any()):
            z[rows] = expert(x[rows])
    return z


def experts(threshold: float = 0.0) -> Lambda:
    torch.manual_seed(0)
    net = Lambda(mixture, a=nn.Linear(3, 1), b=nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))).double()
    net.threshold = threshold
    return net


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4, 5], [0, 2, 4, 1, 3, 5], [5, 4, 3, 2, 1, 0]])
def test_mixture_of_experts(rows: list[int]) -> None:
    X = torch.cat([normal(2, 3).abs(), normal(4, 3, seed=1)])[rows]
    assert_kernels(experts(), X)
    assert len(pick(experts(), X, "lcmd-tp_grad", 3)) == 3


@pytest.mark.parametrize("name", ["maxdist-p_grad", "lcmd-tp_ll", "maxdet-p_grad_rp-32_train"])
def test_an_expert_that_the_first_look_did_not_meet(name: str) -> None:
    """One point of 800 takes the other branch: all is computed again without the layers that do not factor."""
    pool = normal(800, 3, seed=1)
    pool[:, 0] = pool[:, 0].clamp(max=1.0)
    pool[234, 0] = 9.0
    net, train = experts(threshold=2.0), pool[:20]
    layers, _ = plan_of(net, pool[:16])
    assert layers == ["b.0", "b.2"]
    assert not plan_of(net, pool[227:240])[0]
    known = experts(threshold=2.0)
    known.b[0].register_forward_hook(lambda module, args, output: output.clone())  # left to autograd from the start
    known.b[2].register_forward_hook(lambda module, args, output: output.clone())
    assert pick(net, pool, name, 6, train) == pick(known, pool, name, 6, train)


def test_position_decides() -> None:
    net = Lambda(lambda net, x: torch.cat([net.a(x[:1]), net.b(x[1:])]), a=nn.Linear(2, 1), b=nn.Linear(2, 1))
    with pytest.raises(BmdalError, match="depend on the other points of the batch"):
        pick(net, normal(9, 2).float())


# What the user has stays as it is.


def test_forward_that_works_in_place_on_its_input() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        x -= 1
        return net.a(x)

    net, x = Lambda(forward, a=nn.Linear(2, 1)), normal(30, 2).float()
    before = x.clone()
    plain = nn.Linear(2, 1)
    for name in ("maxdist-p_ll", "lcmd-tp_grad"):
        assert pick(net, x, name, 5) == pick(plain, before - 1, name, 5)
    assert torch.equal(x, before)


class Stateful(nn.Module):
    """Caches, counts, and keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.a = nn.Conv1d(1, 2, 2), nn.LayerNorm(6), nn.Linear(6, 1)
        self.register_buffer("n", torch.zeros(()))
        self.emb: Tensor | None = None
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        self.emb = self.norm(self.conv(x[:, None]).flatten(1))
        self.seen.append(self.emb)
        return self.a(self.emb)


@pytest.mark.parametrize("name", ["maxdist-p_ll", "lcmd-tp_grad"])
def test_networks_that_keep_what_they_compute(name: str) -> None:
    net, x = Stateful().double(), normal(20, 4)
    net(x)  # so that it holds a result of autograd, which deepcopy refuses
    emb, seen = net.emb, list(net.seen)
    assert len(pick(net, x, name, 4)) == 4
    assert net.emb is emb
    assert net.seen == seen
    assert float(net.n) == 1
    net.emb, net.seen = None, []
    torch.save(net, io.BytesIO())
    pick(net, x, name, 4)
    assert net.emb is None
    copy.deepcopy(net)


@pytest.mark.parametrize("name", ["maxdist-p_ll", "lcmd-tp_grad"])
def test_hooks_of_the_user_get_ordinary_tensors(name: str) -> None:
    kept: list[Tensor] = []
    net, x = Stateful().double(), normal(20, 4)
    net.norm.register_forward_hook(lambda module, args, output: kept.append(output))
    plain = Stateful().double()
    plain.load_state_dict(net.state_dict())
    assert pick(net, x, name, 4) == pick(plain, x, name, 4)
    assert kept
    assert all(type(t) is Tensor and torch.isfinite(t.detach().clone()).all() for t in kept)
    torch.save([t.detach() for t in kept], io.BytesIO())
    copy.deepcopy([t.detach() for t in kept])


def test_old_weight_norm_and_parametrizations() -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        old = nn.Sequential(nn.utils.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1)).double()
    new = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1)).double()
    spectral = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1))
    x = normal(12, 3)
    for net in (old, new, spectral.double()):
        state = copy.deepcopy(net.state_dict())
        for name in ("maxdist-p_ll", "maxdist-p_grad"):
            assert len(set(pick(net, x, name, 5))) == 5
        assert all(torch.equal(a, b) for a, b in zip(state.values(), net.state_dict().values(), strict=True))
        J = autograd_features(net.eval(), x)
        with plain_arithmetic([net]):
            features = Gradient().features(Network(net, x), x)
        torch.testing.assert_close(features.kernel(features), J @ J.T)


def test_global_random_state() -> None:
    """A network that draws numbers to no effect works, and the user's next draws are what they would have been."""

    def forward(net: Any, x: Tensor) -> Tensor:
        return net.a(x) + 0 * (torch.rand(()) + float(np.random.rand()) + random.random())

    net, x = Lambda(forward, a=nn.Linear(2, 1)), normal(9, 2).float()
    draws = []
    for used in (False, True):
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)
        if used:
            assert pick(net, x, "maxdist-p_grad", 3) == pick(net.a, x, "maxdist-p_grad", 3)
        draws.append((float(torch.rand(())), float(np.random.rand()), random.random()))
    assert draws[0] == draws[1]


def test_generators_of_the_networks_own_are_not_used_up() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        return net.a(x) + 0 * torch.rand((), generator=net.g)

    net = Lambda(forward, a=nn.Linear(2, 1))
    net.g = generator(5)
    pick(net, normal(9, 2).float())
    assert torch.equal(net.g.get_state(), generator(5).get_state())


def test_functions_that_refer_to_parts_of_the_network() -> None:
    """They work on the copy, as do methods that were replaced."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    net = copy.deepcopy(plain)
    body, usual = net[0], net[0].forward
    head = Lambda(lambda module, x: functional.linear(torch.tanh(body(x)), module.weight, module.bias))
    head.weight, head.bias = net[2].weight, net[2].bias
    net[0].forward = lambda x: usual(x)
    net[2].register_forward_hook(lambda module, args, output: output + 0 * body.weight.sum())
    X = normal(9, 3)
    for other in (net, nn.ModuleDict({"body": body, "head": head})):
        if isinstance(other, nn.ModuleDict):
            other.forward = lambda x, head=head: head(x)  # type: ignore[method-assign]
            with pytest.raises(BmdalError, match=r"accesses its parameter 'body.weight' other than"):
                pick(other, X, "maxdist-p_grad", 4)  # a default value is nobody's variable
            other.forward = lambda x: head(x)  # type: ignore[method-assign]
        assert pick(other, X, "maxdist-p_grad", 4) == pick(plain, X, "maxdist-p_grad", 4)


GLOBAL = nn.Linear(2, 1)


def test_networks_that_are_reached_as_global_variables_are_refused() -> None:
    net = Lambda(lambda net, x: GLOBAL(x) + net.a(x), a=nn.Linear(2, 1), b=GLOBAL)
    with pytest.raises(BmdalError, match=r"accesses its parameter 'b.weight' other than through itself"):
        pick(net, normal(9, 2).float(), "maxdist-p_grad", 4)


# What PyTorch runs.


def test_transformer_with_padding() -> None:
    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(7, 8, padding_idx=0)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(8, 1)

        def forward(self, x: Tensor) -> Tensor:
            h = self.encoder(self.embedding(x), src_key_padding_mask=x == 0)
            return self.head(h[:, 0])

    torch.manual_seed(0)
    net = Encoder()
    x = torch.randint(1, 7, (20, 5), generator=generator())
    x[::2, 3:] = 0
    for name in ("maxdist-p_ll", "maxdist-p_grad"):
        assert len(set(pick(net, x, name, 5))) == 5
    net = net.double().eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert_kernels(net, x[:6])
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


def squeezing() -> nn.Module:
    torch.manual_seed(0)
    return Lambda(
        lambda net, x: net.head(net.norm(net.conv(x[:, None]).flatten(1))).squeeze(),
        conv=nn.Conv1d(1, 2, 2),
        norm=nn.LayerNorm(6),
        head=nn.Linear(6, 1),
    )


def test_networks_that_squeeze() -> None:
    net, x = squeezing(), normal(2**16 + 1, 4).float()
    for name in ("maxdiag_ll", "maxdiag_grad_rp-8"):
        many = pick(net, x, name, 3, x_train=x[:1])
        assert many == pick(net, x[:, None].squeeze(1), name, 3, x_train=x[:1])
        assert len(many) == 3
    assert_kernels(net, normal(6, 4))
    middle = Lambda(
        lambda net, x: net.b(torch.relu(net.a(x)).squeeze()).reshape(-1), a=nn.Linear(4, 5), b=nn.Linear(5, 1)
    )
    assert_kernels(middle, normal(6, 4))


def test_dimensions_dropped_in_the_middle_need_two_points() -> None:
    """One point alone would be normalized over another dimension; hence it is looked at beside itself."""

    def forward(net: Any, x: Tensor) -> Tensor:
        h = net.a(x[:, None]).squeeze()
        return net.b(functional.normalize(h, dim=1))

    torch.manual_seed(0)
    net, x = Lambda(forward, a=nn.Linear(4, 5), b=nn.Linear(5, 1)).double(), normal(7, 4)
    with plain_arithmetic([net]):
        features = Gradient().features(Network(net, x), x[:1])
        whole = Gradient().features(Network(net, x), x)
    torch.testing.assert_close(features.kernel(features), whole.kernel(whole)[:1, :1])


def test_sparse_gradients_of_embeddings() -> None:
    def network(sparse: bool) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Embedding(9, 3, sparse=sparse), nn.Flatten(), nn.Linear(6, 1))

    x = torch.randint(9, (30, 2), generator=generator())
    assert pick(network(True), x, "maxdist-p_grad", 6) == pick(network(False), x, "maxdist-p_grad", 6)
    functionally = Lambda(
        lambda net, x: net.head(functional.embedding(x, net.table.weight, sparse=True).flatten(1)),
        table=nn.Embedding(9, 3),
        head=nn.Linear(6, 1),
    )
    functionally.table.weight, functionally.head = network(False)[0].weight, network(False)[2]
    assert pick(functionally, x, "maxdist-p_grad", 6) == pick(network(False), x, "maxdist-p_grad", 6)


@pytest.mark.parametrize("off", [torch.inference_mode, torch.no_grad])
def test_a_backbone_without_gradients(off: Any) -> None:
    """What lies before it has the gradient zero, as in PyTorch; the head is as usual."""

    def forward(net: Any, x: Tensor) -> Tensor:
        with off():
            h = net.body(x)
        return net.head(h)

    def network(forward: Callable[[Any, Tensor], Tensor]) -> nn.Module:
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5))
        return Lambda(forward, body=body, head=nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)))

    x = normal(20, 3).float()
    detached = network(lambda net, x: net.head(net.body(x).detach()))
    for name in ("maxdist-p_ll", "maxdist-p_ll[head.0]", "maxdist-p_grad", "lcmd-tp_ll[head]"):
        assert pick(network(forward), x, name, 6) == pick(detached, x, name, 6)


def test_one_layer_or_a_part_of_several() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2))).double()
    X = normal(6, 3)
    J = autograd_features(net, X, list(net[2].parameters()))
    with plain_arithmetic([net]):
        features = LastLayer("2").features(Network(net, X), X)
    torch.testing.assert_close(features.kernel(features), J @ J.T)


def test_refused_with_the_reason() -> None:
    def fail(net: Any, x: Tensor) -> Tensor:
        raise ValueError("no such mood")

    class Noisy(nn.Module):
        """A flag of its own, which `module.training = False` does not reach but `eval()` does."""

        def __init__(self) -> None:
            super().__init__()
            self.a, self.noisy = nn.Linear(2, 1), True

        def train(self, mode: bool = True) -> Any:
            self.noisy = mode
            return super().train(mode)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x + torch.randn_like(x)) if self.noisy else self.a(x)

    class AlwaysNoisy(Noisy):
        def train(self, mode: bool = True) -> Any:
            return super().train(True)

    a, x = nn.Linear(2, 1), normal(40, 2).float()
    chance, others = "differ between calls, even in evaluation mode", "depend on the other points of the batch"
    cases: dict[str, tuple[str, nn.Module]] = {
        "dropout": (chance, Lambda(lambda net, x: net.a(functional.dropout(x, 0.5, training=True)), a=a)),
        "rare dropout": (chance, Lambda(lambda net, x: net.a(functional.dropout(x, 0.01, training=True)), a=a)),
        "small noise": (chance, Lambda(lambda net, x: net.a(x + 1e-5 * torch.randn_like(x)), a=a)),
        "numpy's noise": (chance, Lambda(lambda net, x: net.a(x) * (1 + np.random.rand()), a=a)),
        "noise of a flag": (chance, AlwaysNoisy()),
        "centred by the batch": (others, Lambda(lambda net, x: (z := net.a(x)) - z.mean(0), a=a)),
        "divided by the number": (others, Lambda(lambda net, x: net.a(x) / len(x), a=a)),
        "cumulative": (others, Lambda(lambda net, x: net.a(x).cumsum(0), a=a)),
        "batch statistics": (others, nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False), a)),
        "attention over the batch": (others, Lambda(lambda net, x: net.a(torch.softmax(x @ x.T, 1) @ x), a=a)),
        "complex": ("parameter 'c' is torch.complex64", Complex()),
        "complex outputs": (r"returned \(16, 1\) of torch.complex64", Lambda(lambda net, x: net.a(x) * 1j, a=a)),
        "classes": (r"returned \(16,\) of torch.int64", Lambda(lambda net, x: net.a(x).argmax(1), a=a)),
        "no outputs": (r"returned \(16, 0\)", Lambda(lambda net, x: net.a(x)[:, :0], a=a)),
        "lazy": ("has no weights yet: its module '0' is a lazy layer", nn.Sequential(nn.LazyLinear(1))),
        "meta": ("it is on the meta device", nn.Linear(2, 1, device="meta")),
        "an error": ("cannot be called with inputs of shape .*: ValueError: no such mood", Lambda(fail, a=a)),
        "in place on what is needed": ("cannot be differentiated", Lambda(lambda net, x: net.a(x).exp().add_(1), a=a)),
        "nothing": ("there is no gradient", Lambda(lambda net, x: net.a(x).detach(), a=a)),
    }
    for message, net in cases.values():
        for name in ("maxdiag_grad", "lcmd-tp_grad_rp-8"):
            with pytest.raises(BmdalError, match=message):
                pick(net, x, name)
    assert len(pick(Noisy(), x, "maxdist-p_grad", 4)) == 4
    assert pick(Noisy(), x, "maxdist-p_linear", 4)


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c, self.a = nn.Parameter(torch.ones(2, dtype=torch.complex64)), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a((x * self.c).abs())


def test_a_real_layer_of_a_complex_network() -> None:
    assert len(pick(Complex(), normal(9, 2).float(), "maxdist-p_ll", 3)) == 3


# Points.


def test_points_in_time() -> None:
    """Seconds since 1970: float32 would leave 29 values of 3,600."""
    seconds = 1.7e9 + np.sort(np.random.default_rng(0).uniform(0, 3600, size=(2000, 1)))
    body = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    centred = Lambda(lambda net, x: net.a((x.double() - 1.7e9).float() / 3600), a=body)
    for name in ("maxdist-p_grad", "lcmd-tp_ll", "maxdist-p_linear"):
        chosen = select_batch(name, centred, seconds[:20], None, seconds, 50, 0)
        tensors = select_batch(name, centred, torch.tensor(seconds[:20]), None, torch.tensor(seconds), 50, 0)
        assert chosen.indices.tolist() == tensors.indices.tolist()
        assert chosen.n_filled == 0 or "linear" in name  # of which inputs that are not centred are too much
    with pytest.raises(
        BmdalError, match=r"input 0 has values from 17.*in torch.float32, which the network needs, they"
    ):
        select_batch("maxdist-p_grad", nn.Linear(1, 1), seconds[:20], None, seconds, 50, 0)
    identifiers = np.stack([np.arange(90.0), 2.0**60 + 4096 * np.arange(90)], axis=1)
    with pytest.raises(BmdalError, match="input 1 has values from"):
        select_batch("maxdist-p_grad", nn.Linear(2, 1), identifiers, None, identifiers, 5, 0)
    wide = np.linspace(0, 1e6, 50)[:, None]
    with pytest.raises(BmdalError, match=r"in torch.float16, .* Centre and scale it"):
        select_batch("maxdist-p_grad", nn.Linear(1, 1).half(), wide, None, wide, 5, 0)


@pytest.mark.parametrize(
    "column", [[5.0] * 40, [1.7e9] * 40, [0.1 + 0.2, 0.3] * 20, [0.0] * 39 + [1e9], [1e-30, 2e-30] * 20]
)
def test_harmless_casts(column: list[float]) -> None:
    X = np.stack([np.linspace(-1, 1, 40), column], axis=1)
    assert len(select_batch("maxdist-p_ll", nn.Linear(2, 1), X, None, X, 5, 0).indices) == 5


def test_integers_that_are_not_exact() -> None:
    table = pd.DataFrame({"x": np.linspace(0, 1, 9), "id": 2**60 + np.arange(9)})
    with pytest.raises(BmdalError, match=r"x_train: column 'id' holds integers beyond 2\^53"):
        select_batch("maxdist-p_linear", nn.Linear(2, 1), table, None, table, 3, 0)


def test_points_that_are_single_numbers() -> None:
    net, x = Lambda(lambda net, x: net.a(x[:, None]), a=nn.Linear(1, 1)), np.linspace(0, 1, 20)
    for name in ("maxdist-p_linear", "maxdist-p_grad", "lcmd-tp_ll"):
        assert len(select_batch(name, net, x[:3], None, x, 4, 0).indices) == 4


def test_a_module_list_is_an_ensemble() -> None:
    nets, x = nn.ModuleList(nn.Linear(2, 1) for _ in range(3)), normal(30, 2).float()
    assert pick(nets, x, "maxdist-p_ll_ens-3", 4) == pick(list(nets), x, "maxdist-p_ll_ens-3", 4)


def test_mixed_precision_of_points() -> None:
    net, x = nn.Linear(2, 1), normal(30, 2)
    plain = select_batch("maxdist-p_ll", net, x.float(), None, x.float(), 6, 0).indices.tolist()
    for train, pool in ((x.float(), x.numpy()), (x.numpy(), x.float()), (x.float().numpy(), x.numpy())):
        assert select_batch("maxdist-p_ll", net, train, None, pool, 6, 0).indices.tolist() == plain
    with pytest.raises(
        BmdalError, match=r"points must have the same type, they are x_train torch.float32, x_pool torch.float64"
    ):
        select_batch("maxdist-p_ll", net, x.float(), None, x, 6, 0)


@pytest.mark.filterwarnings("ignore:.*(nested|Sparse CSR|quantize).*")
def test_values_that_are_no_points() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    t = torch.tensor(x)
    cases: dict[str, Any] = {
        "is a masked array: fill in its gaps": np.ma.masked_array(x, mask=x > 1),
        "is an array of (longdouble|float128), which tensors cannot hold; use": x.astype(np.longdouble),
        r"it is a csr_(matrix|array) \(use its toarray\(\)\)": sparse.csr_matrix(x),
        "is a sparse_coo tensor; points must be dense": t.to_sparse(),
        "is a sparse_csr tensor": t.to_sparse_csr(),
        "is a nested tensor": torch.nested.nested_tensor([t[:3], t[3:]]),
        "is quantized: use dequantize": torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        "is on the meta device": t.to("meta"),
        r"it is a list \(use np.array, or pass a collate_fn\)": x.tolist(),
        "must hold numbers, it is an array of datetime64": x.astype("datetime64[s]"),
        "must hold numbers, it is an array of complex64": x.astype(np.complex64),
        "has a NaN or infinite value in row 3": np.where(np.arange(20)[:, None] == 3, np.nan, x),
    }
    for x_train, x_pool in ((t, None), (None, t)):
        with pytest.raises(BmdalError, match=r"x_pool must be .* it is None|needs labelled points, x_train"):
            select_batch("maxdist-p_ll", nn.Linear(2, 1), x_train, None, x_pool, 3, 0)
    for message, points in cases.items():
        for arguments in ((t, points), (points, t)):
            with pytest.raises(BmdalError, match=message):
                select_batch("maxdist-p_ll", nn.Linear(2, 1), arguments[0], None, arguments[1], 3, 0)


# Any network, rewritten so that function and parameters stay the same, gives the same batch.


class Spec:
    """A drawn network: layers with activations, one or two outputs, perhaps a LayerNorm."""

    def __init__(self, widths: list[int], norm: bool, n_outputs: int, seed: int) -> None:
        self.widths, self.norm, self.n_outputs, self.seed = widths, norm, n_outputs, seed

    def network(self) -> nn.Sequential:
        torch.manual_seed(self.seed)
        layers: list[nn.Module] = []
        d = 3
        for width in self.widths:
            layers += [nn.Linear(d, width), nn.Tanh()]
            d = width
        if self.norm:
            layers.insert(1, nn.LayerNorm(self.widths[0]))
        return nn.Sequential(*layers, nn.Linear(d, self.n_outputs)).double()

    def __repr__(self) -> str:
        return f"Spec({self.widths}, {self.norm}, {self.n_outputs}, {self.seed})"


def functionally(net: Any, x: Tensor) -> Tensor:
    """Each weight in two halves, by `functional.linear` and not by the layer's call."""
    for layer in net.body:
        if isinstance(layer, nn.Linear):
            k = len(layer.bias) // 2
            parts = (slice(None, k), slice(k, None))
            x = torch.cat([functional.linear(x, layer.weight[rows], layer.bias[rows]) for rows in parts], dim=1)
        else:
            x = layer(x)
    return x


def reordered(net: Any, x: Tensor) -> Tensor:
    order = x[:, 0].argsort()
    return net.body(x[order])[order.argsort()]


def routed(net: Any, x: Tensor) -> Tensor:
    m = x[:, 1] > 0
    outputs = x.new_empty(len(x), net.body[-1].out_features)
    outputs[m], outputs[~m] = net.body(x[m]), net.body(x[~m])
    return outputs


def in_place(net: Any, x: Tensor) -> Tensor:
    x *= 2
    z = net.body[0](x / 2)
    x.zero_()
    for layer in net.body[1:]:
        z = torch.tanh_(z) if isinstance(layer, nn.Tanh) else layer(z)
    return z


def cached(net: Any, x: Tensor) -> Tensor:
    net.n += 1
    net.kept = [*getattr(net, "kept", []), x]
    net.outputs = net.body(x)
    return net.outputs


def hooked(net: Any, x: Tensor) -> Tensor:
    handle = net.body[-1].register_forward_hook(lambda module, args, output: output.clone())
    try:
        return net.body(x)
    finally:
        handle.remove()


REWRITES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "functional": functionally,
    "reordered": reordered,
    "reversed": lambda net, x: net.body(x.flip(0)).flip(0),
    "routed": routed,
    "squeezed": lambda net, x: net.body(x).squeeze(),
    "more dimensions": lambda net, x: net.body(x[:, None, :])[:, 0],
    "point by point": lambda net, x: torch.cat([net.body(row[None]) for row in x]),
    "in place": in_place,
    "cached": cached,
    "hooked": hooked,
    "transposed": lambda net, x: net.body(x.T.contiguous().T).T.contiguous().T,
    "padded": lambda net, x: net.body(torch.cat([x, x[:1]]))[:-1],
    "checkpointed": lambda net, x: checkpoint(net.body, x, use_reentrant=False),
    "drawing": lambda net, x: net.body(x) + 0 * torch.rand(()),
    "branching": lambda net, x: net.body(x) if float(x.sum()) > 0 else net.body(x) * 1.0,
}
specs = st.builds(
    Spec, st.lists(st.integers(2, 9), min_size=1, max_size=3), st.booleans(), st.integers(1, 2), st.integers(0, 10**6)
)


@pytest.mark.parametrize("rewrite", REWRITES)
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
@given(spec=specs, name=st.sampled_from(["maxdist-tp_grad", "lcmd-tp_ll", "maxdet-p_grad_train"]), n=st.integers(5, 40))
def test_rewritten_networks(rewrite: str, spec: Spec, name: str, n: int) -> None:
    X = normal(n, 3, seed=spec.seed % 97)
    before = X.clone()
    net = Lambda(REWRITES[rewrite], body=spec.network())
    net.register_buffer("n", torch.zeros(()))
    batch_size = min(4, n - 2)
    assert pick(net, X[2:], name, batch_size, X[:2]) == pick(spec.network(), X[2:], name, batch_size, X[:2])
    assert torch.equal(X, before)
    assert float(net.n) == 0
    torch.save(net.state_dict(), io.BytesIO())
    assert set(net.__dict__) - set(nn.Module().__dict__) == {"run"}


# Points that were not among the few: what was right on these must not be believed on others.


def deep(forward: Callable[[Any, Tensor], Any], n_outputs: int = 1) -> Lambda:
    torch.manual_seed(0)
    return Lambda(forward, a=nn.Linear(3, 4), b=nn.Linear(4, n_outputs), c=nn.Linear(3, n_outputs)).double()


def experts_in_order(net: Any, x: Tensor) -> Tensor:
    order = (x[:, 0] > 2).long().sort(stable=True).indices
    return net.b(torch.tanh(net.a(x[order])))[order.argsort()] + 0 * net.c(x)


def weight_of_rare_rows(net: Any, x: Tensor) -> Tensor:
    z, m = net.b(torch.tanh(net.a(x))) + 0 * net.c(x), x[:, 0] > 2
    if bool(m.any()):
        z[m] += net.a.weight.sum()
    return z


def in_place_for_rare_rows(net: Any, x: Tensor) -> Tensor:
    h, m = torch.tanh(net.a(x)), x[:, 0] > 2
    z = net.b(h) + 0 * net.c(x)
    if bool(m.any()):
        z = z.clone()
        z[m] *= 0.1
    return z


def gate(net: Any, x: Tensor) -> Tensor:
    order = x[:, 1].argsort()
    return net.b(torch.tanh(net.a(x))) + torch.relu(x[:, :1] - 2) * net.c(x[order])[order.argsort()]


def sorted_in_large_batches(net: Any, x: Tensor) -> Tensor:
    order = x[:, 0].argsort() if len(x) > 20 else torch.arange(len(x))
    return net.b(torch.tanh(net.a(x[order])))[order.argsort()] + 0 * net.c(x)


def clamped(net: Any, x: Tensor) -> Tensor:
    return net.b(torch.tanh(net.a(x)).clamp(-0.9, 0.9)) + 0 * net.c(x)


LATER = [experts_in_order, weight_of_rare_rows, in_place_for_rare_rows, gate, sorted_in_large_batches, clamped]


@pytest.mark.parametrize("forward", LATER)
@pytest.mark.parametrize("chunk", [None, 30_000])
def test_kernels_on_points_that_behave_otherwise(
    forward: Callable[[Any, Tensor], Tensor], chunk: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch of kernels that are computed from single points."""
    if chunk:
        monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": chunk})
    net, x = deep(forward), normal(100, 3, seed=3)
    x[:, 0] = x[:, 0].clamp(max=1.5)
    x[37, 0], x[62, 0] = 4.0, 3.0
    J = autograd_features(net, x)
    last = autograd_features(net, x, list(net.c.parameters()))
    for name in ("lcmd-tp", "maxdist-p", "maxdet-p_train"):
        selection, *rest = name.split("_")
        exactly = select(name, J, 12, 0, train=J[:5]).indices.tolist()
        assert pick(net, x, "_".join([selection, "grad", *rest]), 12, x[:5]) == exactly
    assert pick(net, x, "maxdist-tp_ll", 2, x[:5]) == select("maxdist-tp", last, 2, 0, train=last[:5]).indices.tolist()


@pytest.mark.parametrize(
    "forward",
    [
        lambda net, x: net.b(torch.tanh(net.a(x))) - (x.mean(0)[0] if len(x) > 20 else 0),
        lambda net, x: net.b(torch.tanh(net.a(x))) * (1.0 + (torch.arange(len(x)) >= 16))[:, None],
        lambda net, x: net.b(torch.tanh(net.a(x))) + (x[:, :1] > 2) * x[x[:, 0] > 2].mean(),
    ],
)
def test_points_that_depend_on_others_only_in_large_batches(forward: Callable[[Any, Tensor], Tensor]) -> None:
    x = normal(100, 3, seed=3)
    x[:, 0] = x[:, 0].clamp(max=1.5)
    x[37, 0], x[62, 0] = 4.0, 3.0
    with pytest.raises(BmdalError, match="depend on the other points"):
        pick(deep(forward), x, "maxdist-p_grad", 5)


def test_all_outputs_are_compared() -> None:
    """Only the third of six outputs is not what it seems."""

    def forward(net: Any, x: Tensor) -> Tensor:
        h, order = torch.tanh(net.a(x)), x[:, 0].argsort()
        z = net.b(h)
        crossed = functional.linear(net.c(x[order])[order.argsort()][:, :1] + h[:, :1], net.b.weight[:1, :1])
        return torch.cat([z[:, :2], z[:, 2:3] + crossed, z[:, 3:]], dim=1)

    assert_kernels(deep(forward, 6), normal(30, 3, seed=1))


def test_equal_points_do_not_hide_anything() -> None:
    x = torch.zeros(400, 3).double()
    x[::57] = normal(8, 3)
    net = Lambda(sorting, a=nn.Linear(3, 1)).double()
    assert pick(net, x, "maxdist-p_grad", 5) == pick(net.a, x, "maxdist-p_grad", 5)
    with pytest.raises(BmdalError, match="depend on the other points"):
        pick(Lambda(lambda net, x: net.a(x - x.mean(0)), a=nn.Linear(3, 1)).double(), x)


# Copies that are not the network.


def test_parts_that_share_memory() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.ones(4))
            self.view = self.table.view(2, 2)
            self.a = nn.Linear(2, 2)
            self.a.weight.scale = 3.0  # an attribute of a parameter

        def forward(self, x: Tensor) -> Tensor:
            self.table.fill_(2.0)
            return (self.a(x) @ self.view * self.a.weight.scale).sum(dim=1)

    net, x = Net().double(), normal(9, 2)
    net.view = net.table.view(2, 2)
    J = autograd_features(net, x)
    net.table.fill_(1.0)
    assert pick(net, x, "maxdist-p_grad", 5) == select("maxdist-p", J, 5, 0).indices.tolist()
    assert torch.equal(net.table, torch.ones(4).double())


def test_tensors_that_are_kept_with_their_history_may_not_be_used() -> None:
    net = Lambda(lambda net, x: functional.linear(net.enc(x), net.back), enc=nn.Linear(3, 2)).double()
    net.back = net.enc.weight.t()
    with pytest.raises(BmdalError, match="uses a stored tensor that was computed from others"):
        pick(net, normal(9, 3), "maxdist-p_grad")


@pytest.mark.parametrize("kept", [SimpleNamespace, lambda **values: defaultdict(list, values), deque])
def test_caches_of_all_kinds(kept: Any) -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        h = net.a(x)
        if isinstance(net.kept, deque):
            net.kept.append(h)
        elif isinstance(net.kept, dict):
            net.kept["h"] = h
        else:
            net.kept.h = h
        return h

    net, x = Lambda(forward, a=nn.Linear(3, 1)), normal(9, 3).float()
    net.kept = kept()
    net(x)  # holds a result of autograd
    before = copy.copy(net.kept)
    pick(net, x, "maxdist-p_grad", 3)
    same = zip(before, net.kept, strict=True) if isinstance(before, deque) else [(before, net.kept)]
    if isinstance(before, SimpleNamespace):
        same = [(before.h, net.kept.h)]
    elif isinstance(before, dict):
        same = [(before["h"], net.kept["h"])]
    assert all(a is b for a, b in same)


def test_a_weight_that_is_cached_in_evaluation_mode() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        if net.w is None:
            net.w = net.u @ net.v
        return functional.linear(x, net.w)

    net = Lambda(forward).double()
    net.u, net.v, net.w = nn.Parameter(normal(2, 3)), nn.Parameter(normal(3, 4, seed=1)), None
    X = normal(40, 4, seed=2)
    J = torch.func.vmap(torch.func.jacrev(lambda u, v, x: (u @ v) @ x, argnums=(0, 1)), in_dims=(None, None, 0))(
        net.u.detach(), net.v.detach(), X
    )
    exactly = torch.cat([j.flatten(1) for j in J], dim=1)
    assert pick(net, X, "maxdist-p_grad", 9) == select("maxdist-p", exactly, 9, 0).indices.tolist()
    assert net.w is None


def test_wrappers_with_more_than_they_wrap() -> None:
    class Own(nn.DataParallel):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2

    class Parts(nn.ModuleList):
        def forward(self, x: Tensor) -> Tensor:
            return self[0](x) ** 2

    torch.manual_seed(0)
    a, x = nn.Linear(3, 1), normal(30, 3).float()
    squared = Lambda(lambda net, x: net.a(x) ** 2, a=a)
    compiled = Lambda(lambda net, x: net._orig_mod(x) ** 2, _orig_mod=a)
    chosen = pick(squared, x, "maxdist-p_grad", 6)
    assert chosen != pick(a, x, "maxdist-p_grad", 6)
    for net in (Own(a), compiled):
        assert pick(net, x, "maxdist-p_grad", 6) == chosen
    assert select_batch("maxdist-p_grad", Parts([a]), x, None, x, 6, generator()).indices.tolist() == chosen


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_noise_beside_a_large_output(offset: float) -> None:
    net = Lambda(lambda net, x: functional.dropout(net.a(x), 0.5, training=True) + offset, a=nn.Linear(3, 1))
    with pytest.raises(BmdalError, match="differ between calls"):
        pick(net, normal(30, 3).float(), "maxdist-p_grad")


def test_layers_whose_forward_was_replaced() -> None:
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double(), normal(60, 3)
    usual = net[0].forward
    net[0].forward = lambda x: usual(x).clamp(-1, 1)
    assert_kernels_of_single_points(net, x)


def assert_kernels_of_single_points(net: nn.Module, x: Tensor) -> None:
    J = autograd_features(net.eval(), x)
    with plain_arithmetic([net]):
        features = Gradient().features(Network(net, x), x)
    torch.testing.assert_close(features.kernel(features), J @ J.T)


# Values, once more.


def test_integers_beside_real_numbers() -> None:
    seconds = (1_700_000_000 + np.arange(20))[:, None]
    with pytest.raises(BmdalError, match=r"input 0 has values from 17.*off by up to"):
        select_batch("maxdist-p_ll", nn.Linear(1, 1), np.zeros((3, 1), np.float32) + 1.7e9, None, seconds, 5, 0)
    with pytest.raises(BmdalError, match=r"x_pool holds integers beyond 2\^53"):
        select_batch("maxdist-p_ll", nn.Linear(1, 1), np.zeros((3, 1)), None, 2**60 + seconds, 5, 0)
    few, small = np.zeros((3, 1), np.float32), np.arange(20)[:, None]
    assert len(select_batch("maxdist-p_ll", nn.Linear(1, 1), few, None, small, 5, 0).indices) == 5


def test_a_value_for_unknown_does_not_hide_a_bad_cast() -> None:
    seconds = np.append(1.7e9 + np.linspace(0, 3600, 400), 0)[:, None]
    with pytest.raises(BmdalError, match="input 0 has values from"):
        select_batch("maxdist-p_ll", nn.Linear(1, 1), seconds, None, seconds, 5, 0)


def test_a_data_set_that_hands_out_the_same_memory_again() -> None:
    x = normal(50, 3).float()

    class Reused(torch.utils.data.Dataset[Tensor]):
        memory = torch.empty(3)

        def __len__(self) -> int:
            return 50

        def __getitem__(self, i: int) -> Tensor:
            return self.memory.copy_(x[i])

    net = nn.Linear(3, 1)
    assert pick(net, Reused(), "maxdist-p_grad", 9, x[:5]) == pick(net, x, "maxdist-p_grad", 9, x[:5])
    by_set = select_batch("lcmd-tp_grad", net, Reused(), None, Reused(), 9, 0)
    assert by_set.indices.tolist() == select_batch("lcmd-tp_grad", net, x, None, x, 9, 0).indices.tolist()


def test_which_networks_need_no_checks_on_every_chunk() -> None:
    """Those made of operations that treat every point by itself; the benchmark's is one, also where d = 16."""
    stack = NetworkStack(16, "silu", 0.2, 0.2, [generator()], torch.device("cpu"))
    linear = {"a": nn.Linear(16, 8), "b": nn.Linear(8, 1)}
    plain = {
        "benchmark": stack.network(0),
        "estimator": NetworkRegressor(n_epochs=1).fit(normal(20, 16), normal(20)).networks_[0],
        "ordinary": nn.Sequential(nn.Linear(16, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(), nn.Linear(8, 1)),
        "batch norm": nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.LeakyReLU(), nn.Linear(8, 2)),
        "convolutional": nn.Sequential(nn.Unflatten(1, (1, 16)), nn.Conv1d(1, 3, 2), nn.Flatten(), nn.Linear(45, 1)),
        "slices": Lambda(lambda net, x: net.b(torch.tanh(net.a(torch.cat([x[:, 8:], x[:, :8]], dim=1)))), **linear),
    }
    others = {
        "sorted": lambda net, x: net.b(sorting(net, x)),
        "reshaped": lambda net, x: net.b(net.a(x.view(len(x), -1))),
        "branching": lambda net, x: net.b(net.a(x)) if x.sum() > 0 else net.b(net.a(x)) * 1,
        "masked": lambda net, x: net.b(net.a(x)) + 0 * x[x > 9].sum(),
        "transposed": lambda net, x: net.b(net.a(x + 0 * x.T)) if len(x) == 16 else net.b(net.a(x)),
        "weights of points": lambda net, x: net.b(net.a(x)) + 0 * functional.linear(net.a.weight, x)[:1, :1],
        "first point": lambda net, x: net.b(net.a(x + 0 * x[:1])),
        "numpy": lambda net, x: net.b(net.a(x)) + 0 * float(x.detach().numpy().sum()),
        "drawing": lambda net, x: net.b(net.a(x)) + 0 * torch.rand(()),
    }
    nets = plain | {name: Lambda(forward, **linear) for name, forward in others.items()}
    for name, net in nets.items():
        with plain_arithmetic([net]):
            assert Network(net, normal(16, 16).float()).function.by_points == (name in plain), name


def test_a_buffer_that_points_are_written_into() -> None:
    def forward(net: Any, x: Tensor) -> Tensor:
        copy = torch.add(x, 0.0, out=net.memory.resize_(x.shape))
        order = copy[:, 0].argsort()
        return net.b(torch.tanh(net.a(copy[order])))[order.argsort()] + 0 * net.c(x)

    net, x = deep(forward), normal(60, 3)
    net.register_buffer("memory", torch.empty(0, 3).double())
    plain = deep(lambda net, x: net.b(torch.tanh(net.a(x))) + 0 * net.c(x))
    assert pick(net, x, "maxdist-p_grad", 9) == pick(plain, x, "maxdist-p_grad", 9)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_chunks_of_few_points_are_checked_too(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, x = deep(weight_of_rare_rows), normal(60, 3, seed=3)
    x[:, 0] = x[:, 0].clamp(max=1.5)
    x[37, 0], x[12, 0] = 4.0, 3.0
    J = autograd_features(net, x)
    monkeypatch.setattr(bmdal.pipeline, "_chunk_size", lambda *arguments: n)
    assert pick(net, x, "maxdist-p_grad", 9, x[:5]) == select("maxdist-p", J, 9, 0).indices.tolist()


@pytest.mark.parametrize("place", ["list", "dictionary", "object", "closure"])
def test_weights_that_are_cached_anywhere(place: str) -> None:
    outside: dict[str, Tensor] = {}

    class Box:
        w: Tensor | None = None

    def forward(net: Any, x: Tensor) -> Tensor:
        w = {"list": lambda: net.kept[0], "dictionary": lambda: net.table.get("w"), "object": lambda: net.box.w}
        cached = outside.get("w") if place == "closure" else w[place]()
        if cached is None:
            cached = net.u @ net.v
            net.kept[0] = net.table["w"] = net.box.w = outside["w"] = cached
        return functional.linear(x, cached)

    def network() -> nn.Module:
        net = Lambda(forward).double()
        net.u, net.v = nn.Parameter(normal(2, 3)), nn.Parameter(normal(3, 4, seed=1))
        net.kept, net.table, net.box = [None], {}, Box()
        outside.clear()
        return net

    X = normal(40, 4, seed=2)
    J = torch.cat([autograd_features(network(), x[None]) for x in X])
    net = network()
    if place == "closure":  # nobody can copy it: the first gradient is right, later ones are lost
        with pytest.raises(BmdalError):
            pick(net, X, "maxdist-p_grad", 9)
    else:
        assert pick(net, X, "maxdist-p_grad", 9) == select("maxdist-p", J, 9, 0).indices.tolist()
