"""The last step of every selection: from features to the points to label next."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features import DenseFeatures, Features, StoredFeatures
from bmdal.group import ALONE, Group, Traffic
from bmdal.linalg import largest_eigenvalue
from bmdal.method import Method
from bmdal.network.call import Output
from bmdal.progress import Progress
from bmdal.randomness import permutation
from bmdal.rules import Fingerprinted, Rules
from bmdal.selection import IGS, LCMD, KMeansPP, MaxDist, SelectionProblem
from bmdal.selection.base import Limits, Open, Outcomes
from bmdal.tables import Table, as_tensor, check_finite

MAX_EFFECTIVE_DIMENSION_COLUMNS = 1000


ROUNDED_AWAY = 1e-3
"""Of the squared spread of features, what rounding may change in squared distances before it is said."""


@dataclass(frozen=True)
class Batch:
    """The selected points.

    Attributes:
        indices: rows of the pool in the order of selection, shape (batch_size,), int64 on the CPU, no repeats.
        n_filled: how many of the points, the last ones, are random because the method could not select more.
        kernel_seconds: wall-clock time for features and transformations, in seconds.
        selection_seconds: wall-clock time for the selection itself, in seconds.
        scores: score of each point when it was selected, divided by its cost if there are costs; shape (batch_size,),
            float64, NaN for random points. None for selection methods without scores, and if all points are random.
        effective_dimension: if requested, tr(C) / lambda_max(C) for the centred second-moment matrix C of the pool
            features; None if they have no explicit matrix, no columns or more than 1000 columns.
        ids: index labels of the selected rows, a pandas Index, if the pool is a pandas frame; None otherwise.
        notes: messages about what was left out, scaled, held back or not checked.
        traffic: messages between processes, if the pool is spread over several.
    """

    indices: Tensor
    n_filled: int
    kernel_seconds: float
    selection_seconds: float
    effective_dimension: float | None
    scores: Tensor | None = None
    ids: Any = None
    notes: tuple[str, ...] = ()
    traffic: Traffic | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """What a batch is asked for, whatever the points are.

    Attributes:
        method: the method.
        batch_size: number of points to select.
        generator: source of all random draws.
        rules: which points may be selected.
        distinct: whether copies of points come last.
        with_effective_dimension: whether to compute `Batch.effective_dimension`.
    """

    method: Method
    batch_size: int
    generator: torch.Generator
    rules: Rules
    distinct: bool
    with_effective_dimension: bool = False

    def without_copies(self, train: Fingerprinted | None, pool: Fingerprinted | None) -> Request:
        """The request in which copies come last: see `Rules.without_copies`."""
        return replace(self, rules=self.rules.without_copies(self.method, train, pool))


def choose(
    request: Request,
    train: Features,
    pool: Features,
    kernel_seconds: float,
    target: Features | None = None,
    outcomes: Outcomes | None = None,
    group: Group = ALONE,
) -> Batch:
    """The batch selected from transformed features; if the selection returns too few points, random ones are added."""
    method, batch_size, generator, rules = request.method, request.batch_size, request.generator, request.rules
    start = now(pool.device)
    effective_dimension = _effective_dimension(pool) if request.with_effective_dimension else None
    unmeasured = now(pool.device) - start
    if len(rules.rows) < len(pool):
        rows = rules.rows.to(pool.device)
        pool, outcomes = pool[rows], outcomes and replace(outcomes, of_pool=outcomes.of_pool[rows])
    if method.selection.needs_float64:
        train, pool = train.to(dtype=torch.float64), pool.to(dtype=torch.float64)
        target = None if target is None else target.to(dtype=torch.float64)
    if isinstance(pool, StoredFeatures) and not method.selection.reads_stored:
        pool = pool.in_memory()
    kernel_seconds += now(pool.device) - start - unmeasured
    start = now(pool.device)
    limits, scores = rules.limits.to(pool.device), dict[int, float]()
    with Progress(method.name, batch_size) as progress:

        def on_pick(index: int, score: float) -> None:
            scores[index] = score
            progress.advance()

        problem = SelectionProblem(
            train, pool, method.mode, method.sigma, generator, target, outcomes, limits, group, on_pick
        )
        chosen = method.selection.select(problem, batch_size)
    n_chosen = len(chosen)
    chosen = _fill(chosen, pool, batch_size, generator, limits, group)
    return Batch(
        indices=group.in_pool(rules.rows, chosen.cpu()),
        n_filled=batch_size - n_chosen,
        kernel_seconds=kernel_seconds,
        selection_seconds=now(pool.device) - start,
        effective_dimension=effective_dimension,
        scores=_scores(scores, chosen) if scores else None,
        notes=(*rules.notes, *_notes(method, pool, batch_size, n_chosen, outcomes, group)),
        traffic=group.traffic,
    )


def _fill(
    chosen: Tensor, pool: Features, batch_size: int, generator: torch.Generator, limits: Limits, group: Group
) -> Tensor:
    """Fill a batch with random points that are not in it yet, as far as groups allow; copies of others come last."""
    if len(chosen) == batch_size:
        return chosen
    order = permutation(group.count(pool), generator, chosen.device)
    others = order[~torch.isin(order, chosen)]
    candidates = group.whole(limits.candidates)
    if candidates is not None:
        is_candidate = candidates[others]
        others = torch.cat([others[is_candidate], others[~is_candidate]])
    still = Open(replace(limits, candidates=None))
    still.close(chosen)
    return torch.cat([chosen, still.first(others, batch_size - len(chosen))])


def _notes(
    method: Method, pool: Features, batch_size: int, n_chosen: int, outcomes: Outcomes | None, group: Group
) -> list[str]:
    """Notes about random points, about precision, and about units."""
    notes = []
    if n_chosen < batch_size:
        notes.append(
            f"{batch_size - n_chosen} points of the batch are random, because {method.selection.name!r} had nothing "
            "left to gain. Are there few distinct points, or are the features far from a scale of 1?"
        )
    if method.selection.needs_float64 and method.selection.needs_kernel:
        largest = float(group.maximum(pool.diag()))
        if largest * torch.finfo(torch.float64).eps > method.sigma**2:
            notes.append(
                f"the kernel reaches {largest:.3g}, and float64 cannot resolve sigma^2 = {method.sigma**2:.3g} next to "
                "it: scale the features to about 1, or increase sigma"
            )
    if isinstance(method.selection, MaxDist | KMeansPP | LCMD | IGS) and isinstance(pool, DenseFeatures):
        offset2 = float(pool.Phi.mean(dim=0, dtype=torch.float64).square().sum())
        eps = torch.finfo(pool.dtype).eps
        spread2 = max(float(pool.diag().mean(dtype=torch.float64)) - offset2, eps * offset2)
        if eps * offset2 > ROUNDED_AWAY * spread2:
            notes.append(
                f"the features are {(offset2 / spread2) ** 0.5:.2g} times as far from 0 as from their mean, and "
                f"{pool.dtype} rounds the distances between them: subtract the mean of all points, or use float64"
            )
    if outcomes is not None and len(outcomes.labels) > 1:
        error = float((outcomes.of_train - outcomes.labels).square().mean().sqrt())
        spread = float(outcomes.labels.std(correction=0))
        if error > spread:
            notes.append(
                f"the predictions for the training points differ from y_train by {error:.3g} on average, and y_train "
                f"from its own mean only by {spread:.3g}: is the model trained, and on labels in the units of y_train?"
            )
    return notes


def _scores(scores: dict[int, float], chosen: Tensor) -> Tensor:
    return torch.tensor([scores.get(index, torch.nan) for index in chosen.tolist()], dtype=torch.float64)


def _effective_dimension(pool: Features) -> float | None:
    """tr(C) / lambda_max(C) with C = sum_i (phi_i - mean) (phi_i - mean)^T; 0 if all points are equal."""
    if pool.n_features is None or not 0 < pool.n_features <= MAX_EFFECTIVE_DIMENSION_COLUMNS:
        return None
    Phi = pool.matrix()
    parts = torch.split(Phi, 2**14)
    mean = (torch.stack([part.sum(dim=0, dtype=torch.float64) for part in parts]).sum(dim=0) / len(Phi)).to(Phi)
    C = Phi.new_zeros(Phi.shape[1], Phi.shape[1], dtype=torch.float64)
    for part in parts:
        centred = part - mean
        C += centred.T @ centred
    largest = largest_eigenvalue(C)
    return float(C.trace()) / largest if largest > 0 else 0.0


def as_generator(generator: torch.Generator | int) -> torch.Generator:
    """The generator itself, or a new one for a seed. Raises BmdalError for anything else."""
    if isinstance(generator, int | np.integer) and not isinstance(generator, bool) and 0 <= generator < 2**63:
        return torch.Generator().manual_seed(int(generator))
    if not isinstance(generator, torch.Generator):
        raise BmdalError(
            "generator must be a seed, 0 <= seed < 2^63, or a torch.Generator such as "
            f"torch.Generator().manual_seed(0), got {generator!r}"
        )
    return generator


def with_ids(batch: Batch, frame: Any) -> Batch:
    """The batch with the index labels of the selected rows, if the pool is a frame."""
    return batch if frame is None else replace(batch, ids=frame.index.take(batch.indices.numpy()))


def check_target(method: Method, target: object) -> None:
    """Raise IncompatibleError if target points are given to a selection that does not use them."""
    if target is not None and not method.selection.takes_target:
        raise IncompatibleError(
            f"method {method.name!r}: {method.selection.name!r} does not use target points; 'epig' and 'bait-f' do"
        )


def check_batch_size(batch_size: int, n_pool: int) -> None:
    """Raise BmdalError unless 1 <= batch_size <= n_pool."""
    if not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= n_pool:
        raise BmdalError(f"batch_size must be between 1 and the pool size {n_pool}, got {batch_size}")


def as_labels(method: Method, y_train: Table | None, n_train: int) -> Tensor | None:
    """The labels, shape (n_train,), if the method needs them, else None. Raises BmdalError for unusable labels."""
    if y_train is not None and n_train and len(y_train) != n_train:  # type: ignore[arg-type]
        raise BmdalError(f"y_train must have one row for each of the {n_train} training points, it has {len(y_train)}")  # type: ignore[arg-type]
    if not method.needs_labels:
        return None
    if not n_train:
        raise IncompatibleError(f"method {method.name!r} needs labelled points and their labels y_train")
    if y_train is None:
        raise IncompatibleError(f"method {method.name!r} needs the training labels y_train")
    y = as_tensor("y_train", y_train)
    if y.shape not in ((n_train,), (n_train, 1)):
        raise BmdalError(f"y_train must have shape ({n_train},) or ({n_train}, 1), it has {tuple(y.shape)}")
    check_finite("y_train", y)
    return y.flatten()


def check_single_output(method: Method, output: Output) -> None:
    """Raise IncompatibleError for several outputs if the selection works on the predictions of a single one."""
    if method.selection.needs_predictions and isinstance(output, list) and len(output) != 1:
        raise IncompatibleError(
            f"method {method.name!r}: {method.selection.name!r} works on a single output, not on output={output!r}"
        )


def as_outcomes(method: Method, labels: Tensor | None, of_train: Tensor, of_pool: Tensor) -> Outcomes:
    """Labels, shape (n_train,), and predictions, shapes (n, n_outputs), in float64 on the device of the predictions.

    Raises IncompatibleError unless there is a single output, and BmdalError for predictions that are not finite.
    """
    assert labels is not None
    check_single_output(method, list(range(of_pool.shape[1])))
    check_finite("the model's prediction for x_train", of_train)
    check_finite("the model's prediction for x_pool", of_pool)
    return Outcomes(*(t.to(of_pool.device, torch.float64).flatten() for t in (labels, of_train, of_pool)))


def as_output(output: Any) -> Output:
    """The outputs that count, as plain integers or a name. Raises BmdalError for anything else."""
    if output is None or isinstance(output, str):
        return output
    columns = (
        np.asarray(output) if isinstance(output, Sequence | np.ndarray | range | int | np.integer) else np.empty(0)
    )
    if columns.dtype.kind not in "iu" or columns.ndim > 1:
        raise BmdalError(f"output must be a column, a list of columns, or the name of a tensor, got {output!r}")
    return int(columns) if columns.ndim == 0 else [int(c) for c in columns]


def n_targets(y_train: Any) -> int | None:
    """The number of targets of some labels; None if there are no labels."""
    shape: tuple[int, ...] = () if y_train is None else np.shape(y_train)
    return None if not 1 <= len(shape) <= 2 else 1 if len(shape) == 1 else int(shape[1])


def now(device: torch.device) -> float:
    """The current time in seconds, after all pending work on a device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
