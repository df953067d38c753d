"""Networks as people have them: compiled, wrapped, half precise, frozen. The batch is that of the plain network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys import generator, normal

from bmdal import BmdalError, Method, select_batch

NAMES = [
    "lcmd-tp_grad",
    "lcmd-tp_grad_rp-32",
    "lcmd-tp_ll",
    "maxdet-p_ll[2]_train",
    "maxdist-tp_nngp",
    "maxdist-tp_linear",
]
x_train, x_pool = normal(20, 4, seed=1).float(), normal(200, 4, seed=2).float()


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))


def batch(name: str, model: nn.Module, train: Tensor = x_train, pool: Tensor = x_pool) -> list[int]:
    return select_batch(Method.from_name(name), [model], train, None, pool, 10, generator()).indices.tolist()


def used(model: nn.Module) -> nn.Module:
    """A compiled network that has been called, so that compiled code is there."""
    with torch.no_grad():
        model(x_pool)
        model(x_train)
    return model


def compiled() -> nn.Module:
    return used(torch.compile(network(), backend="eager"))


def compiled_in_place() -> nn.Module:
    model = network()
    model.compile(backend="eager")
    return used(model)


def compiled_in_part() -> nn.Module:
    model = network()
    model[0].compile(backend="eager")
    return used(model)


def frozen() -> nn.Module:
    return network().requires_grad_(False)


def frozen_in_part() -> nn.Module:
    model = network()
    model[0].requires_grad_(False)
    return model


def in_training_mode() -> nn.Module:
    model = network()
    return nn.Sequential(*model[:2], nn.Dropout(0.5), *model[2:]).train()


def made_in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return network()


MODELS: dict[str, Callable[[], nn.Module]] = {
    "compiled": compiled,
    "compiled in place": compiled_in_place,
    "compiled in part": compiled_in_part,
    "data parallel": lambda: nn.DataParallel(network()),
    "compiled and data parallel": lambda: torch.compile(nn.DataParallel(network()), backend="eager"),
    "frozen": frozen,
    "frozen in part": frozen_in_part,
    "made in inference mode": made_in_inference_mode,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", MODELS)
def test_same_batch_as_the_plain_network(name: str, model: str) -> None:
    other = MODELS[model]()
    assert batch(name, other) == batch(name, network())
    with torch.no_grad():
        torch.testing.assert_close(other(x_pool), network()(x_pool))


@pytest.mark.parametrize("name", [name for name in NAMES if "[" not in name])
def test_training_mode(name: str) -> None:
    model = in_training_mode()
    assert batch(name, model) == batch(name, network())
    assert model.training
    assert model[2].training


@pytest.mark.parametrize("name", NAMES)
def test_surroundings_do_not_matter(name: str) -> None:
    """Autocast and inference mode are meant for other computations."""
    plain = batch(name, network())
    with torch.autocast("cpu", torch.bfloat16):
        assert batch(name, network()) == plain
        assert torch.is_autocast_enabled("cpu")
    with torch.inference_mode():
        assert batch(name, network(), x_train.clone(), x_pool.clone()) == plain
        assert torch.is_inference_mode_enabled()
        if "grad" in name or "ll" in name:
            convolutional = nn.Sequential(nn.Unflatten(1, (1, 4)), nn.Conv1d(1, 3, 2), nn.Flatten(), nn.Linear(9, 1))
            assert len(batch(name.replace("[2]", ""), convolutional, x_train.clone(), x_pool.clone())) == 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    """Ten points far from one another, each with near neighbours: the batch has one of each group."""
    centres = 6 * normal(10, 4, seed=5)
    pool = (centres.repeat(20, 1) + 0.01 * normal(200, 4, seed=6)).float()
    for model, x in ((network(), pool), (network().to(dtype), pool.to(dtype))):
        chosen = batch(name, model, x[:1] * 0, x)
        if name != "maxdet-p_ll[2]_train":
            assert sorted(i % 10 for i in chosen) == list(range(10))
        assert len(set(chosen)) == 10
    assert model[0].weight.dtype == dtype


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
def test_script_modules_are_refused() -> None:
    message = "cannot be inspected: .* is TorchScript; pass the network it was made from"
    with pytest.raises(BmdalError, match=message):
        batch("lcmd-tp_grad", torch.jit.script(network()))
    model = network()
    model[2] = torch.jit.script(model[2])
    with pytest.raises(BmdalError, match="its module '2' is TorchScript"):
        batch("lcmd-tp_grad", model)


class Wrapper(nn.Module):
    def __init__(self, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.network = network()
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.network(x))


@pytest.mark.parametrize(
    ("wrap", "returned"),
    [
        (lambda y: (y, y), r"returns tuple with 0 \(16, 1\), 1 \(16, 1\); choose the one that counts.*output=0"),
        (lambda y: {"mean": y, "std": y}, r"returns dict with 'mean' .*output='mean'"),
        (lambda y: (y.long(), "y"), r"must return one tensor .* it returned tuple; use forward="),
        (lambda y: y.mean(), r"must return one tensor .* it returned \(\); use forward="),
        (lambda y: y.T.contiguous(), r"must return one tensor .* it returned \(1, 16\)"),
    ],
)
def test_networks_that_return_something_else_are_refused(wrap: Callable[[Tensor], Any], returned: str) -> None:
    for name in ("lcmd-tp_grad", "lcmd-tp_ll"):
        with pytest.raises(BmdalError, match=returned):
            batch(name, Wrapper(wrap))


def test_inputs_that_a_network_does_not_take_are_refused() -> None:
    with pytest.raises(BmdalError, match=r"\(parameters: torch.float32\) cannot be called with .* torch.float64: "):
        batch("lcmd-tp_grad", network(), x_train.double(), x_pool.double())
    with pytest.raises(BmdalError, match=r"cannot be called with inputs of shape \(16, 4\) and torch.float32: "):
        batch("lcmd-tp_grad", nn.Linear(7, 1))
    with pytest.raises(
        BmdalError, match=r"models must be a torch.nn.Module or a list of them, the list holds a function"
    ):
        batch("lcmd-tp_grad", lambda x: x)  # type: ignore[arg-type]
