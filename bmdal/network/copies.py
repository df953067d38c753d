"""A copy of a network that may be called, hooked and written to without the network's owner noticing."""

from __future__ import annotations

import copy
from collections import OrderedDict
from types import CellType, FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from bmdal.errors import BmdalError


def unwrapped(model: nn.Module) -> nn.Module:
    """The network within the wrappers of `torch.compile` and of data parallelism.

    Raises BmdalError for TorchScript, which cannot be looked into, and for layers without values.
    """
    while (inner := _wrapped(model)) is not None:
        model = inner
    for name, module in model.named_modules():
        where = f"its module {name!r}" if name else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise BmdalError(f"a network cannot be looked into: {where} is TorchScript; give the one it was made from")
        tensors = (*module._parameters.values(), *module._buffers.values())
        if any(is_lazy(t) for t in tensors if t is not None):
            raise BmdalError(
                f"the network has no weights yet: {where} is a lazy layer; call the network once on a few points"
            )
        if any(t.is_meta for t in tensors if t is not None):
            raise BmdalError(f"the network has no weights: {where} is on the meta device; load them first")
    return model


def private_copy(model: nn.Module) -> nn.Module:
    """The network with tensors, attributes and submodules of its own; no parameter requires a gradient.

    `copy.deepcopy` refuses networks that keep a result of autograd, such as an embedding of the last call or a weight
    under the old kind of weight norm; here such tensors are copied without their history. Functions that the network
    holds and that refer to its parts, refer to the parts of the copy. Layers look up embeddings with dense gradients.
    What cannot be copied, such as an open file, is shared.
    """
    twin: nn.Module = _copied(model, {})
    for module in twin.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False
        if (inner := _wrapped(module)) is not None:
            module.__dict__["forward"] = inner
    return twin


def _wrapped(module: nn.Module) -> nn.Module | None:
    if isinstance(module, DataParallel | DistributedDataParallel):
        inner: nn.Module = module.module
        return inner
    # torch.compile's wrapper, whose class would import the compiler
    return module.get_submodule("_orig_mod") if "_orig_mod" in module._modules else None


def _copied(value: Any, copies: dict[int, Any]) -> Any:
    """A copy of what a network holds. `copies`: what has been copied, by the original's id, as in `copy.deepcopy`."""
    if id(value) in copies:
        return copies[id(value)]
    result: Any
    if isinstance(value, nn.Module):
        result = copies[id(value)] = object.__new__(type(value))
        state = {name: _copied(item, copies) for name, item in _state(value).items() if name != "_compiled_call_impl"}
        result.__setstate__(state)
    elif isinstance(value, nn.Parameter):
        result = nn.Parameter(value.detach().clone(), requires_grad=False)
    elif isinstance(value, Tensor):
        result = value.detach().clone()
    elif isinstance(value, torch.Generator):
        result = value.clone_state()
    elif isinstance(value, FunctionType):
        result = _bound_to_copies(value, copies)
    elif type(value) in (dict, OrderedDict):
        result = type(value)((key, _copied(item, copies)) for key, item in value.items())
    elif type(value) in (list, tuple, set):
        result = type(value)(_copied(item, copies) for item in value)
    else:
        try:
            result = copy.deepcopy(value, copies)
        except Exception:  # whatever a class of the user's raises
            result = value
    copies[id(value)] = result
    copies.setdefault(id(copies), []).append(value)  # kept alive, so that no other object gets its id
    return result


def _bound_to_copies(function: FunctionType, copies: dict[int, Any]) -> FunctionType:
    """A function, such as a lambda or a hook, that refers to copies of the modules that it refers to from outside."""
    cells = function.__closure__ or ()
    contents = [cell.cell_contents if _is_filled(cell) else None for cell in cells]
    if not any(isinstance(getattr(c, "__self__", c), nn.Module | FunctionType) for c in contents):
        return function
    own = tuple(CellType() for _ in cells)
    code, defaults = function.__code__, function.__defaults__
    result = FunctionType(code, function.__globals__, function.__name__, defaults, own)
    result.__dict__.update(function.__dict__)
    result.__kwdefaults__, result.__module__ = function.__kwdefaults__, function.__module__
    copies[id(function)] = result
    for cell, before, content in zip(own, cells, contents, strict=True):
        if _is_filled(before):
            is_part = isinstance(getattr(content, "__self__", content), nn.Module | FunctionType)
            cell.cell_contents = _copied(content, copies) if is_part else content
    return result


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _state(module: nn.Module) -> dict[str, Any]:
    try:
        return dict(module.__getstate__())  # type: ignore[no-untyped-call]
    except Exception:  # parametrized modules refuse to be pickled
        return module.__dict__
