"""Random number generators, one for each split, round and purpose.

They do not depend on the method, so all methods start from the same networks and shuffle in the same way. A resumed run
draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Purpose = Literal["initialization", "shuffling", "selection"]
_PURPOSES: tuple[Purpose, ...] = ("initialization", "shuffling", "selection")


def generator(split: int, round: int, purpose: Purpose, member: int = 0) -> torch.Generator:
    """Return a CPU generator for one purpose in one round of one split (and for one member of an ensemble)."""
    sequence = np.random.SeedSequence([split, round, _PURPOSES.index(purpose), member])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
