"""Random draws from explicit generators, the same on every device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def standard_normal(shape: Sequence[int], generator: torch.Generator, like: Tensor) -> Tensor:
    """Standard normal numbers of a shape with the device and dtype of `like`, drawn on the generator's device."""
    return torch.randn(*shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


@contextmanager
def unchanged_after_error(generator: torch.Generator) -> Iterator[None]:
    """Give a generator its state back if an error occurs, so that a second attempt draws the same numbers."""
    state = generator.get_state()
    try:
        yield
    except BaseException:
        generator.set_state(state)
        raise


def uniform(generator: torch.Generator) -> Tensor:
    """A uniform number in [0, 1) in float64, shape (), on the generator's device."""
    return torch.rand((), generator=generator, device=generator.device, dtype=torch.float64)


def uniforms(n: int, generator: torch.Generator) -> Tensor:
    """Uniform numbers in [0, 1) in float64, shape (n,), on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device, dtype=torch.float64)


def uniform_integer(n: int, generator: torch.Generator) -> int:
    """A uniform integer from 0 to n - 1."""
    return int(torch.randint(n, (), generator=generator, device=generator.device))


def permutation(n: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """A uniform permutation of 0..n-1, shape (n,)."""
    return torch.randperm(n, generator=generator, device=generator.device).to(device)
