"""The interface of base kernels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bmdal.component import Component
from bmdal.errors import BmdalError
from bmdal.features import Features
from bmdal.network.network import Network
from bmdal.points import Points


@dataclass(frozen=True)
class Traits:
    """What is known about features before they are computed.

    Attributes:
        explicit: whether there is a feature matrix of moderate width (`Features.matrix`).
        sketchable: whether there is a random projection (`Features.draw_sketch`).
    """

    explicit: bool
    sketchable: bool


class BaseKernel(Component):
    """Maps a network and inputs to features (arXiv 2203.09410, Section 3.1).

    Attributes:
        traits: traits of its features.
        sigma: default standard deviation of the observation noise.
    """

    kind = "kernel"
    traits: ClassVar[Traits]
    sigma: ClassVar[float] = 1e-3

    @abstractmethod
    def features(self, network: Network, X: Points) -> Features:
        """Features of n points; those of a point must not depend on the other points.

        Args:
            network: the trained network; `network(X)` returns its outputs, and `network.module` is a private copy of it
                in evaluation mode.
            X: points as the network takes them, on the network's device; must not be changed. Usually a tensor of shape
                (n, ...), but users may also pass dictionaries, tuples or graphs. `one_tensor` refuses these.
        """


def one_tensor(name: str, X: Points) -> Tensor:
    """The points, if they are a single tensor. Raises BmdalError with the kernel's name if not."""
    if not isinstance(X, Tensor):
        raise BmdalError(
            f"kernel {name!r} works on the points themselves, which must be one tensor or table, not tuples, "
            "dictionaries or items for a collate_fn; use 'll' or 'grad'"
        )
    return X
