"""What can be wrong with a request, as exceptions with messages for the person who made it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress

import torch


class BmdalError(ValueError):
    """A request that cannot be met: bad input, unknown name or impossible combination."""


class UnknownComponentError(BmdalError):
    """A method name with a part that no registered component has."""


class IncompatibleError(BmdalError):
    """Parts that cannot work together, found before anything is computed."""


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""What the allocators of PyTorch, CUDA's runtime, cuBLAS, cuDNN and cuSOLVER say; only the first has a class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the one that it was raised from, says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def release_memory() -> None:
    """Give memory of GPUs that PyTorch holds but does not use back, for libraries that ask for some by themselves.

    After some errors nothing can be done on a GPU any more, not even this, and whoever goes on will hear of it.
    """
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def unknown(kind: str, value: str, valid: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest match and all valid ones."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {value!r}.{hint} Valid: {', '.join(names)}"
