"""A pretended GPU: what one would refuse, wait for and launch, seen on a machine without one.

    with PretendedCuda() as cuda:
        select_batch(method, network.to("cuda"), x.to("cuda"), ...)
    assert not cuda.errors
    print(cuda.waits, cuda.launches, cuda.nbytes)

Tensors stay on the CPU. The memory of some is marked as the GPU's: `device` then says so, and what is computed from
them is marked too. Numbers that are copied between the two, or looked at, make the CPU wait; operands of both kinds are
an error, but for a single number from the CPU. `torch.cuda.CUDAGraph` records operations and undoes what they did, and
`replay` does them again, so that a number which ought to change and was frozen shows in the result.

Kernels are counted as eager PyTorch launches them, those of libraries roughly. Times, races between streams and numbers
that differ on a GPU are not seen.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)

LAUNCHES = {
    "cumsum": 2,
    "linalg_cholesky_ex": 6,
    "linalg_eigh": 40,
    "_linalg_eigh": 40,
    "linalg_solve_triangular": 5,
    "nonzero": 3,
    "searchsorted": 1,
    "sort": 4,
    "topk": 4,
    "_unique2": 6,
}
"""Kernels of an operation that has more than one."""
NO_KERNEL = {"_local_scalar_dense", "empty", "empty_like", "empty_strided", "new_empty", "resize_", "set_", "detach"}
DATA_DEPENDENT = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "_linalg_eigh", "linalg_eigh"}
"""Operations whose result, or its size, the CPU has to know before it goes on."""
LOOKS_AT_ITS_VALUE = {("masked_fill_", "Tensor"), ("masked_fill", "Tensor"), ("index_fill_", "int_Tensor")}
"""Operations that read the number to fill in, if it is on the GPU, before they launch anything."""
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
PART_READ = {"index_select", "index", "embedding", "slice_copy", "gather"}
"""Operations that read no more of their input than they return."""


class PretendedCuda:
    """See the module.

    Attributes:
        errors: what a GPU would refuse, each with its line.
        waits: how often each line made the CPU wait, and for what.
        launches: kernels that each line started, a replayed graph being one.
        nbytes: memory that kernels read and wrote.
    """

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.waits: Counter[str] = Counter()
        self.launches: Counter[str] = Counter()
        self.nbytes = 0
        self.capturing: list[tuple[Any, ...]] | None = None
        self.before: list[tuple[Tensor, Tensor]] = []
        self.makes_here: bool | None = (
            None  # whether what is made from nothing is on the GPU; None: as an operation likes
        )

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        for place, name, pretended in _pretences(self):
            self._stack.enter_context(mock.patch.object(place, name, pretended))
        self._stack.enter_context(_Operations(self))
        self._stack.enter_context(_Calls(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def wait(self, what: str) -> None:
        if self.capturing is not None:
            self.error(f"{what} while a graph is captured")
        self.waits[f"{_line()} [{what}]"] += 1

    def error(self, what: str) -> None:
        self.errors.append(f"{_line()}: {what}")

    @contextmanager
    def making(self, on_cuda: bool | None) -> Iterator[None]:
        before, self.makes_here = self.makes_here, on_cuda
        try:
            yield
        finally:
            self.makes_here = before


def _place(t: Tensor) -> bool | None:
    """Whether a tensor is on the GPU; None: an operation made it for itself, where its operands are."""
    with _as_it_is():
        while torch._C._functorch.is_functorch_wrapped_tensor(t):
            t = torch._C._functorch.get_unwrapped(t)
        return getattr(t.untyped_storage(), "on_cuda", False)


def on_cuda(t: Tensor) -> bool:
    return bool(_place(t))


def _mark(t: Tensor, place: bool | None = True) -> Tensor:
    with _as_it_is():
        t.untyped_storage().on_cuda = place  # stays with the memory, whatever views there are of it
    return t


@contextmanager
def _as_it_is() -> Iterator[None]:
    with torch._C.DisableTorchFunction(), _disable_current_modes():
        yield


def _line() -> str:
    """The innermost line of the project."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.name != Path(__file__).name and {"bmdal", "benchmark"} & set(path.parts[-4:-1]):
            return f"{path.parent.name}/{path.name}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class _Calls(TorchFunctionMode):
    """What is decided before an operation: the device of a tensor, moves, and what Python does by itself."""

    def __init__(self, cuda: PretendedCuda) -> None:
        self.cuda = cuda

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cuda, kwargs = self.cuda, dict(kwargs or {})
        name = getattr(func, "__name__", "")
        here = bool(args) and isinstance(args[0], Tensor) and on_cuda(args[0])
        if name == "__get__" and (what := func.__self__.__name__) in ("device", "is_cuda", "is_cpu"):
            if what == "device":
                return CUDA if here else func(*args)
            return here == (what == "is_cuda")
        if name == "get_device":
            return 0 if here else -1
        if name in ("to", "cuda", "cpu"):
            return self._move(name, *args, **kwargs)
        if name == "pin_memory":
            args[0].untyped_storage().pinned = True
            return args[0]
        if here and name in ("numpy", "__array__"):
            cuda.error("numpy() of a tensor on the GPU")
        if here and name == "tolist":
            cuda.wait("tolist")
            with _as_it_is():
                return args[0].tolist()
        wanted = kwargs.get("device")
        is_cuda = here if wanted is None else torch.device(wanted).type == "cuda"
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != ("cuda" if is_cuda else "cpu"):
            cuda.error(f"{name} on {'the GPU' if is_cuda else 'the CPU'} from a generator on {generator.device}")
        if wanted is None:
            by_itself = any(isinstance(t, Tensor) for t in tree_leaves((args, kwargs)))
            with cuda.making(None if by_itself else False):
                return func(*args, **kwargs)
        kwargs["device"] = "cpu"
        with cuda.making(is_cuda):
            out = func(*args, **kwargs)
        if is_cuda and name in ("tensor", "as_tensor"):
            cuda.wait(f"{name} on the GPU")
            return _mark(out)
        return out

    def _move(self, name: str, t: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        where = kwargs.get("device")
        dtype = kwargs.get("dtype")
        for arg in args:
            if isinstance(arg, Tensor):
                where, dtype = (CUDA if on_cuda(arg) else "cpu"), arg.dtype
            elif isinstance(arg, str | torch.device):
                where = arg
            elif isinstance(arg, torch.dtype):
                dtype = arg
        is_cuda = on_cuda(t)
        to_cuda = {"cuda": True, "cpu": False}.get(name, is_cuda if where is None else _is_cuda(where))
        if dtype is not None and dtype != t.dtype:
            t = torch.ops.aten._to_copy(t, dtype=dtype)
        if to_cuda == is_cuda:
            return t.clone() if kwargs.get("copy") else t
        with _as_it_is():
            moved = t.detach().clone()
            pinned = getattr(t.untyped_storage(), "pinned", False)
        if not to_cuda:
            self.cuda.wait("copy to the CPU")
            return moved
        if not (kwargs.get("non_blocking") and pinned):
            self.cuda.wait("copy to the GPU")
        self.cuda.launches[_line()] += 1
        return _mark(moved)


def _is_cuda(device: Any) -> bool:
    return torch.device(device).type == "cuda"


class _Operations(TorchDispatchMode):
    """Every operation, those of backward passes and of vmap too."""

    def __init__(self, cuda: PretendedCuda) -> None:
        super().__init__()
        self.cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cuda, kwargs, name = self.cuda, kwargs or {}, func._schema.name.split("::")[1]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        places = [_place(t) for t in given]
        if not given and cuda.makes_here is None:
            return _mark(func(*args, **kwargs), None)
        if not (any(places) if given else cuda.makes_here):
            return func(*args, **kwargs)
        written = [t for t in tree_leaves(_written(func, args, kwargs)) if isinstance(t, Tensor)]
        if cuda.capturing is not None:
            cuda.before += [(t, t.clone()) for t in written]
        out = func(*args, **kwargs)
        old = {t.untyped_storage()._cdata for t in given}
        fresh = [t for t in tree_leaves(out) if isinstance(t, Tensor) and t.untyped_storage()._cdata not in old]
        for t in fresh:
            _mark(t)
        on_cpu = [t for t, place in zip(given, places, strict=True) if place is False]
        if on_cpu:
            self._check_mixed(func, name, args, on_cpu, written)
        if cuda.capturing is not None:
            cuda.capturing.append((func, args, kwargs, out))
        if fresh or written or name in DATA_DEPENDENT:
            self._count(func, name, args, given, fresh, written)
        return out

    def _count(
        self, func: Any, name: str, args: Any, given: list[Tensor], fresh: list[Tensor], written: list[Tensor]
    ) -> None:
        cuda = self.cuda
        overload = str(func).split(".")[-1]
        masks = [i for i in args[1] if i is not None and i.dtype == torch.bool] if name in INDEXING else []
        if masks or name in DATA_DEPENDENT or (name, overload) in LOOKS_AT_ITS_VALUE:
            cuda.wait("index by a mask" if masks else name)
        if name in NO_KERNEL:
            return
        if cuda.capturing is None:
            cuda.launches[_line()] += LAUNCHES.get(name, 1) + 3 * len(masks)
        n_results = sum(_nbytes(t) for t in fresh + written)
        read = n_results if name in PART_READ else sum(_nbytes(t) for t in given)
        cuda.nbytes += n_results + read

    def _check_mixed(self, func: Any, name: str, args: Any, on_cpu: list[Tensor], written: list[Tensor]) -> None:
        cuda = self.cuda
        if name in ("copy_", "_to_copy"):
            cuda.wait("copy between the devices")
            return
        indices = [i for i in args[1] if i is not None] if name in INDEXING else []
        if any(t is i for t in on_cpu for i in indices):
            cuda.wait("index from the CPU")
        others = [t for t in on_cpu if not any(t is i for i in indices)]
        allowed = torch.Tag.pointwise in func.tags or name in (*INDEXING, "fill_")
        if any(t.dim() or not allowed or any(t is w for w in written) for t in others):
            cuda.error(f"{name} of tensors on both devices, those on the CPU of {[tuple(t.shape) for t in others]}")


def _nbytes(t: Tensor) -> int:
    return t.numel() * t.element_size()


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Any]:
    arguments = func._schema.arguments
    values = [*zip(arguments, args, strict=False), *((a, kwargs[a.name]) for a in arguments if a.name in kwargs)]
    return [value for a, value in values if a.alias_info is not None and a.alias_info.is_write]


def _pretences(cuda: PretendedCuda) -> list[tuple[Any, str, Any]]:
    """What stands for a GPU in PyTorch: where, its name, and a pretended one."""

    class Graph:
        def capture_begin(self, capture_error_mode: str = "global") -> None:
            cuda.wait("a graph is captured")
            if capture_error_mode != "thread_local":
                cuda.error(f"capture_error_mode={capture_error_mode!r}: other threads on a GPU would break the capture")
            cuda.capturing, cuda.before, self.nbytes = [], [], -cuda.nbytes

        def capture_end(self) -> None:
            assert cuda.capturing is not None
            self.recorded, cuda.capturing = cuda.capturing, None
            self.nbytes, cuda.nbytes = self.nbytes + cuda.nbytes, -self.nbytes  # nothing has been computed yet
            with _as_it_is():
                for t, value in reversed(cuda.before):
                    t.copy_(value)

        def replay(self) -> None:
            with _as_it_is():
                for func, args, kwargs, out in self.recorded:
                    again = func(*args, **kwargs)
                    for t, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                        if isinstance(t, Tensor) and t.data_ptr() != new.data_ptr():
                            t.copy_(new)
            cuda.launches[_line()] += 1
            cuda.nbytes += self.nbytes

    by_device = torch.optim.Optimizer._group_tensors_by_device_and_dtype

    def grouped(lists: Any, *args: Any, **kwargs: Any) -> Any:
        groups = by_device(lists, *args, **kwargs)
        return {(CUDA if on_cuda(group[0][0][0]) else key[0], *key[1:]): group for key, group in groups.items()}

    def constant(value: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: value

    return [
        (torch.cuda, "is_available", constant(True)),
        (torch.cuda, "device_count", constant(1)),
        (torch.cuda, "current_device", constant(0)),
        (torch.cuda, "synchronize", lambda device=None: cuda.wait("synchronize")),
        (torch.cuda, "empty_cache", constant(None)),
        (torch.cuda, "mem_get_info", constant((2**36, 2**36))),
        (torch.cuda, "get_rng_state", constant(torch.zeros(1))),
        (torch.cuda, "set_rng_state", constant(None)),
        (torch.cuda, "CUDAGraph", Graph),
        (torch.cuda, "stream", constant(nullcontext())),
        (torch.cuda, "Stream", constant(SimpleNamespace())),
        (torch.cuda, "device", constant(nullcontext())),
        (torch.optim.Optimizer, "_group_tensors_by_device_and_dtype", staticmethod(grouped)),
    ]
