"""How a network is called, and which of its outputs count."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.network.operations import Operations
from bmdal.points import Points, forward, given_to_networks, named_leaves

Forward = Callable[[Any, Any], Any]
"""Maps a network and a batch of points to predictions."""
Output = int | str | Sequence[int] | None
"""Which outputs of a network count: a column, several columns, or the number or name of a tensor; None: all."""


@dataclass(frozen=True)
class Call:
    """How a network is called, and which of its outputs count.

    Attributes:
        forward: maps the network and a batch of points to the result.
        output: columns that count, or the number or name of the tensor that counts if there are several; None: all.
        n_targets: number of outputs that the network must have; None: any number.
    """

    forward: Forward = forward
    output: Output = None
    n_targets: int | None = None

    def __call__(
        self,
        module: nn.Module,
        X: Points,
        parameters: Mapping[str, Tensor] | None = None,
        watch: Operations | None = None,
    ) -> Tensor:
        """The outputs that count. Raises BmdalError if the network fails or its outputs cannot be used.

        parameters: values to use in place of some of the parameters, by name.
        watch: records the operations of the call.
        """
        caller = _Caller(module, self.forward)
        given = {f"module.{name}": value for name, value in (parameters or {}).items()}
        batch = given_to_networks(X)
        try:
            with watch.of(batch) if watch is not None else nullcontext():
                result = functional_call(caller, given, (batch,)) if given else caller.forward(batch)
                outputs = _chosen(result, self.output)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, BmdalError):
                raise
            dtypes = " and ".join(sorted({str(p.dtype) for p in module.parameters()}))
            raise BmdalError(
                f"the network (parameters: {dtypes or 'none'}) cannot be called with inputs {_shapes(X)}: "
                f"{error_text(error)}{_hint(self, error)}"
            ) from error
        if not isinstance(outputs, Tensor) or outputs.layout != torch.strided or outputs.is_nested or outputs.is_meta:
            raise unusable(outputs, len(X))
        if not outputs.is_floating_point() or outputs.itemsize == 1:
            raise unusable(outputs, len(X))
        return outputs


class _Caller(nn.Module):
    """A network together with the function that calls it, for `functional_call`."""

    def __init__(self, module: nn.Module, call: Forward) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, batch: Any) -> Any:
        return self.call(self.module, batch)


CALL = Call()
"""The default call."""


def _chosen(result: Any, output: Output) -> Any:
    """The outputs that count in the result of a network."""
    if isinstance(result, Tensor):
        if output is None:
            return result
        matrix = result[:, None] if result.ndim < 2 else result.flatten(1)
        n_outputs = matrix.shape[1]
        columns = [output] if isinstance(output, int) else output
        if isinstance(columns, str) or not columns or not all(0 <= c < n_outputs for c in columns):
            raise BmdalError(
                f"output={output!r}: the network returns one tensor of shape {tuple(result.shape)}, so output must be "
                f"a column from 0 to {n_outputs - 1}, or a list of columns"
            )
        return matrix[:, output : output + 1] if isinstance(output, int) else matrix[:, list(columns)]
    parts = _parts(result)
    tensors = {key: t for key, t in parts.items() if isinstance(t, Tensor) and t.is_floating_point()}
    if output is not None and parts:
        if not isinstance(output, int | str) or output not in tensors:
            raise BmdalError(
                f"output={output!r}: the network returns {type(result).__name__}; valid outputs are {list(tensors)}"
            )
        return tensors[output]
    if "logits" in tensors:
        return tensors["logits"]
    if len(tensors) == 1 and next(iter(tensors.values())).ndim <= 2:
        return next(iter(tensors.values()))
    if tensors:
        shapes = ", ".join(f"{key!r} {tuple(t.shape)}" for key, t in tensors.items())
        raise BmdalError(
            f"the network returns {type(result).__name__} with {shapes}; choose the one that counts (the mean, not the "
            f"variance), for example output={next(iter(tensors))!r}"
        )
    return result


def _parts(result: Any) -> dict[Any, Any]:
    """The parts of a result that is a tuple, dictionary or dataclass, by number or name."""
    if isinstance(result, Mapping):
        return dict(result)
    if hasattr(result, "_asdict"):
        return dict(result._asdict())
    if isinstance(result, tuple | list):
        return dict(enumerate(result))
    return dict(vars(result)) if is_dataclass(result) else {}


def unusable(outputs: object, n: int) -> BmdalError:
    if isinstance(outputs, Tensor):
        plain = outputs.is_floating_point() and outputs.layout == torch.strided and not outputs.is_nested
        kind = "" if plain and outputs.itemsize > 1 else f" of {outputs.dtype}, {outputs.layout}"
        returned = f"a nested tensor{kind}" if outputs.is_nested else f"{tuple(outputs.shape)}{kind}"
    else:
        returned = type(outputs).__name__
    return BmdalError(
        f"the network must return one tensor of real numbers, shape ({n}, ...), for {n} inputs, it returned "
        f"{returned}; use forward=lambda model, batch: ... to return the predictions"
    )


def _shapes(X: Points) -> str:
    return ", ".join(f"{place} of shape {tuple(t.shape)} and {t.dtype}".strip() for place, t in named_leaves("", X))


def _hint(call: Call, error: Exception) -> str:
    """A hint for networks that need other arguments than the default call passes."""
    usual = isinstance(error, TypeError | AttributeError | NotImplementedError) and call.forward is forward
    return "; use forward=lambda network, batch: ... to call it differently" if usual else ""


def error_text(error: Exception) -> str:
    return str(error) if isinstance(error, RuntimeError) else f"{type(error).__name__}: {error}"
