"""Base kernels against plain autograd, for networks of all kinds; and networks come back unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from toys import autograd_features, generator, normal, ntk_network, torch_network

from bmdal import BmdalError, Method, select_batch
from bmdal.features import DenseFeatures, Features, NNGPFeatures, ProductFeatures
from bmdal.kernels import NNGP, BaseKernel, Gradient, LastLayer, Linear
from bmdal.network.modes import plain_arithmetic
from bmdal.network.network import Network
from bmdal.testing import check_kernel


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(1, 3, 2)
        self.conv2d = nn.Conv2d(1, 2, 2)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(2 * 2 * 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv1d(x[:, None, :]))  # shape: (n, 3, 3)
        return self.head(torch.relu(self.norm(self.conv2d(x[:, None]))).flatten(1))


class Tokens(nn.Module):
    """Embedding, LayerNorm, attention; linear layers on sequences; inputs are integers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4)
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.mix = nn.Linear(4, 4)
        self.last_layer = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.embedding(x))
        x = self.mix(x + self.attention(x, x, x, need_weights=False)[0])
        return self.last_layer(x.mean(dim=1)).squeeze(-1)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 3, batch_first=True)
        self.head = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x[:, :, None])[0][:, -1])


class Tied(nn.Module):
    """One layer used twice, one weight shared by two layers, and a parameter of the network's own."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = nn.Linear(4, 4)
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.twice(torch.tanh(self.twice(x))))
        return self.head(self.gain * torch.tanh(self.b(torch.tanh(self.a(x)))))


class NotTheEnd(nn.Module):
    """The last layer's output is not the network's."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(torch.tanh(self.body(x))))


def real(n: int, seed: int = 1) -> Tensor:
    return normal(n, 4, seed=seed)


def tokens(n: int, seed: int = 1) -> Tensor:
    return torch.randint(5, (n, 3), generator=generator(seed))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor]]] = {
    "neural tangent parametrization": (ntk_network, real),
    "ordinary": (torch_network, real),
    "two outputs": (lambda: torch_network(n_outputs=2), real),
    "convolutional": (Convolutional, real),
    "tokens": (Tokens, tokens),
    "recurrent": (Recurrent, real),
    "tied": (Tied, real),
    "activation at the end": (NotTheEnd, real),
    "in place at the end": (lambda: nn.Sequential(*torch_network(n_outputs=3), nn.ELU(inplace=True)), real),
}


@pytest.fixture(params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    build, inputs = NETWORKS[request.param]
    torch.manual_seed(0)
    return build().double().eval(), inputs(6)


def features_of(kernel: BaseKernel, model: nn.Module, X: Tensor) -> Features:
    with plain_arithmetic([model]):
        return kernel.features(Network(model, X), X)


def test_gradient_kernel_equals_autograd(case: tuple[nn.Module, Tensor]) -> None:
    model, X = case
    J = autograd_features(model, X).reshape(len(X), -1)
    features = features_of(Gradient(), model, X)
    torch.testing.assert_close(features.kernel(features), J @ J.T)
    torch.testing.assert_close(features.diag(), (J * J).sum(dim=1))


def test_last_layer_kernel_equals_autograd(case: tuple[nn.Module, Tensor]) -> None:
    model, X = case
    last = [m for m in model.modules() if list(m.parameters(recurse=False))][-1]
    J = autograd_features(model, X, list(last.parameters()))
    features = features_of(LastLayer(), model, X)
    torch.testing.assert_close(features.kernel(features), J @ J.T)


def test_contract(case: tuple[nn.Module, Tensor]) -> None:
    model, X = case
    for kernel in (Gradient(), LastLayer()):
        check_kernel(kernel, model, X)
    if X.is_floating_point() and any(isinstance(m, nn.Linear) for m in model.modules()):
        for kernel in (Linear(), NNGP()):
            check_kernel(kernel, model, X)


def test_any_layer_can_be_the_last(case: tuple[nn.Module, Tensor]) -> None:
    model, X = case
    for name, module in model.named_modules():
        if name and list(module.parameters()):
            J = autograd_features(model, X, list(module.parameters()))
            features = features_of(LastLayer(layer=name), model, X)
            torch.testing.assert_close(features.kernel(features), J @ J.T)


def test_linear_layers_are_never_materialized() -> None:
    model = ntk_network()
    features = features_of(Gradient(), model, real(6))
    assert features.n_features is None
    assert [type(part) for part in features.parts[:2]] == [ProductFeatures] * 2
    assert features.nbytes == 6 * 8 * (5 + 8 + 9 + 8 + 9)


def test_last_layer_features_of_the_paper() -> None:
    """(sigma_w / sqrt(d) x_L, sigma_b), without a constant factor."""
    model, X = ntk_network(), real(6)
    x_L = model[:-1](X).detach()
    Phi = features_of(LastLayer(), model, X).matrix()
    torch.testing.assert_close(Phi, torch.cat([1.2 / 8**0.5 * x_L, torch.full((6, 1), 0.3)], dim=1))


def test_linear_and_nngp_kernels() -> None:
    X = real(6)
    assert features_of(Linear(), ntk_network(), X).matrix() is not None
    features = features_of(NNGP(), ntk_network(), X)
    assert (features.n_layers, features.sigma_w) == (3, 1.2)
    assert isinstance(features, NNGPFeatures)


def test_network_comes_back_unchanged(case: tuple[nn.Module, Tensor]) -> None:
    model, X = case
    model.train()
    next(model.modules()).training = True
    parameters = list(model.parameters())
    parameters[0].requires_grad_(False)
    parameters[-1].grad = torch.ones_like(parameters[-1])
    before = copy.deepcopy(model.state_dict())
    features = features_of(Gradient(), model, X)
    features_of(LastLayer(), model, X)
    assert all(module.training for module in model.modules())
    assert [p.requires_grad for p in parameters] == [False] + [True] * (len(parameters) - 1)
    assert [p.grad is None for p in parameters] == [True] * (len(parameters) - 1) + [False]
    assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())
    assert not any(t.requires_grad for t in features.tensors())


def test_no_hooks_stay_after_an_error() -> None:
    model = ntk_network()
    message = (
        r"the network \(parameters: torch.float64\) cannot be called with inputs of shape \(6, 5\) and torch.float64"
    )
    with pytest.raises(BmdalError, match=message):
        features_of(Gradient(), model, normal(6, 5))
    assert not any(m._forward_hooks for m in model.modules())


def test_layers_with_hooks_of_their_own_are_left_to_autograd() -> None:
    model, X = ntk_network(), real(4)
    model[0].register_forward_hook(lambda module, args, output: 2 * output)
    J = autograd_features(model, X)
    features = features_of(Gradient(), model, X)
    kinds = [ProductFeatures, DenseFeatures, DenseFeatures, DenseFeatures]  # hidden, last and first layer
    assert [type(part) for part in features.parts] == kinds
    torch.testing.assert_close(features.kernel(features), J @ J.T)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32_features(dtype: torch.dtype) -> None:
    model = torch_network().to(dtype)
    assert features_of(Gradient(), model, real(4).to(dtype)).dtype == torch.float32
    assert features_of(LastLayer(), model, real(4).to(dtype)).dtype == torch.float32


def test_messages() -> None:
    with pytest.raises(BmdalError, match=r"unknown layer '5'.*Valid: 0, 2, 4"):
        features_of(LastLayer(layer="5"), ntk_network(), real(4))
    with pytest.raises(BmdalError, match="there are none"):
        features_of(NNGP(), nn.Tanh(), real(4))
    with pytest.raises(BmdalError, match="needs a layer with parameters"):
        features_of(LastLayer(), nn.Tanh(), real(4))
    with pytest.raises(BmdalError, match="'grad' needs a network with parameters, and this one has none; try 'linear'"):
        features_of(Gradient(), nn.Tanh(), real(4))
    with pytest.raises(BmdalError, match="real inputs"):
        features_of(Linear(), nn.Tanh(), tokens(4))

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1).double()

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.layer(x), x

    with pytest.raises(BmdalError, match=r"returns tuple with 0 .* choose the one that counts"):
        features_of(Gradient(), Two(), real(4))


@pytest.mark.parametrize("name", ["lcmd-tp_grad_rp-32", "maxdet-p_ll_train", "maxdist-tp_grad"])
def test_every_network_selects_a_batch(name: str, case: tuple[nn.Module, Tensor]) -> None:
    model, _ = case
    inputs = next(make for build, make in NETWORKS.values() if isinstance(model, type(build())))
    x_train, x_pool = inputs(5), inputs(40)
    if isinstance(model, Tokens):
        x_pool = torch.cartesian_prod(*[torch.arange(5)] * 3)[:40]  # no two alike
    model.train()
    batch = select_batch(Method.from_name(name), [model], x_train, None, x_pool, 12, generator())
    assert len(set(batch.indices.tolist())) == 12
    assert model.training
