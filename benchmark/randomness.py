"""Where random numbers come from: one generator for each split, round and purpose.

Nothing depends on the method: all methods start from the same networks and shuffle in the same way, and a resumed run
draws what an unbroken one draws.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

Purpose = Literal["initialization", "shuffling", "selection"]
_PURPOSES: tuple[Purpose, ...] = ("initialization", "shuffling", "selection")


def generator(split: int, round: int, purpose: Purpose, member: int = 0) -> torch.Generator:
    """A CPU generator for one purpose in one round of one split (and one member of an ensemble)."""
    sequence = np.random.SeedSequence([split, round, _PURPOSES.index(purpose), member])
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1)))
