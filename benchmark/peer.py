"""The original software, `bmdal-reg`, as an oracle for tests and for comparison in speed measurements.

It is an optional extra (`pip install -e .[reference]`); nothing else in the project needs it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.errors import BenchmarkError
from benchmark.split import Split
from benchmark.task import Task
from bmdal import Method, NTKLinear
from bmdal.regressor.training import Training, TrainingData


@dataclass(frozen=True)
class PeerBatch:
    """A batch selected by the original.

    Attributes:
        indices: pool indices in the order of selection, shape (batch_size,).
        n_chosen: how many of them the method selected; if it gives up early, the original adds random points.
        kernel_seconds, selection_seconds: its wall-clock times.
    """

    indices: Tensor
    n_chosen: int
    kernel_seconds: float
    selection_seconds: float


def peer_module(name: str) -> ModuleType:
    """Import a module of the original, e.g. "bmdal.algorithms". Raises BenchmarkError if it is not installed."""
    np.Inf, np.int = np.inf, int  # type: ignore[attr-defined]  # names that numpy 2 no longer has
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"bmdal_reg.{name}")
    except ImportError as error:
        raise BenchmarkError(
            f"the original software is not installed ({error}): pip install -e '.[reference]'"
        ) from None


def peer_network(network: nn.Sequential) -> nn.Module:
    """Rebuild a network with the layers of the original; parameters are copied."""
    peer = peer_module("layers")
    layers: list[nn.Module] = []
    for layer in network:
        if isinstance(layer, NTKLinear):
            W, b = layer.weight.detach().T.clone(), layer.bias.detach().clone()
            layers.append(peer.LinearLayer(W, b, weight_factor=layer.weight_factor, bias_factor=layer.sigma_b))
        else:
            layers.append(type(layer)())
    return nn.Sequential(*layers)


def peer_select(
    method: Method,
    networks: Sequence[nn.Sequential],
    x_train: Tensor,
    y_train: Tensor,
    x_pool: Tensor,
    batch_size: int,
) -> PeerBatch:
    """Select a batch with the original, given the same method, networks and data. It uses the global random state."""
    algorithms, data = peer_module("bmdal.algorithms"), peer_module("bmdal.feature_data")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        indices, results = algorithms.select_batch(
            batch_size=batch_size,
            models=[peer_network(network) for network in networks],
            data={"train": data.TensorFeatureData(x_train), "pool": data.TensorFeatureData(x_pool)},
            y_train=y_train.reshape(-1, 1),
            use_cuda_synchronize=x_pool.is_cuda,
            **peer_config(method, networks),
        )
    gave_up = re.search(r"n_selected = (\d+)", results["selection_status"] or "")
    return PeerBatch(
        indices=indices.cpu(),
        n_chosen=int(gave_up[1]) if gave_up else batch_size,
        kernel_seconds=results["kernel_time"]["total"],
        selection_seconds=results["selection_time"]["total"],
    )


def peer_config(method: Method, networks: Sequence[nn.Sequential]) -> dict[str, Any]:
    """Translate a published method into arguments of the original's `select_batch`."""
    selection, sigma = method.selection.name, method.sigma
    transforms: list[tuple[str, list[Any]]] = []
    for transformation in method.transformations:
        kind, _, number = transformation.name.rpartition("-")
        arguments: dict[str, tuple[str, list[Any]]] = {
            "scale": ("scale", [None]),
            "train": ("train", [sigma, None]),
            "acs-grad": ("acs-grad", [sigma, None]),
        }
        if transformation.name in arguments:
            transforms.append(arguments[transformation.name])
        elif kind == "ens":
            transforms.append(("ens", []))
        else:
            values: dict[str, list[Any]] = {"rp": [], "acs-rf": [sigma, None], "acs-rf-hyper": [None]}
            transforms.append((kind, [int(number), *values[kind]]))
    return {
        "base_kernel": "ll" if method.kernel is None else method.kernel.name,
        "kernel_transforms": transforms,
        "selection_method": "bait" if selection.startswith("bait") else selection,
        "overselection_factor": 2.0 if selection == "bait-fb" else 1.0,
        "sel_with_train": method.mode == "TP",
        "maxdet_sigma": sigma,
        "bait_sigma": sigma,
        "weight_gain": next(layer.sigma_w for layer in networks[0] if isinstance(layer, NTKLinear)),
        "allow_float64": True,
        "allow_kernel_space_posterior": method.kernel is not None and method.kernel.name in ("grad", "nngp"),
        "compute_eff_dim": False,
        "verbosity": 0,
    }


def peer_selection(method: Method, train: Tensor, pool: Tensor, batch_size: int) -> Tensor:
    """Select points with the original's selection class from features of shapes (n_train, p) and (n_pool, p).

    BAIT uses the score of the formula: see `bait_scores`.
    """
    selection, maps = peer_module("bmdal.selection"), peer_module("bmdal.feature_maps")
    features, data = peer_module("bmdal.features"), peer_module("bmdal.feature_data")
    classes = {
        "maxdiag": "MaxDiag",
        "maxdet": "MaxDet",
        "bait-f": "BaitFeatureSpace",
        "bait-fb": "BaitFeatureSpace",
        "fw": "FrankWolfe",
        "maxdist": "MaxDist",
        "kmeanspp": "Kmeanspp",
        "lcmd": "LargestClusterMaxDist",
    }
    feature_map = maps.IdentityFeatureMap(n_features=pool.shape[1])
    with contextlib.redirect_stdout(io.StringIO()):
        chosen_class = getattr(selection, f"{classes[method.selection.name]}SelectionMethod")
        if method.selection.name.startswith("bait"):
            chosen_class = type("Bait", (chosen_class,), {"get_scores": bait_scores})
        chooser = chosen_class(
            pool_features=features.Features(feature_map, data.TensorFeatureData(pool)),
            train_features=features.Features(feature_map, data.TensorFeatureData(train)),
            sel_with_train=method.mode == "TP",
            noise_sigma=method.sigma,
            overselection_factor=2.0 if method.selection.name == "bait-fb" else 1.0,
            verbosity=0,
        )
        indices: Tensor = chooser.select(batch_size)
    return indices


def bait_scores(state: Any) -> Tensor:
    """Compute the original's BAIT score without the 1e-8 that it adds to the denominator (docs/deviations.md)."""
    scores: Tensor = state.scores_numerator / (state.diag + state.noise_sigma**2)
    return scores[: len(state.pool_features)]


def peer_stack(n_networks: int, n_inputs: int, training: Training, device: torch.device) -> nn.Module:
    """Create several networks of the original in one stack, newly initialized."""
    create = peer_module("models").create_tabular_model
    network: nn.Module = create(n_networks, n_inputs, act=training.activation, **_hyperparameters(training))
    return network.to(device)


def peer_train(network: nn.Module, points: TrainingData, n_networks: int, training: Training) -> None:
    """Train networks of the original on the same points with the original's training."""
    X, y = torch.cat([points.X, points.X_valid]), torch.cat([points.y, points.y_valid])[:, None]
    n = len(points.X)
    rows = torch.arange(len(X), device=X.device)
    dataset = peer_module("data").DictDataset({"X": X, "y": y})
    with contextlib.redirect_stdout(io.StringIO()):
        peer_module("train").fit_model(
            network, dataset, n_networks, rows[:n], rows[n:], n_epochs=training.n_epochs, **_hyperparameters(training)
        )


def peer_run(method: Method, X: Tensor, y: Tensor, split: Split, task: Task, training: Training) -> dict[str, Any]:
    """Do a whole run of the original on one split, with the training, test and selection of every round."""
    networks = [nn.Sequential(NTKLinear(torch.zeros(1, 1), torch.zeros(1), training.sigma_w, training.sigma_b))]
    trainer = peer_module("train").ModelTrainer(
        method.name,
        n_models=method.n_models,
        n_epochs=training.n_epochs,
        **{**peer_config(method, networks), **_hyperparameters(training), "compute_eff_dim": True},
    )
    task_split = SimpleNamespace(
        id=split.number,
        task_name=task.name,
        data=peer_module("data").DictDataset({"X": X, "y": y[:, None]}),
        al_batch_sizes=[task.batch_size] * task.n_rounds,
        **{f"{name}_idxs": getattr(split, name) for name in ("train", "valid", "pool", "test")},
    )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results: dict[str, Any] = trainer(task_split, str(X.device), do_timing=X.is_cuda)
    return results


def _hyperparameters(training: Training) -> dict[str, float]:
    return {"lr": training.learning_rate, "weight_gain": training.sigma_w, "bias_gain": training.sigma_b}
