"""What a GPU would refuse, wait for or launch, on a pretended one: see `device_guard`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from device_guard import CUDA, PretendedCuda, on_cuda
from torch import Tensor, nn
from toys import generator, normal, ntk_network

from bmdal import select, select_batch
from bmdal.linalg import blocks
from bmdal.regressor.epoch import ADAM_PIECES, Epoch
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train
from bmdal.repeat import Repeated

Function = Callable[[Tensor], object]

REFUSED: dict[str, Function] = {
    "operands on two devices": lambda x: x + torch.ones(6),
    "a product of two devices": lambda x: x @ torch.ones(6),
    "parts from two devices": lambda x: torch.cat([x, torch.zeros(2)]),
    "an identity on the CPU": lambda x: x.view(2, 3) @ torch.eye(3),
    "a generator on the CPU": lambda x: torch.randn(3, device="cuda", generator=generator()),
    "numpy": lambda x: x.numpy(),
    "a network on the CPU": lambda x: nn.Linear(6, 1)(x),
}
WAITING: dict[str, Function] = {
    "float": lambda x: float(x[0]),
    "a condition": lambda x: bool(x.sum() > 3),
    "an index that is a number": lambda x: x[x.argmax()],
    "nonzero": lambda x: x.nonzero(),
    "a mask": lambda x: x[x > 2],
    "assignment by a mask": lambda x: x.__setitem__(x > 2, 0.0),
    "tolist": lambda x: x.tolist(),
    "to the CPU": lambda x: x.cpu(),
    "into a tensor on the CPU": lambda x: torch.zeros(6).copy_(x),
    "numbers from the CPU for a part": lambda x: x.__setitem__(slice(2), torch.zeros(2)),
    "a network that moves": lambda x: nn.Linear(6, 1, bias=False).to("cuda")(x).sum().backward(),
    "one number": lambda x: x.__setitem__(2, 0.0),
    "a new tensor of numbers": lambda x: torch.tensor([1.0], device="cuda"),
    "from pageable memory": lambda x: torch.ones(3).to(x.device, non_blocking=True),
    "an index on the CPU": lambda x: x[torch.tensor([1, 2])],
    "a number on the GPU to fill in": lambda x: x.masked_fill_(x > 2, x[0]),
    "a number on the GPU to fill rows with": lambda x: x.index_fill_(0, torch.arange(2, device=x.device), x[0]),
    "an array as index": lambda x: x[np.array([1, 2])],
}
FREE: dict[str, Function] = {
    "one number from the CPU": lambda x: x * torch.tensor(2.0),
    "where": lambda x: torch.where(x > 2, x, 0.0),
    "a filled part": lambda x: x.__setitem__(slice(2, 3), 0.0),
    "an index on the GPU": lambda x: x.index_select(0, x.argmax(dim=0, keepdim=True)),
    "from pinned memory": lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True),
    "made there": lambda x: torch.zeros(6, device=x.device) + torch.arange(6, device="cuda") + torch.ones_like(x) + x,
    "a backward pass": lambda x: (x * torch.ones(6, device="cuda", requires_grad=True)).sum().backward(),
    "vmap": lambda x: torch.vmap(lambda row: row * torch.ones(3, device=x.device))(x.view(2, 3)) + x.view(2, 3),
    "batch norm under vmap": lambda x: torch.vmap(_batch_norm)(x.view(3, 1, 2)) + x.view(3, 1, 2),
}


def _batch_norm(row: Tensor) -> Tensor:
    mean, variance = (torch.ones(2, device=row.device) for _ in range(2))
    return nn.functional.batch_norm(row, mean, variance)


def watch(function: Function) -> PretendedCuda:
    with PretendedCuda() as cuda:
        x = torch.arange(6.0, device="cuda")
        assert x.is_cuda
        cuda.launches.clear()
        function(x)
    return cuda


@pytest.mark.parametrize("name", REFUSED)
def test_sees_what_is_refused(name: str) -> None:
    try:
        cuda = watch(REFUSED[name])
    except RuntimeError:
        return
    assert cuda.errors


@pytest.mark.parametrize("name", WAITING)
def test_sees_what_waits(name: str) -> None:
    cuda = watch(WAITING[name])
    assert sum(cuda.waits.values()) == 1
    assert not cuda.errors


@pytest.mark.parametrize("name", FREE)
def test_no_false_alarm(name: str) -> None:
    cuda = watch(FREE[name])
    assert not cuda.waits
    assert not cuda.errors


def test_counts_launches_and_bytes() -> None:
    cuda = watch(lambda x: (x + 1).mul_(x).view(2, 3)[0])
    assert sum(cuda.launches.values()) == 2
    assert cuda.nbytes == 24 + (24 + 24) + (2 * 24 + 24)  # made; read and written by the sum; by the product


def test_a_graph_is_replayed_and_shows_what_was_frozen() -> None:
    def replayed(make_step: Callable[[Tensor], Function]) -> tuple[list[float], PretendedCuda]:
        with PretendedCuda() as cuda:
            x = torch.zeros(2, device="cuda")
            step = make_step(x)
            repeated = Repeated(lambda: step(x), CUDA, 0)
            repeated()
            repeated()
            return x.tolist(), cuda

    def counting_in_python(x: Tensor) -> Function:
        n = iter(range(1, 9))
        return lambda x: x.add_(next(n))

    def counting_on_the_device(x: Tensor) -> Function:
        n = torch.zeros((), device=x.device)
        return lambda x: x.add_(n.add_(1))

    assert replayed(counting_on_the_device)[0] == [3.0, 3.0]
    assert replayed(counting_in_python)[0] == [2.0, 2.0]  # not 3
    (error,) = replayed(lambda x: lambda x: float(x.sum()))[1].errors
    assert "_local_scalar_dense while a graph is captured" in error
    with PretendedCuda() as cuda:
        torch.cuda.CUDAGraph().capture_begin()
    assert "capture_error_mode='global'" in cuda.errors[0]


CHECKS = 1 / 16  # one look at sixteen points
MOST = {  # per picked point: launches, waits
    "maxdist-tp_grad_rp-512": (3, CHECKS),
    "maxdist-p_grad_rp-512": (3, CHECKS),
    "lcmd-tp_grad_rp-512": (3, CHECKS),
    "kmeanspp-tp_grad_rp-512": (3, CHECKS),
    "maxdet-p_grad_rp-512_train": (16, CHECKS),
    "bait-f-p_grad_rp-512_train": (3, CHECKS),
    "bait-fb-p_grad_rp-512_train": (6, 2 * CHECKS),
    "epig-p_grad_rp-512_train": (36, CHECKS),
    "fw-p_grad_rp-512_acs-rf-hyper-512": (3, CHECKS),
    "lcmd-tp_grad": (33, CHECKS),
    "lcmd-p_grad_rp-64_acs-grad": (24, CHECKS),
    "maxdist-tp_nngp": (58, CHECKS),
    "maxdet-tp_grad_scale": (30, CHECKS),
    "maxdet-p_ll_train": (3, 2 * CHECKS),
    "maxdiag_grad_rp-512_acs-rf-512": (0, 0),
    "maxherding-p_grad_rp-512": (3, CHECKS),
    "maxherding-tp_grad": (98, CHECKS),
    "uherding-p_grad_rp-512_train": (3, CHECKS),
    "rpcholesky-p_grad_rp-512_train": (24, CHECKS),
    "rpcholesky-p_ll_train": (3, 2 * CHECKS),
    "igs-tp_grad_rp-512": (3, CHECKS),
    "igs-tp_nngp": (62, CHECKS),
    "power_grad_rp-512_train": (0, 0),
    "random": (0, 0),
}


def choose(name: str, batch_size: int, place: Callable[[Tensor], Tensor] = lambda t: t, **options: object) -> list[int]:
    """A batch of 500 points for a small network, all of which `place` may have put on the pretended GPU."""
    x_train, x_pool, y = (place(t) for t in (normal(30, 6, seed=30), normal(500, 6, seed=500), normal(30, seed=1)))
    network = ntk_network(6, 32)
    network = network.to("cuda") if on_cuda(x_pool) else network
    return select_batch(name, [network], x_train, y, x_pool, batch_size, 3, **options).indices.tolist()


def to_cuda(t: Tensor) -> Tensor:
    return t.to("cuda")


def per_pick(name: str, few: int = 16, many: int = 80, **options: object) -> tuple[float, float, float]:
    """Launches, waits and bytes for each further point; the points must be the CPU's, and nothing refused."""
    used = []
    for batch_size in (few, many):
        with PretendedCuda() as cuda:
            chosen = choose(name, batch_size, to_cuda, **options)
        assert chosen == choose(name, batch_size, **options)
        assert not cuda.errors
        used.append((sum(cuda.launches.values()), sum(cuda.waits.values()), cuda.nbytes))
    launches, waits, nbytes = ((after - before) / (many - few) for before, after in zip(*used, strict=True))
    return launches, waits, nbytes


@pytest.mark.parametrize("name", MOST)
def test_launches_and_waits_for_each_point(name: str) -> None:
    launches, waits, _ = per_pick(name)
    assert launches <= MOST[name][0]
    assert waits <= MOST[name][1]


def test_more_points_than_there_are_to_choose() -> None:
    """Batches that end early, in the middle of sixteen points, and are filled with the CPU's random ones."""
    pool = normal(3, 4).repeat(10, 1)
    names = ["maxdist-p", "lcmd-tp", "kmeanspp-p", "kmeanspp-tp", "fw-p", "bait-f-p", "epig-p", "maxdet-p"]
    for name in (*names, "maxherding-tp", "uherding-p", "rpcholesky-p", "power"):
        assert_same_on_both(name, pool, 25, train=pool[:1])


@pytest.mark.parametrize("name", ["bait-f-p", "bait-fb-p", "maxdet-p"])
def test_scores_that_come_near_to_rounding(name: str) -> None:
    """Where the points span all features, `bait` goes back to the first point whose score was in doubt."""
    pool = normal(60, 3, seed=3) * torch.logspace(0, 2, 3, dtype=torch.float64) + 5
    assert_same_on_both(name, pool, 20, sigma=1e-3)


GREEDY = ["maxdist-p", "lcmd-tp", "kmeanspp-p", "maxdet-p", "bait-f-p", "epig-p"]
GREEDY += ["maxherding-tp", "uherding-p", "rpcholesky-p", "power"]


@pytest.mark.parametrize("name", GREEDY)
def test_groups_and_costs(name: str) -> None:
    pool, train = normal(60, 5), normal(4, 5, seed=1)
    costs = torch.arange(1.0, 61.0) if name in ("maxdet-p", "bait-f-p", "epig-p") else None
    groups = [i // 3 for i in range(60)]
    assert_same_on_both(name, pool, 18, train=train, groups=groups, costs=costs, exclude=[0, 5, 7])


def assert_same_on_both(name: str, pool: Tensor, batch_size: int, train: Tensor | None = None, **options: Any) -> None:
    expected = select(name, pool, batch_size, 5, train=train, **options).indices.tolist()
    with PretendedCuda() as cuda:
        there = None if train is None else train.to("cuda")
        chosen = select(name, pool.to("cuda"), batch_size, 5, train=there, **options).indices.tolist()
    assert chosen == expected
    assert not cuda.errors


def test_blocks_are_large_on_the_gpu() -> None:
    """For 100,000 pool points and 2,304 training points: distances in float32, and a posterior in float64."""
    assert [len(list(blocks(100_000, n, CUDA))) for n in (4 * 2304, 8 * 2304)] == [4, 7]


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_training(activation: str) -> None:
    """Three networks side by side: the CPU's results, nothing that waits from epoch to epoch, aligned parameters."""
    g = [generator(k) for k in range(3)]
    points = [torch.randn(n, 5, generator=g[0]) for n in (70, 30)]
    data = TrainingData(points[0], points[0].sum(dim=1), points[1], points[1].sum(dim=1))

    def train_on(device: str, n_epochs: int) -> tuple[Tensor, NetworkStack]:
        stack = NetworkStack(5, activation, 0.4, 0.3, [generator(k) for k in range(3)], torch.device("cpu")).to(device)
        there = TrainingData(*(t.to(device) for t in vars(data).values()))
        training = Training(activation=activation, learning_rate=0.05, n_epochs=n_epochs, batch_size=32)
        return train(stack, [there] * 3, training, [generator(10 + k) for k in range(3)]), stack

    used = []
    for n_epochs in (6, 16):
        best, on_cpu = train_on("cpu", n_epochs)
        with PretendedCuda() as cuda:
            pretended, stack = train_on("cuda", n_epochs)
        torch.testing.assert_close(pretended, best, rtol=1e-3, atol=1e-4)
        for p, q in zip(stack.parameters(), on_cpu.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)
        assert not cuda.errors
        used.append((sum(cuda.launches.values()), sum(cuda.waits.values())))
    launches, waits = ((after - before) / 10 for before, after in zip(*used, strict=True))
    assert launches <= 6
    assert waits == 0


def test_parameters_are_aligned_on_the_gpu() -> None:
    stack = NetworkStack(5, "relu", 0.4, 0.3, [generator(k) for k in range(3)], torch.device("cpu"))
    with PretendedCuda():
        points = [torch.zeros(shape, device="cuda") for shape in ((3, 40, 5), (3, 40), (3, 9, 5), (3, 9))]
        epoch = Epoch(stack.to("cuda"), slice(0, 3), *points, batch_size=8, learning_rate=0.1, n_steps=5)
        assert epoch.parameters.stride(0) % 32 == 0
        pieces = epoch.adam_pieces[0]
        assert len(pieces) == ADAM_PIECES["cuda"]
        assert all(len(piece) % 32 == 0 for piece in pieces)
        assert pieces[-1].data_ptr() - epoch.parameters.data_ptr() == 4 * sum(len(piece) for piece in pieces[:-1])
