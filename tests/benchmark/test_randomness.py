"""Where random numbers of runs come from."""

from __future__ import annotations

import torch

from benchmark.randomness import generator


def test_generators_depend_on_everything_but_the_method() -> None:
    numbers = {
        torch.rand((), generator=generator(*key)).item()
        for key in [
            (0, 0, "shuffling"),
            (1, 0, "shuffling"),
            (0, 1, "shuffling"),
            (0, 0, "selection"),
            (0, 0, "shuffling", 1),
        ]
    }
    assert len(numbers) == 5
    assert torch.rand((), generator=generator(0, 0, "shuffling")).item() in numbers
