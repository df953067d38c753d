"""Count what a computation reads and writes, and its multiplications in matrix products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

SOME_ROWS = ("aten::index", "aten::index_select", "aten::gather", "aten::index_put_", "aten::index_fill_")
"""Operations that read from, or write to, only some rows of their first input."""


@dataclass(frozen=True)
class Traffic:
    """Bytes that all operations read and write, whether from memory or from a cache, and floating-point operations."""

    n_bytes: int
    n_flop: int


def traffic_of(compute: Callable[[], object]) -> Traffic:
    """Run a computation and count. Operations are those of matrix products, but not with vectors or integers."""
    flops = FlopCounterMode(display=False)
    with _Bytes() as count, flops:
        compute()
    return Traffic(count.total, flops.get_total_flops())


class _Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        aliases = [returned.alias_info for returned in func._schema.returns]
        if any(alias is not None and not alias.is_write for alias in aliases):
            return result  # a view
        read, written = tree_leaves((args, kwargs)), tree_leaves(result)
        if func._schema.name in SOME_ROWS:
            in_place = aliases[0] is not None
            read, written = read[1:] + ([] if in_place else written), read[1:] if in_place else written
        self.total += sum(_size(t) for t in (*read, *written))
        return result


def _size(value: object) -> int:
    return value.numel() * value.element_size() if isinstance(value, Tensor) else 0
