"""Where models, data and features live; CUDA against the CPU. The CUDA tests run where there is a device."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import generator, normal, ntk_network, torch_network

import bmdal.pipeline
from bmdal import BmdalError, Method, select_batch

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


def batch(name: str, device: str, data_device: str | None = None, **options: object) -> list[int]:
    method = Method.from_name(name)
    data = [normal(n, 6, seed=n).to(data_device or device) for n in (30, 500)]
    y = normal(30, seed=1).to(data_device or device)
    network = ntk_network(6, 32).to(device)
    chosen = select_batch(method, [network], data[0], y, data[1], 25, generator(3), **options)
    assert chosen.indices.device.type == "cpu"
    assert chosen.n_filled == 0
    return chosen.indices.tolist()


@pytest.mark.parametrize("name", NAMES)
def test_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool in one piece and in pieces of a few points."""
    whole = batch(name, "cpu")
    monkeypatch.setattr(bmdal.pipeline, "CHUNK_BYTES", {"cpu": 100_000})
    monkeypatch.setattr(bmdal.pipeline, "FIRST_CHUNK", 7)
    assert batch(name, "cpu") == whole


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
        "x_train is empty": lambda: select_batch(method, [net], x[:0], None, x, 2, g),
        "x_pool has a NaN or infinite value in row 4": lambda: select_batch(method, [net], x, None, bad, 2, g),
        "x_train has a NaN or infinite value in row 4": lambda: select_batch(method, [net], bad, None, x, 2, g),
        "must agree in all dimensions but the first": lambda: select_batch(method, [net], x[:, :3], None, x, 2, g),
        "takes 1 model\\(s\\), 2 were given": lambda: select_batch(method, [net, net], x, None, x, 2, g),
        "takes 1 model.*; with 'ens-2' in its name it would take them all": lambda: select_batch(
            method, [net, net], x, None, x, 2, g
        ),
        "method must be a bmdal.Method, e.g. Method.from_name.*got 'lcmd-tp_ll'": lambda: select_batch(
            "lcmd-tp_ll", [net], x, None, x, 2, g
        ),
        "generator must be a torch.Generator .* got 0": lambda: select_batch(method, [net], x, None, x, 2, 0),
        "pool size 9, got 2.5": lambda: select_batch(method, [net], x, None, x, 2.5, g),
        "features cannot be kept on device='gpu'; valid here: device=cpu": lambda: select_batch(
            method, [net], x, None, x, 2, g, device="gpu"
        ),
        "must be a list of networks": lambda: select_batch(method, net, x, None, x, 2, g),
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


class Poison(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 0 * torch.sin(x)


def test_a_stuck_method_fills_the_batch() -> None:
    """Three distinct points, ten of each: after them the batch is filled at random, without repeats."""
    pool = normal(3, 4).repeat(10, 1)
    chosen = select_batch(Method.from_name("maxdist-p_linear"), [ntk_network()], pool[:3], None, pool, 12, generator())
    assert chosen.n_filled == 9
    assert len(set(chosen.indices.tolist())) == 12
