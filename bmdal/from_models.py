"""Select points to label from trained networks, forests or other models and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from bmdal.batch import (
    Batch,
    Request,
    as_generator,
    as_labels,
    as_outcomes,
    as_output,
    check_batch_size,
    check_single_output,
    check_target,
    choose,
    n_targets,
    now,
    with_ids,
)
from bmdal.errors import BmdalError, IncompatibleError
from bmdal.estimators import last_step, networks_of, within_pipeline
from bmdal.features import DenseFeatures, Features
from bmdal.from_predictions import check_points, select_by_predictions
from bmdal.from_shards import choose_from_parts, of_one_type
from bmdal.group import ALONE
from bmdal.inputs import Inputs, StreamedInputs, as_inputs, few_points, first_point, in_one_precision, may_cast
from bmdal.kernels import Predictions
from bmdal.members import MCDropout
from bmdal.members.masks import masked_networks
from bmdal.method import Method
from bmdal.network.call import Call, Forward, Output
from bmdal.network.copies import unwrapped
from bmdal.network.modes import plain_arithmetic
from bmdal.network.network import Network
from bmdal.pipeline import CHUNK_BYTES, predictions, transformed_features
from bmdal.points import form, named_leaves
from bmdal.points import forward as usual_forward
from bmdal.processes import Processes
from bmdal.randomness import unchanged_after_error
from bmdal.rules import Fingerprints, Rules
from bmdal.tables import Table, check_columns, check_finite, frame_of


def select_batch(
    method: Method | str | None,
    models: Any,
    x_train: Any,
    y_train: Table | None,
    x_pool: Any,
    batch_size: int,
    generator: torch.Generator | int,
    device: torch.device | str | None = None,
    with_effective_dimension: bool = False,
    x_target: Any = None,
    *,
    forward: Forward | None = None,
    collate_fn: Callable[[list[Any]], Any] | None = None,
    output: Output = None,
    features_file: Path | str | None = None,
    exclude: Any = None,
    groups: Any = None,
    per_group: int = 1,
    costs: Any = None,
    distinct: bool = True,
    group: Any = None,
) -> Batch:
    """Select the pool points to label next, given trained models (arXiv 2203.09410, Algorithm 1).

    The networks are copied, and the copies are put into evaluation mode; your networks, the points and the global
    random generators stay unchanged. Networks may be compiled, wrapped for data parallelism, in half precision or
    frozen. The output for a point must depend on that point only; this is checked on a few points.

    Points can be tensors, which are used as they are, or NumPy arrays or pandas frames; for networks with several
    inputs, tuples and dictionaries of these. If a network does not accept their precision, arrays and frames are cast
    to the network's precision, unless this would lose the differences between points. A map-style
    `torch.utils.data.Dataset`, or a loader of one, is read once (for `igs` twice), in chunks, after a few items were
    inspected. Only its features stay in memory (`rp-512`: 2 KB per point); for `linear` and `nngp` without a sketch,
    these are the inputs themselves. `Batch.notes` says what is left out of an item.

    Args:
        method: the method or its name, e.g. "lcmd-tp_grad_rp-512". None means this method for networks and
            "bait-f-p_pred" for models with members.
        models: the trained network, or a list of `method.n_models` networks; each maps n points to outputs (n,) or
            (n, n_outputs). Several outputs are each divided by their spread over the training points. A fitted
            `NetworkRegressor` stands for its networks; if it is the last step of a scikit-learn pipeline, the other
            steps are applied to the points. `MCDropout(net, k)` stands for k networks, one for each dropout mask. For
            the kernel `pred`, any model with members, such as a fitted forest, a list of fitted models or
            `MCDropout(net)`: see `bmdal.members`.
        x_train: the n_train labelled points, at least one; can be None for `pred` if the method does not use them.
        y_train: labels of these points, shape (n_train,) or (n_train, n_outputs); can be None if the method does not
            use them. If given, they must have as many columns as there are outputs. `igs` compares them with the
            predictions of networks or members, so they must be in the same units: for a `NetworkRegressor` and a
            kernel of networks, (y - y_mean_) / y_scale_.
        x_pool: the n_pool points to choose from; may be on the CPU while the networks are on a GPU.
        batch_size: number of points to select, 1 <= batch_size <= n_pool.
        generator: source of all random draws, or a seed. The same generator state gives the same batch; on a GPU only
            up to rounding, because some sums have no fixed order there.
        device: where features are stored and the selection runs; by default the device of the first network.
        with_effective_dimension: also compute `Batch.effective_dimension`.
        x_target: the points that matter, for `epig`, `bait-f` and `bait-fb`, for example those on which the network
            will be used. They need no labels.
        forward: `forward(network, batch)` -> predictions. By default `network(batch)` is called with the first part of
            a tuple, or with the entries of a dictionary by name, except `labels`; the predictions are the `logits` of
            the result, or the only real tensor in it. `forward` gets the whole batch.
        collate_fn: turns a list of items into a batch, as in `torch.utils.data.DataLoader`, for lists or data sets of
            items with different sizes, such as graphs or sequences. For a loader, its own one is used.
        output: which outputs count: a column or a list of columns, or the number or name of one of several tensors
            that the network returns, such as 0 for (mean, log variance). None: all.
        features_file: for pools whose features do not fit into memory: a file in which these are kept in float16. It is
            written first; if that is interrupted, the next call continues, and if the file is complete, it is used
            again. A file of other networks, points or methods is refused. `write_features` has the details.
        exclude, groups, per_group, costs, distinct: which points may be selected, and what they cost, as in `select`.
            The benchmark uses distinct=False, like the paper.
        group: a process group of `torch.distributed`, whose processes all call this function with the same networks and
            labelled points, and each with a part of the pool, which may be empty. Every process gets the same batch,
            whatever the number of processes: see `select`.

    Raises BmdalError for input that cannot be used; the message says what is wrong and why.
    """
    holders = ALONE if group is None else Processes.of(group)
    with holders.together():
        method = _method(method, models)
        tables = {"x_train": x_train, "x_pool": x_pool, "x_target": x_target}
        given = {name: table for name, table in tables.items() if table is not None or name == "x_pool"}
        check_columns(given)
        check_target(method, x_target)
        generator, output, frame = as_generator(generator), as_output(output), frame_of(x_pool)
        check_single_output(method, output)
        if group is not None:
            _check_for_group(method, features_file, groups, with_effective_dimension)
    if isinstance(method.kernel, Predictions):
        unused = {"device": device, "collate_fn": collate_fn, "features_file": features_file}
        if names := [name for name, value in unused.items() if value is not None]:
            raise BmdalError(
                f"method {method.name!r}: {names[0]} is only for kernels of networks; predictions are computed from "
                f"arrays, frames or tensors and stored on the CPU: leave {names[0]} out"
            )
        check_points(given)
        check_batch_size(batch_size, len(x_pool))
        rules = Rules.of(method, frame, len(x_pool), batch_size, exclude, groups, per_group, costs)
        request = Request(method, batch_size, generator, rules, distinct, with_effective_dimension)
        return with_ids(select_by_predictions(request, models, given, y_train, forward, output), frame)
    with holders.together():
        if "x_train" not in given:
            raise BmdalError(
                f"method {method.name!r} needs labelled points, x_train; `select` works on features without labelled "
                "points"
            )
        sized = x_pool.dataset if isinstance(x_pool, DataLoader) else x_pool
        of_others = group is not None and isinstance(sized, Sized) and not len(sized)  # all points of the pool
        there = {name: table for name, table in given.items() if name != "x_pool" or not of_others}
        models, there = within_pipeline(models, there)
        several = n_targets(getattr(models, "y_mean_", None)) is not None  # outputs, each with its own networks
        if several and y_train is not None and output is None and n_targets(y_train) != len(models.y_mean_):
            raise BmdalError(
                f"y_train has {n_targets(y_train)} targets, the regressor {len(models.y_mean_)}: set output=..."
            )
        method, models, output = networks_of(method, models, output)
        models = _models(method, models)
        read = {name: as_inputs(name, table, collate_fn, whole=forward is not None) for name, table in there.items()}
        points = {name: read[name][0] if name in read else first_point(read["x_train"][0])[:0] for name in given}
        _check(points, None if group is not None else batch_size)
        castable = any(may_cast(table, points[name]) for name, table in there.items())
    if isinstance(holders, Processes):
        points, castable = of_one_type(holders, points, castable, of_others)
    with holders.together():
        n_least = batch_size if group is None else 0
        rules = Rules.of(method, frame, len(points["x_pool"]), n_least, exclude, groups, per_group, costs)
        X_train, X_pool, *X_target = [Fingerprints(X) for X in in_one_precision(points, castable)]
        y = as_labels(method, y_train, len(X_train))
        call = Call(forward or usual_forward, output, None if output is not None or several else n_targets(y_train))
        device = _device(device, models, X_pool.X)
        file = None if features_file is None else Path(features_file)
        if file is not None and (device.type != "cpu" or method.kernel is None):
            raise BmdalError(
                f"features_file={str(file)!r} is for methods with a kernel, and for features on the CPU: use "
                "device='cpu', the networks may stay on a GPU"
            )
        request = Request(method, batch_size, generator, rules, distinct, with_effective_dimension)
    networks: list[Network] = []

    def features(pool: Inputs) -> list[Features]:
        if method.kernel is None:
            return [DenseFeatures(torch.empty(len(X), 0, device=device)) for X in (X_train, pool)]
        few = few_points(X_train.X, X_pool.X)
        networks.extend(Network(model, few, castable, call, X_train.X) for model in models)
        return transformed_features(method, networks, X_train, y, [pool, *X_target], generator, device, file)

    with plain_arithmetic(models), unchanged_after_error(request.generator):
        if isinstance(holders, Processes):
            batch = choose_from_parts(holders, request, features, X_train, X_pool, y, device)
        else:
            start = now(device)
            train, pool, *others = features(X_pool)
            if distinct:
                if file is not None:
                    X_pool.read_rest()  # what is in the file was not mapped again
                request = request.without_copies(X_train.of_all(), X_pool.of_all())
            outcomes = None
            if method.selection.needs_predictions:
                outcomes = as_outcomes(method, y, *(predictions(networks, X, device) for X in (X_train, X_pool)))
            seconds = now(device) - start
            batch = choose(request, train, pool, seconds, next(iter(others), None), outcomes)
    notes = [note for _, of_points in read.values() for note in of_points] + [n for net in networks for n in net.notes]
    return with_ids(replace(batch, notes=tuple(dict.fromkeys([*notes, *batch.notes]))), None if group else frame)


def _check_for_group(method: Method, features_file: object, groups: object, with_effective_dimension: bool) -> None:
    if isinstance(method.kernel, Predictions):
        raise IncompatibleError(
            f"method {method.name!r}: predictions of a model with members cannot be spread over a group: compute them, "
            "and pass them to `select`"
        )
    unusable = {"features_file": features_file, "groups": groups, "with_effective_dimension": with_effective_dimension}
    if names := [name for name, value in unusable.items() if value is not None and value is not False]:
        raise BmdalError(f"{names[0]} cannot be used with group=...: it concerns the whole pool")


def _method(method: Method | str | None, models: Any) -> Method:
    if method is None:
        listed = models if isinstance(models, list | tuple) else [models]
        networks = all(
            isinstance(last := last_step(model), nn.Module) or hasattr(last, "networks_") for model in listed
        )
        method = "lcmd-tp_grad_rp-512" if networks else "bait-f-p_pred"
    if isinstance(method, str):
        return Method.from_name(method)
    if not isinstance(method, Method):
        raise BmdalError(f"method must be a name such as 'lcmd-tp_grad_rp-512' or a bmdal.Method, got {method!r}")
    return method


def _models(method: Method, models: Any) -> list[nn.Module]:
    if method.kernel is None:
        return []
    single = isinstance(models, nn.Module) and type(models) is not nn.ModuleList
    given: Any = [models] if single else masked_networks(models) if isinstance(models, MCDropout) else models
    if not isinstance(given, Sequence | nn.ModuleList) or isinstance(given, str):
        hint = "; for models with members, such as forests, use 'bait-f-p_pred'" if hasattr(models, "predict") else ""
        raise BmdalError(f"models must be a torch.nn.Module or a list of them, got {models!r}{hint}")
    for model in given:
        if not isinstance(model, nn.Module):
            raise BmdalError(
                f"models must be a torch.nn.Module or a list of them, the list holds a {type(model).__name__}"
            )
    if len(given) != method.n_models:
        hint = f"; add 'ens-{len(given)}' to its name to use them all" if len(given) > 1 else ""
        raise BmdalError(f"method {method.name!r} takes {method.n_models} model(s), {len(given)} were given{hint}")
    return [unwrapped(model) for model in given]


def _check(points: Mapping[str, Inputs], batch_size: int | None) -> None:
    for name, x in points.items():
        if isinstance(x, Tensor) and x.ndim == 0:
            raise BmdalError(f"{name} must have shape (n, ...), it is a single number")
        if isinstance(x, Tensor) and len(x) and x[0].numel() == 0:
            raise BmdalError(f"{name} has shape {tuple(x.shape)}: its points have no inputs")
    if batch_size is not None:
        check_batch_size(batch_size, len(points["x_pool"]))
    if len(points["x_train"]) == 0:
        raise BmdalError("x_train is empty: label at least one point first; `select` works without labelled points")
    if "x_target" in points and len(points["x_target"]) == 0:
        raise BmdalError("x_target is empty: leave it out")
    forms = {name: form(first_point(x)) for name, x in points.items()}
    if len(set(forms.values())) > 1:
        shapes = {name: " and ".join(parts).replace("(n", f"({len(points[name])}") for name, parts in forms.items()}
        text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise BmdalError(f"points must agree in all dimensions except the first, they have shapes {text}")
    for name, x in points.items():
        if not isinstance(x, StreamedInputs):  # these are checked when they are read
            for place, t in named_leaves(name, x):
                check_finite(place, t)


def _device(given: torch.device | str | None, models: Sequence[nn.Module], x_pool: Inputs) -> torch.device:
    usual = getattr(x_pool, "device", torch.device("cpu"))
    usual = next((p.device for model in models for p in model.parameters()), usual)
    try:
        device = torch.device(given) if given is not None else usual
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in CHUNK_BYTES or (device.type == "cuda" and not torch.cuda.is_available()):
        valid = "cpu, cuda, cuda:0, ..." if torch.cuda.is_available() else "cpu"
        raise BmdalError(f"features cannot be stored on device={str(given or usual)!r}; valid here: device={valid}")
    return device
