"""Where models, data and features live; CUDA against the CPU. The CUDA tests run where there is a device."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from toys import generator, normal, ntk_network, torch_network

import bmdal.pipeline
from bmdal import BmdalError, Method, select_batch
from bmdal.errors import is_out_of_memory, release_memory
from bmdal.linalg import largest_eigenvalue
from bmdal.network.modes import plain_arithmetic

NAMES = [
    "random",
    "maxdiag_grad_rp-64_acs-rf-64",
    "maxdet-p_grad_rp-64_train",
    "maxdet-tp_grad_scale",
    "maxdist-tp_nngp",
    "maxdist-tp_grad_rp-64",
    "lcmd-tp_grad",
    "lcmd-tp_grad_rp-64",
    "lcmd-p_grad_rp-64_acs-grad",
    "kmeanspp-p_ll_acs-rf-hyper-64",
    "bait-f-p_ll_train",
    "bait-fb-p_grad_rp-64_train",
    "fw-p_grad_rp-64_acs-rf-hyper-64",
]


def batch(name: str, model_device: str, data_device: str | None = None, **options: object) -> list[int]:
    method = Method.from_name(name)
    data = [normal(n, 6, seed=n).to(data_device or model_device) for n in (30, 500)]
    y = normal(30, seed=1).to(data_device or model_device)
    network = ntk_network(6, 32).to(model_device)
    chosen = select_batch(method, [network], data[0], y, data[1], 25, generator(3), **options)
    assert chosen.indices.device.type == "cpu"
    assert chosen.n_filled == 0
    return chosen.indices.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool in one piece and in pieces of a few points."""
    whole = batch(name, "cpu")
    monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": 100_000})
    assert batch(name, "cpu") == whole


def test_chunks_are_bounded_by_what_a_network_makes_of_a_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution turns 16 numbers into 30 x 16; the last-layer features of a point are 2 numbers."""
    sizes = []

    class Watching(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            return super().forward(x)

    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(30, 1), nn.ReLU(), nn.Linear(1, 1))
    network = nn.Sequential(Watching(1, 30, 3, padding=1), *head)
    monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": 3 * 20 * 4 * (30 * 16 + 2 * 30 + 3)})
    data = normal(100, 1, 4, 4).float()
    select_batch(Method.from_name("maxdiag_ll"), [network], data, None, data, 5, generator())
    assert max(sizes) == 20  # 16 in a first look at the network


def test_chunks_become_smaller_where_memory_runs_out() -> None:
    """By halves, and the batch is the same; what a single point asks too much for is an error."""
    sizes = []

    class Large(nn.Linear):
        most = 100

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            sizes.append(len(x))
            if len(x) > self.most:
                raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
            return super().forward(x)

    torch.manual_seed(0)
    network, data = nn.Sequential(Large(4, 3), nn.ReLU(), nn.Linear(3, 1)), normal(400, 4).float()
    chosen = []
    for most in (1000, 70):
        network[0].most = most
        chosen.append(select_batch("lcmd-tp_ll", network, data[:60], None, data, 9, 0).indices.tolist())
    assert chosen[0] == chosen[1]
    assert [sizes.count(n) for n in (400, 200, 100)] == [2, 1, 1]
    assert sizes.count(50) >= 8
    network[0].most = 0
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        select_batch("lcmd-tp_ll", network, data[:60], None, data, 9, 0)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: an illegal memory access"), False),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_errors_that_say_that_memory_ran_out(error: Exception, memory: bool) -> None:
    assert is_out_of_memory(error) == memory
    wrapped = BmdalError("the kernel function cannot be used")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) == memory


def test_memory_is_released_if_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an illegal access every call fails, this one too."""

    def fails() -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", fails)
    release_memory()


@pytest.mark.parametrize("spectrum", [[1.0], [3.0, 2.999, 1.0], [1.0] * 5, [2.0, 2.0 - 1e-7], [5.0, 1e-12], [0.0, 0.0]])
def test_largest_eigenvalue(spectrum: list[float]) -> None:
    """To 6 digits at least, also of eigenvalues that are close to each other."""
    n = len(spectrum)
    Q = torch.linalg.qr(normal(n, n)).Q
    A = 1e5 * (Q * torch.tensor(spectrum, dtype=torch.float64)) @ Q.T
    assert largest_eigenvalue(A) == pytest.approx(1e5 * max(spectrum), rel=1e-7)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_older_settings_can_be_read_within(precision: str) -> None:
    """Newer versions of PyTorch refuse to where only the newer setting was changed."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        with plain_arithmetic():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision != "highest")
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_user_of_tf32_keeps_it_and_a_user_of_cudnn_too() -> None:
    """Settings of precision, also those of newer versions that the older function refuses to read."""
    data, matmul = normal(20, 4).float(), torch.backends.cuda.matmul
    recurrent = nn.Sequential(nn.Unflatten(1, (4, 1)), Recurrent(), nn.Linear(3, 1))
    name = "fp32_precision" if hasattr(matmul, "fp32_precision") else "allow_tf32"
    before = getattr(matmul, name)
    try:
        setattr(matmul, name, "tf32" if name == "fp32_precision" else True)
        set_to = getattr(matmul, name)
        select_batch(Method.from_name("maxdiag_grad"), [recurrent], data, None, data, 5, generator())
        assert getattr(matmul, name) == set_to
        assert torch.backends.cudnn.enabled
        assert seen == {(False, "ieee" if name == "fp32_precision" else False)}
    finally:
        setattr(matmul, name, before)


seen: set[tuple[bool, object]] = set()


class Recurrent(nn.GRU):
    def __init__(self) -> None:
        super().__init__(1, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        matmul = torch.backends.cuda.matmul
        precision = matmul.fp32_precision if hasattr(matmul, "fp32_precision") else matmul.allow_tf32
        seen.add((torch.backends.cudnn.enabled, precision))
        return super().forward(x)[0][:, -1]


@pytest.mark.gpu
def test_recurrent_networks_on_the_gpu() -> None:
    data = normal(20, 4).float()
    network = nn.Sequential(nn.Unflatten(1, (4, 1)), Recurrent(), nn.Linear(3, 1))
    method = Method.from_name("maxdiag_grad")
    expected = select_batch(method, [network], data, None, data, 5, generator()).indices
    chosen = select_batch(method, [network.cuda()], data.cuda(), None, data.cuda(), 5, generator()).indices
    assert chosen.tolist() == expected.tolist()


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_cuda_chooses_what_the_cpu_chooses(name: str) -> None:
    """In float64; models and data on the GPU, data on the CPU, features on the GPU alone."""
    expected = batch(name, "cpu")
    assert batch(name, "cuda") == expected
    assert batch(name, "cuda", "cpu") == expected
    assert batch(name, "cpu", device="cuda") == expected


@pytest.mark.gpu
def test_a_generator_on_the_gpu() -> None:
    network, data = torch_network().cuda(), normal(40, 4).cuda()
    g = torch.Generator("cuda").manual_seed(0)
    chosen = select_batch(Method.from_name("kmeanspp-p_grad_rp-16"), [network], data[:5], None, data, 10, g)
    assert len(set(chosen.indices.tolist())) == 10


def test_input_is_checked() -> None:
    method, net, x, g = Method.from_name("lcmd-tp_ll"), ntk_network(), normal(9, 4), generator()
    bad = x.clone()
    bad[4, 2] = torch.nan
    cases = {
        "batch_size must be between 1 and the pool size 9, got 10": lambda: select_batch(
            method, [net], x, None, x, 10, g
        ),
        "batch_size must be between 1": lambda: select_batch(method, [net], x, None, x, 0, g),
        r"x_pool has shape \(9, 0\): its points have no inputs": lambda: select_batch(
            method, [net], x, None, x[:, :0], 2, g
        ),
        "kernel is NaN or infinite for training points": lambda: select_batch(
            Method.from_name("maxdet-p_grad_rp-64_train"), [Poison.of(net)], x[:5], None, x, 2, g
        ),
        "there is no gradient: the network computes under torch.no_grad": lambda: select_batch(
            Method.from_name("lcmd-tp_grad"), [NoGrad(net)], x, None, x, 2, g
        ),
        "detaches its outputs": lambda: select_batch(
            Method.from_name("lcmd-tp_grad"), [nn.Sequential(net, Detaching())], x, None, x, 2, g
        ),
        "x_train is empty": lambda: select_batch(method, [net], x[:0], None, x, 2, g),
        "x_pool has a NaN or infinite value in row 4": lambda: select_batch(method, [net], x, None, bad, 2, g),
        "x_train has a NaN or infinite value in row 4": lambda: select_batch(method, [net], bad, None, x, 2, g),
        "must agree in all dimensions except the first": lambda: select_batch(method, [net], x[:, :3], None, x, 2, g),
        "takes 1 model\\(s\\), 2 were given": lambda: select_batch(method, [net, net], x, None, x, 2, g),
        "takes 1 model.*; add 'ens-2' to its name to use them all": lambda: select_batch(
            method, [net, net], x, None, x, 2, g
        ),
        "unknown selection method 'lcmd2'. Did you mean": lambda: select_batch("lcmd2-tp_ll", [net], x, None, x, 2, g),
        "method must be a name such as .* got 7": lambda: select_batch(7, [net], x, None, x, 2, g),
        "generator must be a seed, .* got 'a'": lambda: select_batch(method, [net], x, None, x, 2, "a"),
        "pool size 9, got 2.5": lambda: select_batch(method, [net], x, None, x, 2.5, g),
        "features cannot be stored on device='gpu'; valid here: device=cpu": lambda: select_batch(
            method, [net], x, None, x, 2, g, device="gpu"
        ),
        "models must be a torch.nn.Module or a list of them, got None": lambda: select_batch(
            method, None, x, None, x, 2, g
        ),
        "needs the training labels": lambda: select_batch(
            Method.from_name("fw-p_ll_acs-rf-hyper-8"), [net], x, None, x, 2, g
        ),
        "y_train must have shape": lambda: select_batch(
            Method.from_name("fw-p_ll_acs-rf-hyper-8"), [net], x, x, x, 2, g
        ),
        "kernel is NaN or infinite": lambda: select_batch(
            method, [nn.Sequential(nn.Linear(4, 1).double(), Poison())], x, None, x, 2, g
        ),
    }
    for message, call in cases.items():
        with pytest.raises(BmdalError, match=message):
            call()


class NoGrad(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Detaching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach() * 2


class Poison(nn.Module):
    @staticmethod
    def of(net: nn.Sequential) -> nn.Sequential:
        """The same network with parameters that are no numbers."""
        other = copy.deepcopy(net)
        other[0].weight.data.fill_(torch.nan)
        return other

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0 * torch.sin(x)


def test_a_stuck_method_fills_the_batch() -> None:
    """Three distinct points, ten of each: after them the batch is filled at random, without repeats."""
    pool = normal(3, 4).repeat(10, 1)
    chosen = select_batch(Method.from_name("maxdist-p_linear"), [ntk_network()], pool[:3], None, pool, 12, generator())
    assert chosen.n_filled == 9
    assert len(set(chosen.indices.tolist())) == 12
