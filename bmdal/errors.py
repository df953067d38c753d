"""What can be wrong with a request, as exceptions with messages for the person who made it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import torch


class BmdalError(ValueError):
    """A request that cannot be met: bad input, unknown name or impossible combination."""


class UnknownComponentError(BmdalError):
    """A method name with a part that no registered component has."""


class IncompatibleError(BmdalError):
    """Parts that cannot work together, found before anything is computed."""


OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU; not all of these have a class of their own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)
    )


def unknown(kind: str, value: str, valid: Iterable[str]) -> str:
    """The message for a name that does not exist: the nearest match and all valid ones."""
    names = sorted(valid)
    nearest = difflib.get_close_matches(value, names, n=1, cutoff=0.4)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"unknown {kind} {value!r}.{hint} Valid: {', '.join(names)}"
