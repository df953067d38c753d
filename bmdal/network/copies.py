"""A private copy of a network, which can be called, hooked and changed without affecting the original."""

from __future__ import annotations

import copy
from collections import OrderedDict, defaultdict, deque
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from bmdal.errors import BmdalError

CONTAINERS = (dict, OrderedDict, defaultdict, list, tuple, set, deque, SimpleNamespace)


def unwrapped(model: nn.Module) -> nn.Module:
    """The network inside wrappers of `torch.compile` and data parallelism.

    Raises BmdalError for TorchScript, which cannot be inspected, and for layers without values.
    """
    while (inner := _wrapped(model)) is not None:
        model = inner
    for name, module in model.named_modules():
        where = f"its module {name!r}" if name else "it"
        if isinstance(module, torch.jit.ScriptModule):
            raise BmdalError(
                f"the network cannot be inspected: {where} is TorchScript; pass the network it was made from"
            )
        tensors = (*module._parameters.values(), *module._buffers.values())
        if any(is_lazy(t) for t in tensors if t is not None):
            raise BmdalError(
                f"the network has no weights yet: {where} is a lazy layer; call the network once on a few points"
            )
        if any(t.is_meta for t in tensors if t is not None):
            raise BmdalError(f"the network has no weights: {where} is on the meta device; load the weights first")
    return model


class PrivateCopy:
    """A copy of a network with its own tensors, attributes and submodules; no parameter requires a gradient.

    `copy.deepcopy` refuses networks that store a result of autograd, such as an embedding from the last call or a
    weight under the old weight norm; here such tensors are copied without their history. Functions stored in the
    network that refer to its parts are copied so that they refer to the parts of the copy. Embedding layers get dense
    gradients. Objects that cannot be copied, such as open files, are shared.

    Attributes:
        module: the copy.
        without_history: copies of tensors that were results of autograd, by id; `forward` must not use them.
    """

    def __init__(self, model: nn.Module) -> None:
        self.without_history: dict[int, Tensor] = {}
        self._copies: dict[int, Any] = {}
        self.module: nn.Module = self._copied(model)
        for module in self.module.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                module.sparse = False
            if (inner := _wrapped(module)) is not None:
                module.__dict__["forward"] = inner

    def _copied(self, value: Any) -> Any:
        copies = self._copies  # by the id of the original, as in `copy.deepcopy`
        if id(value) in copies:
            return copies[id(value)]
        copies.setdefault(id(copies), []).append(value)  # keeps it alive, so that no other object gets its id
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, nn.Module):
            return self._module(value)
        if isinstance(value, FunctionType):
            return self._function(value)
        if type(value) in CONTAINERS:
            return self._container(value)
        try:
            result = value.clone_state() if isinstance(value, torch.Generator) else copy.deepcopy(value, copies)
        except Exception:  # anything that a user's class raises
            result = value
        copies[id(value)] = result
        return result

    def _module(self, value: nn.Module) -> nn.Module:
        result: nn.Module = object.__new__(type(value))
        self._copies[id(value)] = result
        kept = _not_pickled(value)
        state = {
            name: item if name in kept else self._copied(item)
            for name, item in value.__dict__.items()
            if name not in ("_compiled_call_impl", "_flat_weight_refs")  # they refer to the original
        }
        result.__dict__.update(state)
        if isinstance(value, nn.RNNBase):
            result.__setstate__(state)  # type: ignore[no-untyped-call]  # this restores the references to its weights
        return result

    def _tensor(self, value: Tensor) -> Tensor:
        base = value._base if value._is_view() and not value.is_inference() else None
        if base is not None and id(base) in self._copies:
            owner: Tensor = self._copies[id(base)]
            result = _same_view(owner, base, value)
        else:
            result = value.detach().clone()
        if isinstance(value, nn.Parameter):
            result = torch.Tensor._make_subclass(type(value), result, False)
        elif value.grad_fn is not None:
            self.without_history[id(result)] = result
        self._copies[id(value)] = result
        if value.__dict__:
            result.__dict__.update(self._copied(value.__dict__))
        return result

    def _container(self, value: Any) -> Any:
        if isinstance(value, tuple):
            result: Any = tuple(self._copied(item) for item in value)
            self._copies[id(value)] = result
            return result
        result = copy.copy(value)  # keeps its default factory or maximal length
        self._copies[id(value)] = result
        if not value:
            return result
        if isinstance(value, dict | SimpleNamespace):
            items = result if isinstance(value, dict) else result.__dict__
            items.update({key: self._copied(item) for key, item in items.items()})
        else:
            items = [self._copied(item) for item in value]
            result.clear()
            result.update(items) if isinstance(result, set) else result.extend(items)
        return result

    def _function(self, value: FunctionType) -> FunctionType:
        """A copy of a lambda or hook whose closure refers to the copies of any parts of a network."""
        cells = value.__closure__ or ()
        contents = [cell.cell_contents if _is_filled(cell) else None for cell in cells]
        if not any(_is_part(content) for content in contents):
            self._copies[id(value)] = value
            return value
        own = tuple(CellType() for _ in cells)
        result = FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, own)
        result.__dict__.update(value.__dict__)
        result.__kwdefaults__, result.__module__ = value.__kwdefaults__, value.__module__
        self._copies[id(value)] = result
        for cell, before, content in zip(own, cells, contents, strict=True):
            if _is_filled(before):
                cell.cell_contents = self._copied(content) if _is_part(content) else content
        return result


def _wrapped(module: nn.Module) -> nn.Module | None:
    if type(module) in (DataParallel, DistributedDataParallel):
        return module.get_submodule("module")
    if type(module).__module__.startswith("torch._dynamo"):  # torch.compile's wrapper
        return module.get_submodule("_orig_mod")
    return None


def _not_pickled(module: nn.Module) -> set[str]:
    """Attributes that a user's class leaves out when it is pickled, such as a trainer or a logger."""
    if isinstance(module, nn.RNNBase):
        return set()
    try:
        state = module.__getstate__()  # type: ignore[no-untyped-call]
        return set(module.__dict__) - set(state) if isinstance(state, dict) else set()
    except Exception:  # parametrized modules cannot be pickled
        return set()


def _is_part(content: object) -> bool:
    """Whether an object is, or contains, something that may be part of a network."""
    if isinstance(content, MethodType):
        return _is_part(content.__self__)
    if type(content) in (list, tuple, dict):
        return any(_is_part(item) for item in (content.values() if isinstance(content, dict) else content))  # type: ignore[attr-defined]
    return isinstance(content, nn.Module | nn.Parameter | FunctionType)


def _is_filled(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def private_copy(model: nn.Module) -> nn.Module:
    """A private copy of a network: the module of a `PrivateCopy`."""
    return PrivateCopy(model).module


def state_of(module: nn.Module) -> object:
    """A value that changes when `forward` changes the network: identities and versions of everything it holds."""
    held = [(name, key, _state(value)) for name, m in module.named_modules() for key, value in m.__dict__.items()]
    return held, [b._version for b in module.buffers() if not b.is_inference()]


def _state(value: Any, depth: int = 0) -> object:
    if type(value) in CONTAINERS and depth < 5:
        items = vars(value) if isinstance(value, SimpleNamespace) else value
        values = items.values() if isinstance(items, dict) else items
        return id(value), [_state(item, depth + 1) for item in values]
    return id(value), value._version if isinstance(value, Tensor) and not value.is_inference() else 0


def _same_view(owner: Tensor, base: Tensor, value: Tensor) -> Tensor:
    """The view of the copy of a tensor that corresponds to a view of the tensor; a copy of the view if there is none.

    A tensor that was given other data no longer shares it with its views, and its copy may have another layout.
    """
    shared = value.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    if shared and owner.stride() == base.stride():
        return owner.as_strided(value.size(), value.stride(), value.storage_offset() - base.storage_offset())
    return value.detach().clone()
