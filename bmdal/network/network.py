"""A trained network as used by kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.inputs import Inputs
from bmdal.linalg import spread
from bmdal.network.call import CALL, Call, error_text, unusable
from bmdal.network.copies import PrivateCopy, private_copy, state_of, unwrapped
from bmdal.network.operations import Operations
from bmdal.network.random_state import own_random_state
from bmdal.points import Items, Points, leaves, named_leaves

PART = 1024
"""Number of training points evaluated at a time for the spread of the outputs."""
N_REPEATS = 16
"""Number of further calls that must agree if the network draws random numbers."""


@dataclass(frozen=True)
class Function:
    """A network as a function from points and parameters to a matrix of outputs.

    Attributes:
        module: the network, a private copy in evaluation mode.
        call: how it is called.
        n_outputs: number of outputs per point.
        smallest: smallest number of points that it accepts, 1 or 2: some networks drop dimensions of length one.
        by_points: whether all operations treat each point independently, whatever its values.
        keeps_state: whether the network changes when it is called.
        used_again: names of the parameters that are used by more than one operation.
        units: what each output is divided by, shape (n_outputs,); None: outputs are not divided.
    """

    module: nn.Module
    call: Call
    n_outputs: int
    smallest: int = 1
    by_points: bool = False
    keeps_state: bool = False
    used_again: frozenset[str] = frozenset()
    units: Tensor | None = None

    def __call__(self, X: Points, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Outputs (n, n_outputs) for n >= `smallest` points.

        parameters: values to use in place of some of the parameters, by name.

        The points are not changed. Raises BmdalError if the network does not accept the points, or if its outputs have
        another shape.
        """
        outputs = self.call(self.module, X, parameters)
        for_each_point = outputs.shape[:1] == (len(X),) or len(X) == 1
        if not for_each_point or outputs.numel() != len(X) * self.n_outputs:
            raise unusable(outputs, len(X))
        outputs = outputs.reshape(len(X), self.n_outputs)
        return outputs if self.units is None else outputs / self.units.to(outputs)

    def fresh(self) -> Function:
        """The function as it was before its first call, so that caches do not outlive a pass."""
        return self if self.by_points and not self.keeps_state else self.copied()

    def copied(self) -> Function:
        """The function of a copy of its module."""
        return replace(self, module=private_copy(self.module))

    def padded(self, X: Points) -> Points:
        """The points, or a single point twice if the network does not accept single points."""
        return X if len(X) >= self.smallest else X[[0, 0]]


class Network:
    """A private copy of a network in evaluation mode, and what was found out about it on a few points.

    Whatever `forward` does to the network or its inputs, the user's network and points are not affected. Before the
    first use, the network is checked: the outputs for a point must not depend on anything but the point.

    Args:
        model: the trained network.
        points: a few of the points that it will be used on, at least two, preferably distinct.
        may_cast: whether floating-point inputs may be cast to the network's precision if it does not accept theirs.
        call: how it is called, and which outputs count.
        train: training points; several outputs are each divided by their spread over these. None: no division.
    """

    def __init__(
        self,
        model: nn.Module,
        points: Points,
        may_cast: bool = False,
        call: Call = CALL,
        train: Inputs | None = None,
    ) -> None:
        self.model = unwrapped(model)
        self.may_cast = may_cast
        self.call = call
        self.train = train
        tensors = (*self.model.parameters(), *self.model.buffers())
        self.device = next((t.device for t in tensors), points.device)
        self.unfactored: set[str] = set()
        """Linear layers whose gradients are known not to factor."""
        self.plans: dict[tuple[str, ...], Any] = {}
        """How to compute gradients (`bmdal.network.gradients.Plan`), by the names of the parameters."""
        self._given = points

    @cached_property
    def module(self) -> nn.Module:
        """The copy; its parameters require no gradient."""
        return self._prepared().module

    def _prepared(self) -> PrivateCopy:
        """A copy in evaluation mode."""
        twin = PrivateCopy(self.model)
        try:
            twin.module.eval()
            for module in twin.module.modules():
                module.training = False  # also modules that a user's own `eval` does not reach
                module.register_forward_pre_hook(without_inference_tensors, with_kwargs=True)
        except Exception as error:
            raise BmdalError(f"the network cannot be put into evaluation mode: {error_text(error)}") from error
        return twin

    def __call__(self, X: Points) -> Tensor:
        """The network's outputs for n points, shape (n, n_outputs), divided by their spread if there are several.

        Raises BmdalError for inputs that the network does not accept, for outputs that are not real numbers with one
        row per point, and for outputs that depend on other points or on chance.
        """
        return self.function.fresh()(self.function.padded(X))[: len(X)]

    @cached_property
    def points(self) -> Points:
        """The few points as the network takes them."""
        return self.inputs(self._given)

    def inputs(self, X: Points) -> Points:
        """Points as the network takes them: on its device and, if necessary, in its precision.

        Raises BmdalError if the cast would lose the differences between points or give infinite values.
        """
        X = X.to(self.device)
        dtype = self._cast_to
        if dtype is None or not X.is_floating_point():
            return X.clone() if X.is_inference() else X
        cast = X.to(dtype)
        for (place, t), c, reference in zip(named_leaves("", X), leaves(cast), leaves(self._given), strict=True):
            if t.is_floating_point():
                _check_cast(f"input{place}", t, c, reference.to(t))
        return cast

    @cached_property
    def _cast_to(self) -> torch.dtype | None:
        own = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), None)
        X = self._given.to(self.device)
        dtypes = {t.dtype for t in leaves(X) if t.is_floating_point()}
        if not self.may_cast or own is None or dtypes <= {own}:
            return None
        try:
            self.call(self._prepared().module, X)
        except BmdalError:
            return own
        return None

    @cached_property
    def function(self) -> Function:
        """The network as a function, checked."""
        twin, points = self._twin
        checked = twin.copied()
        with own_random_state(self.device) as draws:
            first = checked(points)
        for _ in range(N_REPEATS if draws.made else 1):
            if not _same(checked(points), first, first):
                raise BmdalError(
                    "the network's outputs for the same points differ between calls, even in evaluation mode, so "
                    "batches would depend on chance: is dropout or noise always on, or does it count its calls?"
                )
        smallest = 1 if _takes_single_points(checked, points, first) else 2
        _check_independence(checked, points, first, smallest)
        function = replace(twin, module=self.module, smallest=smallest, by_points=twin.by_points and not draws.made)
        return function if function.n_outputs == 1 else replace(function, units=self._units(function))

    def _units(self, function: Function) -> Tensor | None:
        """The spread of each output over the training points, shape (n_outputs,)."""
        if self.train is None or len(self.train) < 2:
            return None
        outputs = []
        with own_random_state(self.device):
            for start in range(0, len(self.train), PART):
                X = self.inputs(self.train[start : start + PART])
                outputs.append(function.fresh()(function.padded(X))[: len(X)])
        values = torch.cat(outputs)
        bad = ~torch.isfinite(values).all(dim=1)
        if bool(bad.any()):
            row = int(bad.nonzero()[0])
            raise BmdalError(
                f"the network's outputs are NaN or infinite for row {row} of x_train, so they have no spread"
            )
        return spread(values)

    @cached_property
    def precise(self) -> tuple[Function, Points]:
        """The function and the few points in float64 for comparisons, or unchanged if it does not accept float64."""
        twin, points = self._twin
        return replace(self.function, module=twin.module), points

    @cached_property
    def _twin(self) -> tuple[Function, Points]:
        points, watched = self.points, self._prepared()
        operations = Operations(watched.module, len(points), self._forbidden(watched))
        before = state_of(watched.module)
        outputs = self.call(watched.module, points, watch=operations)
        alone = operations.all_by_points and operations.has_seen(outputs) and not isinstance(points, Items)
        alone = alone and not any(m._backward_hooks or m._backward_pre_hooks for m in watched.module.modules())
        named = watched.module.named_parameters(remove_duplicate=False)
        function = Function(
            self.module,
            self.call,
            self._n_outputs(outputs, len(points)),
            by_points=alone,
            keeps_state=state_of(watched.module) != before,
            used_again=frozenset(name for name, p in named if operations.n_uses[id(p)] > 1),
        )
        in_float64 = points.double() if points.is_floating_point() else points
        try:
            twin = replace(function, module=private_copy(self.module).double())
            twin.copied()(in_float64)
        except Exception as error:  # it uses a fixed precision in `forward`, or cannot be cast
            if is_out_of_memory(error):
                raise
            return replace(function, module=private_copy(self.module)), points
        return twin, in_float64

    def _n_outputs(self, outputs: Tensor, n: int) -> int:
        if outputs.shape[:1] != (n,) or not outputs.numel():
            raise unusable(outputs, n)
        n_outputs, n_targets = outputs.numel() // n, self.call.n_targets
        if n_targets not in (None, n_outputs):
            remedy = "choose the outputs that count, for example output=0 for the mean if the other is a variance"
            raise BmdalError(
                f"the network has {n_outputs} output(s) and y_train {n_targets} target(s): "
                + (remedy if n_outputs > 1 else "pass the labels of what the network predicts")
            )
        return n_outputs

    @property
    def notes(self) -> list[str]:
        """Notes for the user about what was found."""
        n_outputs = self.function.n_outputs if "function" in self.__dict__ else 1
        if n_outputs == 1:
            return []
        units = "units of its spread over the training points"
        if self.function.units is None:
            units = "its own units, because one training point has no spread"
        return [f"the network has {n_outputs} outputs; all count, each in {units} (output=... selects some)"]

    def forget_twin(self) -> None:
        """Free the copies made for comparisons; they are created again if necessary."""
        for name in ("_twin", "precise"):
            self.__dict__.pop(name, None)

    def _forbidden(self, watched: PrivateCopy) -> dict[int, str]:
        """Ids of tensors that must not be used because gradients would be lost, with the reason."""
        original = {
            id(p): f"the network accesses its parameter {name!r} other than through itself, e.g. through a global "
            "variable: only use `self` in `forward`"
            for name, p in self.model.named_parameters()
        }
        reason = "the network uses a stored tensor that was computed from others: compute it in `forward`"
        return original | dict.fromkeys(watched.without_history, reason)


def without_inference_tensors(module: nn.Module, args: Any, kwargs: Any) -> Any:
    """A hook that converts tensors from a part under `torch.inference_mode` to ordinary ones."""
    if torch.is_inference_mode_enabled():
        return None

    def ordinary(value: Any) -> Any:
        return value.clone() if isinstance(value, Tensor) and value.is_inference() else value

    return tuple(ordinary(a) for a in args), {name: ordinary(a) for name, a in kwargs.items()}


def _takes_single_points(function: Function, points: Points, outputs: Tensor) -> bool:
    try:
        alone = torch.cat([function(points[:1]), function(points[-1:])])
    except BmdalError:
        return False
    return _same(alone, outputs[[0, -1]], outputs)


def _check_independence(function: Function, points: Points, outputs: Tensor, smallest: int) -> None:
    """Raise BmdalError if the points' outputs change in another order or together with other points."""
    n = len(points)
    order = torch.tensor([*range(n - 1, -1, -2), *range(n - 2, -1, -2)], device=points.device)
    first, second = order[: max(smallest, n // 3)], order[max(smallest, n // 3) :]
    groups = [first, second, order[:1].repeat(2)] if len(second) >= smallest else [order, order[:1].repeat(2)]
    for rows in groups:
        check_same(function(points[rows]), outputs[rows], outputs)


def check_same(others: Tensor, outputs: Tensor, reference: Tensor) -> None:
    """Raise BmdalError if two evaluations of the same points differ, relative to the spread of reference outputs."""
    if not _same(others, outputs, reference):
        raise BmdalError(
            "the network's outputs for a point depend on the other points of the batch: together with other points, "
            "the same points have different outputs. Does it use batch statistics (a BatchNorm without running "
            "statistics, z - z.mean(0)) or the order of the points? Points are processed in chunks, so no result would "
            "be right"
        )


def _same(a: Tensor, b: Tensor, reference: Tensor) -> bool:
    """Whether outputs (m, n_outputs) agree up to rounding, relative to the spread of reference outputs."""
    finite = reference[torch.isfinite(reference).all(dim=1)]
    allowed = torch.zeros_like(reference[0])
    if len(finite):
        units = {torch.float64: 256, torch.float32: 16}.get(finite.dtype, 2)  # units in the last place
        rounding = units * torch.finfo(finite.dtype).eps * finite.abs().amax(dim=0)
        allowed = tolerance(finite.dtype) * (finite.amax(dim=0) - finite.amin(dim=0)) + rounding
    return bool((((a - b).abs() <= allowed) | (a == b) | (a.isnan() & b.isnan())).all())


def tolerance(dtype: torch.dtype) -> float:
    """Tolerated relative difference of two ways to compute the same: 5e-9 in float64, 1e-3 in float32, else 0.05."""
    return {torch.float64: 5e-9, torch.float32: 1e-3}.get(dtype, 0.05)


def _check_cast(name: str, X: Tensor, cast: Tensor, reference: Tensor) -> None:
    """Raise BmdalError if a cast loses the differences among the points, shape (n, ...), and reference points."""
    X, cast, reference = (t.reshape(len(t), -1) for t in (X, cast, reference))
    loss = (cast.to(X) - X).abs().amax(dim=0)
    largest = torch.maximum(X.amax(dim=0), reference.amax(dim=0))
    smallest = torch.minimum(X.amin(dim=0), reference.amin(dim=0))
    some = torch.cat([X[:: -(-len(X) // 1000)], reference])
    middle = some.sort(dim=0).values[[len(some) // 20, len(some) - 1 - len(some) // 20]].diff(dim=0)[0]
    spread = torch.where(middle > 0, middle, largest - smallest)  # a code for "unknown" must not widen the range
    varies = spread > 64 * torch.finfo(X.dtype).eps * torch.maximum(largest.abs(), smallest.abs())
    bad = varies & ~(loss <= max(1e-3, 8 * torch.finfo(cast.dtype).eps) * spread)
    if bool(bad.any()):
        j = int(bad.nonzero()[0])
        raise BmdalError(
            f"{name} {j} has values from {float(smallest[j])!r} to {float(largest[j])!r}; in {cast.dtype}, which the "
            f"network needs, they would be off by up to {float(loss[j]):.3g}. Centre and scale it in {X.dtype} first, "
            f"or pass tensors of {cast.dtype} if the network was trained on them"
        )
