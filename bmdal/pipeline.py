"""From networks and points to transformed features, in chunks of bounded size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bmdal.errors import BmdalError, IncompatibleError, is_out_of_memory, release_memory
from bmdal.features import DenseFeatures, Features, KernelFunction, KernelMatrix, StoredFeatures
from bmdal.files import MOST_LOST, in_chunks, origin_of, read_features, write_blocks
from bmdal.inputs import Inputs, StreamedInputs
from bmdal.kernels import BaseKernel, Traits
from bmdal.method import Method
from bmdal.network.gradients import UnfactoredError
from bmdal.network.network import Network
from bmdal.network.random_state import own_random_state
from bmdal.part import Part
from bmdal.points import Points, leaves
from bmdal.rules import Fingerprints
from bmdal.transformations import Ensemble, Fitted, RandomProjection, Transformation

CHUNK_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Memory for intermediate results for one chunk of points; on a CPU, about what fits into its cache."""


def transformed_features(
    method: Method,
    networks: Sequence[Network],
    x_train: Inputs,
    y_train: Tensor | None,
    others: Sequence[Inputs],
    generator: torch.Generator,
    device: torch.device,
    file: Path | None = None,
) -> list[Features]:
    """The features that the selection method uses: those of the training points, then those of the other points.

    Each transformation is fitted on the features of the training points after the transformations before it.

    Args:
        method: a method with a kernel.
        networks: its `n_models` networks.
        x_train: the training points.
        y_train: labels, shape (n_train,), if the method needs them.
        others: the pool or this process's `Part` of it, and possibly the target points; may be on another device than
            the features, or on disk.
        generator: source of all random draws.
        device: device of the features.
        file: where the features of the pool are written and stay, or are already; None: in memory. Transformations
            after the last random projection are computed whenever features are read.

    Raises BmdalError for points or networks that cannot be used, if the kernel is NaN or infinite, and if the file was
    made from others.
    """
    state = generator.get_state()
    while True:
        try:
            return _fit_and_map(method, networks, x_train, y_train, others, generator, device, file)
        except UnfactoredError:  # a layer behaves differently than it did on the few points
            generator.set_state(state)


def _fit_and_map(
    method: Method,
    networks: Sequence[Network],
    x_train: Inputs,
    y_train: Tensor | None,
    others: Sequence[Inputs],
    generator: torch.Generator,
    device: torch.device,
    file: Path | None,
) -> list[Features]:
    assert method.kernel is not None
    at = next((i for i, t in enumerate(method.transformations) if isinstance(t, Ensemble)), 0)
    own, common = method.transformations[:at], method.transformations[at:]
    fit = _Fit(y_train, method.sigma, generator)
    made_from = "" if file is None else _origin(method, networks, x_train, y_train, others[0], generator)

    chains: list[Callable[[Points], Features]] = []
    members: list[Features] = []
    point_bytes = 0
    for network in networks:
        base = _base(method.kernel, network, device)
        member_bytes = _point_bytes(base, network, x_train)
        features = _in_chunks(base, x_train, _chunk_size(member_bytes, device))
        check_finite_kernel(method, "training points", features)
        train, fitted = fit(own, features)
        chains.append(_chain(base, fitted))
        members.append(train)
        point_bytes += member_bytes

    def combine(members: Sequence[Features]) -> Features:
        return members[0] if method.ensemble is None else method.ensemble.combine(members)

    train, fitted = fit(common, combine(members))
    point_bytes = max(point_bytes, len(networks) * fit.largest_bytes // len(x_train))
    size = _chunk_size(point_bytes, device)

    def base_of_all(X: Points) -> Features:
        return combine([chain(X) for chain in chains])

    chain = _chain(base_of_all, fitted)
    mapped: list[Features] = []
    if file is not None:
        at = 1 + max((i for i, t in enumerate(common) if isinstance(t, RandomProjection)), default=-1)
        stored = _in_file(file, method, _chain(base_of_all, fitted[:at]), others[0], size, made_from)
        mapped = [stored.mapped(_chain(lambda features: features, fitted[at:])).to(dtype=train.dtype)]
        others = others[1:]
    mapped += [_of_part(chain, X, size, x_train) if isinstance(X, Part) else _in_chunks(chain, X, size) for X in others]
    for name, features in zip(("pool points", "target points"), mapped, strict=False):
        check_finite_kernel(method, name, features)
    return [train, *mapped]


def predictions(networks: Sequence[Network], X: Inputs, device: torch.device) -> Tensor:
    """The mean of the networks' outputs, shape (n, n_outputs), in float64.

    Raises BmdalError for points that the networks do not accept.
    """
    total = torch.zeros((), dtype=torch.float64, device=device)
    for network in networks:
        base = _outputs(network, device)
        total = total + _in_chunks(base, X, _chunk_size(_point_bytes(base, network, X), device)).matrix()
    return total / len(networks)


def transform(
    method: Method, train: Features, others: Sequence[Features], y_train: Tensor | None, generator: torch.Generator
) -> list[Features]:
    """Transformed features of the training points, of which there may be none, and of other points."""
    if not method.transformations:
        return [train, *others]
    train, chain = fit(method, train, y_train, generator)
    first = others[0][:1]
    size = _chunk_size(max(first.nbytes, chain(first).nbytes), first.device)
    mapped = [f.mapped(chain) if isinstance(f, StoredFeatures) else _in_chunks(chain, f, size) for f in others]
    for name, features in zip(("train", "pool", "target"), (train, *mapped), strict=False):
        check_finite_kernel(method, name, features)
    return [train, *mapped]


def fit(method: Method, train: Features, y_train: Tensor | None, generator: torch.Generator) -> tuple[Features, Fitted]:
    """The transformed features of the training points, and the transformation of any others."""
    train, fitted = _Fit(y_train, method.sigma, generator)(method.transformations, train)
    return train, _chain(lambda features: features, fitted)


@dataclass
class _Fit:
    """Fits transformations in turn and records the largest size of the features in between."""

    y_train: Tensor | None
    sigma: float
    generator: torch.Generator
    largest_bytes: int = 0

    def __call__(self, transformations: Sequence[Transformation], train: Features) -> tuple[Features, list[Fitted]]:
        fitted: list[Fitted] = []
        for transformation in transformations:
            fitted.append(transformation.fit(train, self.y_train, self.sigma, self.generator))
            train = fitted[-1](train)
            self.largest_bytes = max(self.largest_bytes, train.nbytes)
        return train, fitted


def _base(kernel: BaseKernel, network: Network, device: torch.device) -> Callable[[Points], Features]:
    def features(X: Points) -> Features:
        with own_random_state(network.device):
            return kernel.features(network, network.inputs(X)).to(device=device)

    return features


def _outputs(network: Network, device: torch.device) -> Callable[[Points], Features]:
    def outputs(X: Points) -> Features:
        with own_random_state(network.device):
            return DenseFeatures(network(network.inputs(X)).to(device=device))

    return outputs


def _point_bytes(base: Callable[[Points], Features], network: Network, X: Inputs) -> int:
    """Memory for one point: the largest of its inputs, its features and the outputs of the network's modules."""
    outputs: dict[str, int] = {}

    def count(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: object, output: object) -> None:
            if isinstance(output, Tensor):  # by name, since copies of a module count as the module
                outputs[name] = max(outputs.get(name, 0), output.numel() * output.element_size())

        return hook

    few = X[:2]  # not one: a network may drop dimensions of length one
    base(few)  # runs the checks of the network
    leaves = [(name, module) for name, module in network.module.named_modules() if not any(module.children())]
    handles = [module.register_forward_hook(count(name)) for name, module in leaves]
    try:
        features = base(few)
    finally:
        for handle in handles:
            handle.remove()
    return max(few.nbytes, features.nbytes, sum(outputs.values())) // len(few)


def _chunk_size(point_bytes: int, device: torch.device) -> int:
    return max(1, min(CHUNK_BYTES[device.type] // (3 * point_bytes), 2**16))


def check_kinds(method: Method, train: Features, others: Sequence[Features]) -> None:
    """Raise BmdalError unless training, pool and possibly target points have features that the method can work with."""
    pool = others[0]
    has_sketch = type(pool).draw_sketch is not Features.draw_sketch
    method.check_traits(Traits(explicit=pool.n_features is not None, sketchable=has_sketch), f"{type(pool).__name__}")
    every = (train, *others)
    if len({(DenseFeatures if isinstance(f, StoredFeatures) else type(f), f.n_features) for f in every}) > 1:
        kinds = ", ".join(f"{type(f).__name__} with {f.n_features or 'no'} columns" for f in every)
        raise BmdalError(f"train, pool and target must be features of the same kind, they are {kinds}")
    if any(isinstance(f, KernelMatrix) and not f.is_of(every[0]) for f in every):
        raise BmdalError("train, pool and target must be rows of one KernelMatrix over all points: K[:100], K[100:]")
    if any(isinstance(f, KernelFunction) and not f.is_of(every[0]) for f in every):
        raise BmdalError("train, pool and target must have the same kernel function and factor")
    need = [f"transformation {t.name!r}" for t in method.transformations if t.needs_train]
    need += ["mode TP"] if method.mode == "TP" else []
    if need and not len(train):
        raise BmdalError(
            f"method {method.name!r}: {need[0]} needs labelled points, train=...; mode P by itself does not"
        )
    for name, features in zip(("train", "pool", "target"), every, strict=False):
        check_finite_kernel(method, name, features)


def check_finite_kernel(method: Method, name: str, features: Features) -> None:
    """Raise BmdalError, naming the row, if the kernel of a point with itself is NaN or infinite."""
    bad = ~torch.isfinite(features.diag())
    if bool(bad.any()):
        rows = f"row {int(bad.nonzero()[0])} and {int(bad.sum()) - 1} others"
        raise BmdalError(
            f"method {method.name!r}: the kernel is NaN or infinite for {name} ({rows}); "
            "are features too large, do the network's parameters contain NaN, or are its outputs unbounded?"
        )


def _in_file(
    path: Path, method: Method, chain: Callable[[Points], Features], X: Inputs, size: int, made_from: str
) -> StoredFeatures:
    """Features of points in a float16 file, which is written unless it is there."""
    if chain(X[:2]).n_features is None:
        raise IncompatibleError(
            f"method {method.name!r} has no feature matrix that could be stored: put a sketch like 'rp-512' into it"
        )
    if not path.exists():
        chunks = partial(in_chunks, lambda rows: chain(X[rows]).matrix(), len(X), size)
        return write_blocks(path, chunks, len(X), torch.float16, made_from)
    if origin_of(path) != made_from:
        raise BmdalError(
            f"{path} was made from another method, other networks, points or another generator: delete it, or choose "
            "another features_file"
        )
    stored, rows = read_features(path), [0, len(X) // 2, len(X) - 1]
    features = chain(X[rows]).matrix()
    changes = torch.linalg.vector_norm(stored[torch.tensor(rows)].matrix() - features, dim=1)
    if not bool((changes <= 2 * MOST_LOST * torch.linalg.vector_norm(features, dim=1)).all()):
        raise BmdalError(
            f"{path} has other features than the networks now give for rows {', '.join(map(str, rows))}: were they "
            "made with another output, forward, activation or dropout? Delete it, or choose another features_file"
        )
    return stored


def _origin(
    method: Method,
    networks: Sequence[Network],
    x_train: Inputs,
    y_train: Tensor | None,
    x_pool: Inputs,
    generator: torch.Generator,
) -> str:
    """A hash of what features depend on: parameters, the generator, labels and points.

    Of a pool that must be read, the number of points and the values of three: to read all takes as long as to map them.
    """
    digest = hashlib.sha256(f"{method.name} {method.sigma} {len(x_train)} {len(x_pool)}".encode())
    n, places = len(x_pool), [[0], [len(x_pool) // 2], [len(x_pool) - 1]]
    is_read = isinstance(x_pool.X if isinstance(x_pool, Fingerprints) else x_pool, StreamedInputs)
    of_pool = [x_pool[rows] for rows in places] if is_read else [x_pool[:n]]
    parameters = [t for network in networks for t in network.module.state_dict().values() if isinstance(t, Tensor)]
    labels = [] if y_train is None else [y_train]
    points = [leaf for some in (x_train[: len(x_train)], *of_pool) for leaf in leaves(some)]
    for t in [generator.get_state(), *parameters, *labels, *points]:
        digest.update(t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _chain(base: Callable[[Any], Features], fitted: Sequence[Fitted]) -> Callable[[Any], Features]:
    def features(X: Any) -> Features:
        result = base(X)
        for transformation in fitted:
            result = transformation(result)
        return result

    return features


def _of_part(chain: Callable[[Any], Features], part: Part, size: int, x_train: Inputs) -> Features:
    """The features of the points of one process, which do not depend on what the others hold."""
    if not len(part):
        return chain(x_train[:2])[:0]
    points, own = part.padded(size)
    return _in_chunks(chain, points, size)[own]


def _in_chunks(f: Callable[[Any], Features], X: Inputs | Features, size: int) -> Features:
    """f(X), computed for `size` points at a time and gathered without a second copy.

    Where memory runs out, for half as many from there on. Raises what f does for a single point.
    """
    whole: list[Tensor] = []
    start = 0
    while start < max(1, len(X)):
        try:
            part = f(X[start : start + size])
            if not whole and len(part) < len(X):
                whole = [torch.empty((len(X), *t.shape[1:]), dtype=t.dtype, device=t.device) for t in part.tensors()]
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size = -(-min(size, len(X)) // 2)
        else:
            for target, piece in zip(whole, part.tensors(), strict=bool(whole)):
                target[start : start + size] = piece
            start += size
            continue
        release_memory()  # outside the handler, whose traceback holds what filled the memory
    return part.with_tensors(whole) if whole else part
