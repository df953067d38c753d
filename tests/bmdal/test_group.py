"""A pool spread over real processes: the batch of a single one, and errors that all of them raise."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from command_line import ROOT, environment
from group_member import points
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import TensorDataset
from toys import normal
from warm_python import warm_python

from bmdal import Batch, BmdalError, KernelMatrix, select, select_batch
from bmdal.features import DenseFeatures, condition
from bmdal.features.shard import Shard
from bmdal.group import ALONE, Traffic
from bmdal.processes import Processes
from bmdal.regressor import NetworkRegressor

Case = dict[str, Any]
SECONDS = 20
"""Time limit of a message."""
SPLITS = [(300,), (120, 180), (222, 77, 1), (100, 0, 150, 50)]
METHODS = [
    "random", "maxdiag", "power", "maxdist-p", "maxdist-tp_train", "lcmd-p", "lcmd-tp_rp-8_scale",
    "kmeanspp-p", "kmeanspp-tp", "maxdet-tp", "rpcholesky-p", "epig-tp", "bait-f-p_train", "bait-fb-tp", "fw-p",
]  # fmt: skip
MORE_METHODS = [
    "maxdist-tp", "lcmd-tp_acs-rf-hyper-16", "kmeanspp-tp_train", "maxdet-p_train", "rpcholesky-tp", "epig-p_scale",
    "bait-f-tp_rp-8", "bait-fb-p", "fw-p_acs-rf-16",
]  # fmt: skip
TRAIN, LABELS = normal(30, 12, seed=1), normal(30, seed=2)


def outcomes(folder: Path, n: int, cases: Sequence[Mapping[str, Any]], seconds: int = SECONDS) -> list[list[Any]]:
    """For each case what happened in each of n processes; None for a process that has died."""
    torch.save(list(cases), folder / "cases.pt")
    member = [warm_python(), str(ROOT / "tests" / "bmdal" / "group_member.py")]
    env = environment(folder)
    env["PYTHONPATH"] = f"{ROOT}:{ROOT / 'tests'}:{env['PYTHONPATH']}"
    processes = [
        subprocess.Popen(
            [*member, str(rank), str(n), str(folder), str(seconds)], env=env, stderr=subprocess.PIPE, text=True
        )
        for rank in range(n)
    ]
    said = [process.communicate(timeout=300)[1] for process in processes]
    found = []
    for rank in range(n):
        path = folder / f"results-{rank}.pt"
        found.append(torch.load(path, weights_only=False) if path.exists() else [None] * len(cases))
    print(*said)
    return [list(results) for results in zip(*found, strict=True)]


def request(method: str, dtype: torch.dtype = torch.float32, **options: Any) -> dict[str, Any]:
    train = TRAIN.to(torch.promote_types(dtype, torch.float32))
    given = {"method": method, "pool": points(300, 12).to(dtype), "batch_size": 6, "generator": 7, "train": train}
    return given | {"y_train": LABELS} | options


def network(seed: int = 0) -> nn.Sequential:
    """Wide, so that a chunk has fewer points than the pool."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 1500), nn.ReLU(), nn.Linear(1500, 40), nn.SiLU(), nn.Linear(40, 1))


def of_networks(method: str, **options: Any) -> dict[str, Any]:
    pool = points(3000, 12).float()
    given = {"method": method, "models": network(), "x_train": TRAIN.float(), "y_train": LABELS, "x_pool": pool}
    return given | {"batch_size": 6, "generator": 7} | options


def alone(given: Mapping[str, Any]) -> list[int]:
    choose: Callable[..., Batch] = select_batch if "models" in given else select
    return choose(**given).indices.tolist()


def _pipeline() -> Pipeline:
    model = make_pipeline(StandardScaler(), NetworkRegressor(random_state=0, n_epochs=2))
    return model.fit(TRAIN.numpy(), LABELS.numpy())


BLOCKS = [(20_000,), (9001, 10_999), (1, 8191, 11_808), (4000, 12_384, 0, 3616)]
EQUAL: dict[str, Case] = {
    **{method: {"common": request(method)} for method in METHODS},
    "half": {"common": request("lcmd-tp", torch.float16)},
    "double": {"common": request("maxdist-tp", torch.float64)},
    "exclude": {"common": request("lcmd-tp", exclude=torch.arange(300) % 3 == 0)},
    "exclude all of some ranks": {"common": request("maxdist-tp", exclude=torch.arange(300) < 110)},
    "costs": {"common": request("maxdiag", costs=np.linspace(1, 9, 300))},
    "costs of gains": {"common": request("bait-f-p", costs=np.linspace(1, 9, 300))},
    "targets": {"common": request("epig-p", target=TRAIN.float())},
    "equal scores": {"common": request("maxdist-p", distinct=False)},
    "equal scores, separately": {"common": request("maxdiag", distinct=False)},
    "copies count": {"common": request("lcmd-tp", distinct=False)},
    "more than there are distinct points": {"common": request("maxdist-tp", batch_size=296)},
    "a range of 10^44": {"common": request("lcmd-tp", pool=points(300, 12).float() * 1e-22)},
    "a range of 10^44, at random": {"common": request("kmeanspp-tp", pool=points(300, 12).float() * 1e-22)},
    "next to nothing": {"common": request("kmeanspp-p", torch.float64, pool=points(300, 12) * 1e-160, train=None)},
    "stored": {"common": request("lcmd-tp_train", torch.float16), "stored": True},
    "arrays": {"common": request("maxdist-tp", torch.float64, pool=points(300, 12).numpy(), train=TRAIN.numpy())},
    "sharded training points": {
        "common": request("lcmd-tp_acs-rf-hyper-16", torch.float64),
        "sharded": ("train", "y_train"),
    },
    "blocks": {"common": request("lcmd-tp", pool=points(20_000, 12).float()), "splits": BLOCKS},
    "stored blocks": {
        "common": request("kmeanspp-tp_rp-8", pool=points(20_000, 12).half()), "splits": BLOCKS, "stored": True,
    },
}  # fmt: skip
PARTS = [(3000,), (1200, 1800), (2222, 777, 1), (1000, 0, 1500, 500)]
NETWORKS: dict[str, Case] = {
    "gradients": {"common": of_networks("lcmd-tp_grad_rp-16")},
    "a posterior": {"common": of_networks("bait-f-p_ll_train", x_target=TRAIN.float())},
    "an ensemble": {"common": of_networks("maxdist-tp_grad_rp-16_ens-2", models=[network(), network(1)])},
    "hyperparameters": {
        "common": of_networks("maxdet-p_grad_rp-16_acs-rf-hyper-8", exclude=torch.arange(3000) % 3 < 1)
    },
    "no features": {"common": of_networks("random")},
    "two precisions": {
        "common": of_networks("maxdist-tp_linear", x_train=TRAIN.float().numpy(), x_pool=points(3000, 12).numpy())
    },
    "a pipeline": {
        "common": of_networks(
            "lcmd-tp_grad_rp-16", models=_pipeline(), x_train=TRAIN.numpy(), x_pool=points(3000, 12).numpy()
        )
    },
    "a loader": {"common": of_networks("maxdiag_ll_rp-9"), "loader": True, "splits": PARTS[:3]},
    "copies of points": {"common": of_networks("maxdiag_grad_rp-16", distinct=False)},
    "a data set": {
        "common": of_networks("kmeanspp-p_grad_rp-16", x_train=TensorDataset(TRAIN.float())),
        "data_set": True,
    },
}
SAME = ("indices", "n_filled", "notes", "scores")
TRAIN_SIZES = {1: (30,), 2: (11, 19), 3: (0, 29, 1), 4: (10, 10, 5, 5)}
with_nan = points(300, 12).float()[120:].clone()
with_nan[7, 3] = torch.nan
FAULTS: dict[str, tuple[Case, str]] = {
    "batch size": ({"batch_size": 9}, "but batch_size is 6 on ranks 0 and 2, 9 on rank 1"),
    "no number": ({"batch_size": "6"}, "^rank 1: batch_size must be between 1 and the pool size 300, got 6"),
    "method": ({"method": "maxdist-tp"}, "but method is lcmd-tp_linear on ranks 0 and 2, maxdist-tp_linear on rank 1"),
    "seed": ({"generator": 8}, "but the state of the generator is .* on ranks 0 and 2, .* on rank 1"),
    "sigma": ({"sigma": 0.5}, "but sigma is 0.001 on ranks 0 and 2, 0.5 on rank 1"),
    "columns": ({"pool": torch.ones(5, 11), "train": TRAIN[:, :11].float()}, "with 12 columns on ranks 0 and 2"),
    "precision": ({"pool": torch.ones(5, 12).double(), "train": TRAIN}, "torch.float64 with 12 columns on rank 1"),
    "training points": ({"train": TRAIN[:29].float()}, "train is 30 rows, .* on ranks 0 and 2, 29 rows, .* on rank 1"),
    "no training points": ({"train": None}, "but train is 30 rows.* not given on rank 1"),
    "distinct": ({"distinct": False}, "distinct is True on ranks 0 and 2, False on rank 1"),
    "nan": ({"pool": with_nan}, "^rank 1: pool has a NaN or infinite value in row 7"),
    "unknown method": ({"method": "lcm-tp"}, "^rank 1: method 'lcm-tp': unknown selection method"),
    "groups": ({"groups": [1] * 180}, "^rank 1: groups cannot be used with group="),
    "kernel": ({"pool": KernelMatrix(torch.eye(4))}, "^rank 1: over a group of processes the pool must be a matrix"),
    "mixed": ({"train": TRAIN}, "train is .*torch.float32 .* on ranks 0 and 2, .*torch.float64 .* on rank 1"),
    "costs of lcmd": ({"costs": [1.0] * 180}, "^rank 1: method 'lcmd-tp_linear': the score of 'lcmd' is not a gain"),
}  # fmt: skip
REFUSED = {
    "batch too large": (request("lcmd-tp", batch_size=301), "between 1 and the pool size 300, got 301"),
    "mode TP without training points": (request("lcmd-tp", train=None, y_train=None), "mode TP needs labelled points"),
    "herding": (request("maxherding-tp"), "'maxherding' needs the whole pool in one process"),
    "a product": (request("lcmd-tp_acs-grad"), "the transformed features must be a matrix"),
    "predictions": (request("maxdist-p_pred", train=None), "predictions are not put into units"),
}


def run(
    folder: Path, equal: Mapping[str, Case], others: Mapping[tuple[str, int], Case], seconds: int = SECONDS
) -> dict[tuple[str, int], Any]:
    """What happened in each process, by the name of a case and the number of processes."""
    cases = dict(others)
    for name, case in equal.items():
        for sizes in case.get("splits", SPLITS):
            cases[name, len(sizes)] = {**case, "sizes": sizes, "train_sizes": TRAIN_SIZES[len(sizes)]}
    results = outcomes(folder, 4, list(cases.values()), seconds)
    return {key: some[: len(cases[key]["sizes"])] for key, some in zip(cases, results, strict=True)}


def check_equal(equal: Mapping[str, Case], found: Mapping[tuple[str, int], Any]) -> None:
    """The batch and the scores are the same for every number of processes, in each, and without a group."""
    for name, case in equal.items():
        (one,) = found[name, 1]
        assert "error" not in one, (name, one)
        assert one["indices"] == alone(case["common"]), name
        for n in range(2, 1 + len(case.get("splits", SPLITS))):
            for of_rank in found[name, n]:
                assert {key: of_rank.get(key) for key in SAME} == {key: one[key] for key in SAME}, (name, n, of_rank)


def check_errors(expected: Mapping[tuple[str, int], str], found: Mapping[tuple[str, int], Any]) -> None:
    """All processes raise the same error."""
    for key, pattern in expected.items():
        texts = {of_rank["error"] for of_rank in found[key]}
        assert len(texts) == 1, texts
        assert re.search(pattern, *texts), (key, texts)


def test_group(tmp_path: Path) -> None:
    """In one test, because the processes that it takes are started once."""
    faults = {
        (name, 3): {"common": request("lcmd-tp"), "sizes": SPLITS[2], "of_rank": {1: other}}
        for name, (other, _) in FAULTS.items()
    }
    refused = {(name, 2): {"common": common, "sizes": SPLITS[1]} for name, (common, _) in REFUSED.items()}
    shifted = {
        "common": request("lcmd-tp"), "sizes": SPLITS[1], "sharded": ("train",), "train_sizes": TRAIN_SIZES[2],
        "of_rank": {0: {"y_train": LABELS[:10]}, 1: {"y_train": LABELS[10:]}},
    }  # fmt: skip
    found = run(tmp_path, EQUAL, {**faults, **refused, ("labels of other points", 2): shifted})
    check_equal(EQUAL, found)
    check_errors({(name, 3): pattern for name, (_, pattern) in FAULTS.items()}, found)
    check_errors({(name, 2): pattern for name, (_, pattern) in REFUSED.items()}, found)
    check_errors(
        {("labels of other points", 2): "^rank 0: y_train must have one row for each of the 11 .* has 10"}, found
    )
    for n in (2, 3, 4):
        check_traffic(n, found["maxdist-p", n][0]["traffic"], found["copies count", n][0]["traffic"])


def check_traffic(n: int, of_maxdist: Traffic, of_lcmd: Traffic) -> None:
    """A proposal of 16 bytes from each process, the features and their norm; for LCMD also 8 bytes for each cluster."""
    of_indices, of_unit, of_sums = 6 * 8, 4 * n, 6 * (30 + 6) * 8
    assert (of_maxdist.messages, of_maxdist.n_bytes) == (6 * 2 + 1, 6 * (n * 16 + 13 * 4) + of_indices)
    n_bytes = 6 * (n * 16 + 13 * 4) + of_sums + of_unit + of_indices
    assert (of_lcmd.messages, of_lcmd.n_bytes) == (6 * 3 + 2, n_bytes)


def test_networks(tmp_path: Path) -> None:
    """Each process maps its own points with the same networks."""
    equal = {name: {"splits": PARTS, **case} for name, case in NETWORKS.items()}
    common = of_networks("lcmd-tp_grad_rp-16")
    with_nan = points(3000, 12).float()[:1800]
    with_nan[7, 3] = torch.nan
    faults = {
        "network": ({"models": network(1)}, "digest of the features of x_train and x_target is .* on ranks 0 and 2, "),
        "labelled points": (
            {"x_train": TRAIN[:29].float(), "y_train": LABELS[:29]},
            "x_train is 30 rows on ranks 0 and 2",
        ),
        "nan": ({"x_pool": with_nan}, "^rank 1: x_pool has a NaN or infinite value in row 7"),
        "types": (
            {"x_train": TRAIN.float().numpy(), "x_pool": points(3000, 12).numpy()},
            r"the type of x_pool is \(torch.float32,\) on ranks 0 and 2, \(torch.float64,\) on rank 1",
        ),
        "file": ({"features_file": tmp_path / "pool.npy"}, "^rank 1: features_file cannot be used with group="),
        "trees": ({"method": "bait-f-p_pred"}, "^rank 1: method 'bait-f-p_pred': predictions of a model with members"),
        "kernel": ({"method": "lcmd-tp_grad"}, "^rank 1: method 'lcmd-tp_grad': over a group the transformed features"),
    }
    cases = {(name, 3): {"common": common, "sizes": PARTS[2], "of_rank": {1: o}} for name, (o, _) in faults.items()}
    found = run(tmp_path, equal, cases)
    check_equal(equal, found)
    check_errors({(name, 3): pattern for name, (_, pattern) in faults.items()}, found)


@pytest.mark.thorough
def test_all_precisions(tmp_path: Path) -> None:
    dtypes = (torch.float32, torch.float64, torch.float16)
    equal = {f"{m} {d}": {"common": request(m, d)} for m in METHODS + MORE_METHODS for d in dtypes}
    check_equal(equal, run(tmp_path, equal, {}))


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["lcmd-tp", "maxdist-p"])
def test_a_large_pool(method: str, tmp_path: Path) -> None:
    """As many points as the data set `poker` has."""
    common = request(
        method, pool=points(198_720, 64).float(), train=normal(256, 64).float(), y_train=None, batch_size=64
    )
    equal = {method: {"common": common, "splits": [(198_720,), (98_720, 100_000)]}}
    found = run(tmp_path, equal, {}, seconds=300)
    for of_rank in (*found[method, 1], *found[method, 2]):
        assert "error" not in of_rank, of_rank
        assert of_rank["indices"] == alone(common)


@pytest.mark.parametrize("by_column", [False, True])
@pytest.mark.parametrize("p", [7, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_numbers_of_a_point_do_not_depend_on_the_shard(p: int, dtype: torch.dtype, by_column: bool) -> None:
    """Bit by bit, for products, norms and transformations, where parts of a block would differ."""
    X, center = (
        points(20_000, p).to(dtype),
        DenseFeatures(normal(1, p, seed=3).to(torch.promote_types(dtype, torch.float32))),
    )
    posterior = condition(DenseFeatures(normal(20, p, seed=4)), 0.1)

    def in_memory(part: torch.Tensor) -> torch.Tensor:
        return part.T.contiguous().T if by_column else part

    whole = Shard(in_memory(X))
    for cuts in ((0, 9001, 20_000), (0, 1, 8192, 12_000, 20_000)):
        parts = [Shard(in_memory(X[a:b]), a) for a, b in pairwise(cuts)]
        assert torch.equal(torch.cat([s.kernel(center) for s in parts]), whole.kernel(center))
        assert torch.equal(torch.cat([s.diag() for s in parts]), whole.diag())
        assert torch.equal(
            torch.cat([s.transformed(posterior).matrix() for s in parts]), whole.transformed(posterior).matrix()
        )
    assert torch.allclose(whole.kernel(center), DenseFeatures(whole.matrix()).kernel(center), rtol=1e-4, atol=1e-5)


@pytest.fixture
def single() -> Iterator[Processes]:
    """A group of one process, with 5,000 points."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield Processes.of(dist.group.WORLD, torch.device("cpu")).holding(5000, 5000)
    dist.destroy_process_group()


def test_sums_of_integers_are_close_to_sums(single: Processes) -> None:
    X = normal(5000, 9, seed=5) * torch.logspace(-3, 3, 9)
    pool, weights, places = Shard(X), X[:, 4].square(), torch.arange(5000) % 7
    largest = X.abs().max() ** 2 * 5000
    assert torch.allclose(single.second_moments(pool), X.T @ X, rtol=1e-9, atol=1e-12 * float(largest))
    assert torch.allclose(single.total_features(pool), X.sum(dim=0), rtol=1e-13, atol=5000 * 2.0**-37)
    assert torch.allclose(single.total(weights), weights.sum(), rtol=1e-14)
    unit = single.unit(weights)
    assert float(weights.max()) * 5000 / 2**62 <= unit <= float(weights.max()) * 5000 / 2**59
    assert torch.allclose(single.sums(weights, places, 7, unit), ALONE.sums(weights, places, 7, 1.0), rtol=1e-14)
    for u in torch.linspace(0, 1 - 2**-53, 50, dtype=torch.float64):
        assert single.draw(weights, u[None], unit)[0] == ALONE.draw(weights, u[None], 1.0)[0]
    zeros = torch.zeros(5000)
    assert single.draw(zeros, torch.zeros(1, dtype=torch.float64), single.unit(zeros)) == (0, 0)
    assert float(single.total(zeros)) == 0


def test_a_process_that_dies(tmp_path: Path) -> None:
    case = {"common": request("lcmd-tp") | {"method": "dying"}, "sizes": SPLITS[2]}
    first, died, last = outcomes(tmp_path, 3, [case])[0]
    assert died is None
    for of_rank in (first, last):
        assert "a process of the group has ended, or has not answered within the group's time limit" in of_rank["error"]
        assert of_rank["seconds"] < 2 * SECONDS


def test_not_a_group() -> None:
    with pytest.raises(BmdalError, match=r"group must be a process group such as torch.distributed.group.WORLD, got 3"):
        select(**request("lcmd-tp"), group=3)
    with pytest.raises(BmdalError, match="this process is not in the group"):
        select(**request("lcmd-tp"), group=dist.GroupMember.NON_GROUP_MEMBER)
    with pytest.raises(BmdalError, match="sharded_train needs group="):
        select(**request("lcmd-tp"), sharded_train=True)
