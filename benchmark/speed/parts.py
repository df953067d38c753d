"""The measurements: selection, features, training, a whole run, and scaling."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark.loop import run_splits
from benchmark.networks import Networks
from benchmark.peer import peer_run, peer_select, peer_selection, peer_stack, peer_train
from benchmark.randomness import generator
from benchmark.run import Run
from benchmark.speed.measure import Measured, bounded, measure_in_turn
from benchmark.speed.problem import SpeedProblem
from benchmark.speed.traffic import traffic_of
from benchmark.split import make_split, scale_inputs
from benchmark.task import Task
from bmdal import Method
from bmdal.features import DenseFeatures
from bmdal.inputs import few_points
from bmdal.network.network import Network
from bmdal.pipeline import transformed_features
from bmdal.regressor.stack import NetworkStack
from bmdal.regressor.training import Training, TrainingData, train
from bmdal.selection import MaxDiag, Outcomes, SelectionProblem
from cli.progress import Progress
from data_prep import PreparedData

SELECTIONS = (
    "lcmd-tp_grad_rp-512",
    "maxdist-tp_grad_rp-512",
    "kmeanspp-tp_grad_rp-512",
    "bait-f-p_grad_rp-512_train",
    "bait-fb-p_grad_rp-512_train",
    "maxdet-p_grad_rp-512_train",
    "fw-p_grad_rp-512_acs-rf-hyper-512",
)
LIMIT_SECONDS = 600
"""Time limit for one selection of the original."""
FEATURES = ("lcmd-tp_grad_rp-512", "maxdet-p_grad_rp-512_train", "fw-p_grad_rp-512_acs-rf-hyper-512")


@dataclass(frozen=True)
class Row:
    """One row of the table: a measurement of our code and, if installed, of the original.

    `kernel_seconds` and `selection_seconds` are those of a `bmdal.Batch`. If a measurement fails, `seconds` is None and
    `failure` states the reason. `n_other` points of the batch differ from those that are chosen with exact features.
    """

    part: str
    what: str
    n_train: int
    n_pool: int
    batch_size: int
    seconds: float | None
    original_seconds: float | None = None
    same_indices: bool | None = None
    peak_bytes: int | None = None
    original_peak_bytes: int | None = None
    passes: float | None = None
    bandwidth_share: float | None = None
    matmul_share: float | None = None
    kernel_seconds: float | None = None
    selection_seconds: float | None = None
    failure: str | None = None
    n_other: int | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the original."""
        if self.seconds is None or self.original_seconds is None:
            return None
        return self.original_seconds / self.seconds


@dataclass(frozen=True)
class Conditions:
    """Settings of the measurements."""

    batch_size: int
    repeats: int
    device: torch.device
    with_original: bool


def selection(
    problem: SpeedProblem, methods: Sequence[str], conditions: Conditions, bandwidth: float, matmul_peak: float
) -> Iterator[Row]:
    """Measure selection alone, from the same explicit features. For k-means++, only the times are compared.

    Passes are the bytes that all operations read and write, in multiples of the features; what comes from a cache
    counts too. If the original takes longer than LIMIT_SECONDS or more memory than is free, the row is without it.
    """
    for name in methods:
        method = Method.from_name(name)
        train, pool = features_of(method, problem)
        if method.selection.needs_float64:
            train, pool = train.double(), pool.double()
        ours = partial(_select, method, train, pool, conditions.batch_size, _outcomes(method, problem))
        original = partial(_original, method, train, pool, conditions.batch_size)
        try:
            measured = _measure(ours, original, conditions)
        except (TimeoutError, MemoryError):
            measured = _measure(ours, None, conditions)
        traffic, seconds = traffic_of(ours), measured["ours"].seconds
        yield _row(
            "selection",
            name,
            (len(train), len(pool), conditions.batch_size),
            measured,
            same=None if name.startswith("kmeanspp") else _same(measured),
            passes=traffic.n_bytes / (pool.numel() * pool.element_size()),
            bandwidth_share=traffic.n_bytes / seconds / bandwidth,
            matmul_share=traffic.n_flop / seconds / matmul_peak,
        )


def features(
    problem: SpeedProblem, methods: Sequence[str], conditions: Conditions, matmul_peak: float
) -> Iterator[Row]:
    """Measure the features and transformations of training and pool points.

    The share of the peak counts the matrix products of a 512-512 network: forward, backward and sketches.
    """
    for name in methods:
        method = Method.from_name(name)

        def ours(method: Method = method) -> Tensor:
            return features_of(method, problem)[1]

        def original(method: Method = method) -> Tensor:
            alone = dataclasses.replace(method, selection=MaxDiag(), mode=None)
            points = problem.points
            return peer_select(alone, [problem.network], points.X, points.y, problem.x_pool, 1).indices

        measured = _measure(ours, original, conditions)
        n, d = problem.x_pool.shape
        n_flop = 2 * n * (512 * (d + 512 + 1) + 512 * 512 + 512 * (d + 1 + 513 + 513 + 512 + 512))
        yield _row(
            "features",
            name,
            (len(problem.points.X), n, 0),
            measured,
            matmul_share=n_flop / measured["ours"].seconds / matmul_peak,
        )


def training(
    problem: SpeedProblem, n_networks: Sequence[int], conditions: Conditions, matmul_peak: float
) -> Iterator[Row]:
    """Measure training of several networks at once: one step, and one epoch with its validation.

    The time of a step is taken from epochs that validate on a single point, which costs almost nothing.
    """
    points, setting = problem.points, Training(n_epochs=30)
    batch_size = min(setting.batch_size, len(points.X))
    n_steps = len(points.X) // batch_size
    unvalidated = dataclasses.replace(points, X_valid=points.X_valid[:1], y_valid=points.y_valid[:1])
    n_flop_forward = 2 * sum(W.numel() for W in problem.network.parameters() if W.ndim == 2)
    n_flop_step = batch_size * (3 * n_flop_forward - 2 * 512 * points.X.shape[1])  # no gradient of the inputs
    n_flop_epoch = n_steps * n_flop_step + len(points.X_valid) * n_flop_forward
    for m in n_networks:
        for what, data, n_done, n_flop in (
            ("step", unvalidated, setting.n_epochs * n_steps, n_flop_step),
            ("epoch", points, setting.n_epochs, n_flop_epoch),
        ):

            def ours(m: int = m, data: TrainingData = data) -> None:
                generators = [generator(k, 0, "initialization") for k in range(m)]
                stack = NetworkStack(data.X.shape[1], "relu", 0.2, 0.2, generators, data.X.device)
                train(stack, [data] * m, setting, [generator(k, 0, "shuffling") for k in range(m)])

            def original(m: int = m, data: TrainingData = data) -> None:
                peer_train(peer_stack(m, data.X.shape[1], setting, data.X.device), data, m, setting)

            measured = {
                name: dataclasses.replace(whole, seconds=whole.seconds / n_done)
                for name, whole in _measure(ours, original, conditions).items()
            }
            yield _row(
                "training",
                f"{what} of {m} network(s)",
                (len(points.X), 0, batch_size),
                measured,
                matmul_share=m * n_flop / measured["ours"].seconds / matmul_peak,
            )


def run(data: PreparedData, conditions: Conditions) -> Iterator[Row]:
    """Measure one whole run, 256x4 `lcmd-tp_grad_rp-512` on split 0: training, tests and selections."""
    method, task, setting = Method.from_name("lcmd-tp_grad_rp-512"), Task(n_rounds=4), Networks()

    def ours() -> None:
        with tempfile.TemporaryDirectory() as runs, Progress("run") as progress:
            run_splits(Run("speed", data, task, method, setting, conditions.device, Path(runs)), [0], progress)

    def original() -> None:
        split = make_split(len(data.y), data.n_test, task, 0)
        X = torch.from_numpy(scale_inputs(data.X, split)).to(conditions.device)
        y = torch.from_numpy(np.array(data.y)).to(conditions.device)
        peer_run(method, X, y, split, task, setting)

    measured = _measure(ours, original, conditions)
    n_pool = len(data.y) - data.n_test - task.n_initial - task.n_valid
    yield _row("run", f"{data.name} {task.name} {method.name}", (task.n_initial, n_pool, task.batch_size), measured)


@dataclass(frozen=True)
class Sizes:
    """The sizes to measure along each axis; the other sizes are those of the other measurements."""

    pool: Sequence[int]
    batch: Sequence[int]
    train: Sequence[int]


def scaling(problem: SpeedProblem, sizes: Sizes, n_pool: int, conditions: Conditions) -> Iterator[Row]:
    """Measure the features and selection of `lcmd-tp_grad_rp-512` for several pool, batch and training-set sizes.

    Training points beyond those of the problem are taken from its pool, which must be as large as the largest size.
    """
    method, n_train = Method.from_name("lcmd-tp_grad_rp-512"), len(problem.points.X)
    X = torch.cat([problem.points.X, problem.x_pool])
    for size in sizes.pool:
        smaller = dataclasses.replace(problem, x_pool=problem.x_pool[:size])
        measured = _measure(partial(features_of, method, smaller), None, conditions)
        yield _row("scaling", "features", (n_train, size, 0), measured)
        yield _selection_row(method, *features_of(method, smaller), conditions)
    train, pool = features_of(method, dataclasses.replace(problem, x_pool=problem.x_pool[:n_pool]))
    for size in sizes.batch:
        yield _selection_row(method, train, pool, dataclasses.replace(conditions, batch_size=size))
    for size in sizes.train:
        points = dataclasses.replace(problem.points, X=X[:size])
        train, pool = features_of(method, SpeedProblem(problem.network, points, problem.x_pool[:n_pool]))
        yield _selection_row(method, train, pool, conditions)


def _selection_row(method: Method, train: Tensor, pool: Tensor, conditions: Conditions) -> Row:
    measured = _measure(partial(_select, method, train, pool, conditions.batch_size), None, conditions)
    return _row("scaling", "selection", (len(train), len(pool), conditions.batch_size), measured)


def _select(method: Method, train: Tensor, pool: Tensor, batch_size: int, outcomes: Outcomes | None = None) -> Tensor:
    problem = SelectionProblem(
        DenseFeatures(train),
        DenseFeatures(pool),
        method.mode,
        method.sigma,
        generator=torch.Generator().manual_seed(0),
        outcomes=outcomes,
    )
    return method.selection.select(problem, batch_size)


@torch.no_grad()
def _outcomes(method: Method, problem: SpeedProblem) -> Outcomes | None:
    """Labels and predictions of the network, for a selection that needs them."""
    if not method.selection.needs_predictions:
        return None
    points = problem.points
    return Outcomes(points.y, problem.network(points.X).flatten(), problem.network(problem.x_pool).flatten())


def _original(method: Method, train: Tensor, pool: Tensor, batch_size: int) -> Tensor:
    with bounded(LIMIT_SECONDS):
        return peer_selection(method, train, pool, batch_size)


def features_of(method: Method, problem: SpeedProblem) -> tuple[Tensor, Tensor]:
    """Return the transformed features of training and pool points."""
    points, device = problem.points, problem.x_pool.device
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        network = Network(problem.network, few_points(points.X, problem.x_pool))
        train, pool = transformed_features(method, [network], points.X, points.y, [problem.x_pool], generator, device)
    return train.matrix(), pool.matrix()


def _measure(
    ours: Callable[[], object], original: Callable[[], object] | None, conditions: Conditions
) -> dict[str, Measured[object]]:
    computations = {"ours": ours}
    if original is not None and conditions.with_original:
        computations["original"] = original
    return measure_in_turn(computations, conditions.repeats, conditions.device)


def _same(measured: dict[str, Measured[object]]) -> bool | None:
    if "original" not in measured:
        return None
    ours, theirs = measured["ours"].result, measured["original"].result
    assert isinstance(ours, Tensor)
    assert isinstance(theirs, Tensor)
    return ours.tolist() == theirs.tolist()


def _row(
    part: str,
    what: str,
    size: tuple[int, int, int],
    measured: dict[str, Measured[object]],
    same: bool | None = None,
    passes: float | None = None,
    bandwidth_share: float | None = None,
    matmul_share: float | None = None,
) -> Row:
    ours, theirs = measured["ours"], measured.get("original")
    return Row(
        part=part,
        what=what,
        n_train=size[0],
        n_pool=size[1],
        batch_size=size[2],
        seconds=ours.seconds,
        original_seconds=None if theirs is None else theirs.seconds,
        same_indices=same,
        peak_bytes=ours.peak_bytes,
        original_peak_bytes=None if theirs is None else theirs.peak_bytes,
        passes=passes,
        bandwidth_share=bandwidth_share,
        matmul_share=matmul_share,
    )
