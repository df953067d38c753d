"""Exceptions for invalid requests, with messages for the user who made them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import torch


class BmdalError(ValueError):
    """A request that cannot be met: bad input, an unknown name or an impossible combination."""


class UnknownComponentError(BmdalError):
    """A method name contains a part that is not the name of a registered component."""


class IncompatibleError(BmdalError):
    """Parts that cannot work together; raised before anything is computed."""


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or the CPU; not all such errors have their own class."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    )


def unknown(kind: str, value: str, valid: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest match and all valid names."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {value!r}.{hint} Valid: {', '.join(names)}"
