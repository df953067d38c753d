"""Names of methods, both ways, and combinations that cannot work."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor
from toys import generator, normal, ntk_network

from bmdal import BmdalError, IncompatibleError, Method, UnknownComponentError, register, select_batch
from bmdal.kernels import Gradient, LastLayer
from bmdal.selection import LCMD, Random, Selection, SelectionProblem
from bmdal.transformations import RandomProjection

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"


def published_names() -> list[str]:
    with (PUBLISHED / "relu_256x16.csv").open() as file:
        return [row["algorithm"].removeprefix("NN_") for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", published_names())
def test_published_name_there_and_back_and_a_batch(name: str) -> None:
    method = Method.from_name(name)
    assert method.name == name
    models = [ntk_network(seed=k) for k in range(method.n_models)]
    args = {"x_train": normal(9, 4, seed=1), "y_train": normal(9, seed=2), "x_pool": normal(40, 4, seed=3)}
    batches = [select_batch(method, models, batch_size=10, generator=generator(5), **args) for _ in range(2)]
    assert batches[0].indices.tolist() == batches[1].indices.tolist()
    assert batches[0].indices.dtype == torch.long
    assert len(set(batches[0].indices.tolist())) == 10
    assert batches[0].n_filled == 0


def test_there_are_76_published_names() -> None:
    assert len(published_names()) == 76


def test_parts_of_a_method() -> None:
    method = Method.from_name("lcmd-tp_grad_rp-512", sigma=0.1)
    assert method == Method(LCMD(), Gradient(), (RandomProjection(512),), "TP", 0.1)
    assert Method(Random()).name == "random"
    assert Method.from_name("bait-fb-p_grad_ens-3_rp-512_train").n_models == 3


def test_a_layer_whose_name_holds_underscores() -> None:
    method = Method.from_name("maxdiag_ll[head.last_layer]_train")
    assert method.kernel == LastLayer(layer="head.last_layer")
    assert method.name == "maxdiag_ll[head.last_layer]_train"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lcmd_grad", r"'lcmd' was given no mode; valid: lcmd-tp \(mode=TP\) or lcmd-p"),
        ("maxdiag-tp_ll", "'maxdiag' was given mode 'TP'; it has none"),
        ("fw-tp_ll", r"'fw' was given mode 'TP'; valid: fw-p"),
        ("lcmd-tp_gradd", "unknown kernel 'gradd'. Did you mean 'grad'"),
        ("lcdm-tp_grad", "unknown selection method 'lcdm'. Did you mean 'lcmd'"),
        ("lcmd-tp_grad_rp512", "unknown transformation 'rp512'.*Valid: acs-grad"),
        ("lcmd-tp", "'lcmd' needs a kernel"),
        ("random_ll", "does not use features"),
        ("fw-p_nngp", "explicit feature matrix, which 'nngp' does not have"),
        ("bait-f-p_grad", "add a sketch such as 'rp-512'"),
        ("fw-p_grad_train", "explicit feature matrix"),
        ("lcmd-tp_nngp_rp-512", "needs a finite-dimensional kernel"),
        ("lcmd-tp_grad_train_rp-512", "needs a finite-dimensional kernel"),
        ("lcmd-tp_grad_acs-rf-512", "needs an explicit feature matrix"),
        ("lcmd-tp_grad_ens-3_ens-3", "at most one ensemble"),
        ("lcmd-tp_grad_rp-0", "transformation 'rp-0': n_features must be at least 1, got 0"),
        ("lcmd-tp_ll_ens-0", "transformation 'ens-0': n_models must be at least 1, got 0"),
        ("maxdiag_ll_acs-rf-hyper-0", "n_features must be at least 1, got 0"),
        ("", "unknown selection method ''"),
    ],
)
def test_refused_with_a_reason(name: str, message: str) -> None:
    with pytest.raises(BmdalError, match=message):
        Method.from_name(name)


def test_an_unknown_part_has_an_exception_of_its_own() -> None:
    for name in ("lcmd-tp_gard", "lcmd-tp_grad_rp512", "bald"):
        with pytest.raises(UnknownComponentError):
            Method.from_name(name)
    with pytest.raises(BmdalError, match=r"selection must be a Selection, got 'lcmd'; use Method.from_name for names"):
        Method("lcmd", "grad", mode="TP")
    with pytest.raises(BmdalError, match=r"kernel must be a BaseKernel, got 'grad'; use Method.from_name for names"):
        Method(LCMD(), "grad", mode="TP")
    with pytest.raises(
        BmdalError, match=r"transformations must hold Transformations, got 'rp-5'; use Method.from_name"
    ):
        Method(LCMD(), Gradient(), ("rp-5",), mode="TP")


def test_sigma_must_be_positive() -> None:
    for sigma in (0, -1.0, 1e-160, 1e160, float("nan"), float("inf"), True):
        with pytest.raises(BmdalError, match="sigma must be a number greater than 0 and from 1e-150 to 1e150, got"):
            Method.from_name("random", sigma=sigma)


def test_own_component_is_used_by_name() -> None:
    @register
    @dataclass(frozen=True)
    class EveryNth(Selection):
        """Every n-th pool point."""

        n: int = 2
        tokens = ("every-{n}",)
        modes = ()

        def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
            return torch.arange(0, len(problem.pool), self.n)[:batch_size]

    method = Method.from_name("every-3_linear")
    assert method.name == "every-3_linear"
    batch = select_batch(method, [ntk_network()], normal(3, 4), None, normal(20, 4), 8, generator())
    assert batch.indices[:7].tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert batch.n_filled == 1
    assert len(set(batch.indices.tolist())) == 8

    register(dataclass(frozen=True)(type("LCMD", (EveryNth,), {"tokens": ("my-lcmd",)})))  # the class of the same name
    assert [Method.from_name(name).selection.name for name in ("lcmd-p_ll", "my-lcmd_ll")] == ["lcmd", "my-lcmd"]

    with pytest.raises(BmdalError, match="'lcmd' is taken by LCMD"):
        register(dataclass(frozen=True)(type("Mine", (EveryNth,), {"tokens": ("lcmd",)})))
    with pytest.raises(BmdalError, match="Mine must be a frozen dataclass"):
        register(dataclass(unsafe_hash=True)(type("Mine", (Selection,), {"tokens": ("mine",)})))
    with pytest.raises(BmdalError, match="underscore separates the tokens of a method name; use a hyphen"):
        register(dataclass(frozen=True)(type("Mine", (EveryNth,), {"tokens": ("my_own",)})))
    with pytest.raises(IncompatibleError):
        Method(EveryNth(3), Gradient(), mode="P")
