"""Exceptions for invalid requests, with messages for the user who made them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from contextlib import suppress

import torch


class BmdalError(ValueError):
    """A request that cannot be met: bad input, an unknown name or an impossible combination."""


class UnknownComponentError(BmdalError):
    """A method name contains a part that is not the name of a registered component."""


class IncompatibleError(BmdalError):
    """Parts that cannot work together; raised before anything is computed."""


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")
"""What the allocators of PyTorch, CUDA's runtime, cuBLAS, cuDNN and cuSOLVER say; only the first has a class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the one it was raised from, means that memory ran out, on a GPU or the CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def release_memory() -> None:
    """Return GPU memory that PyTorch holds but does not use, for libraries that allocate their own.

    Some errors make a GPU unusable, even for this. They are raised again by whatever uses the GPU next.
    """
    if torch.cuda.is_available():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def unknown(kind: str, value: str, valid: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest match and all valid names."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {value!r}.{hint} Valid: {', '.join(names)}"
