"""What a base kernel is."""

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
    """What is known of features before they are computed.

    Attributes:
        explicit: there is a feature matrix of moderate width (`Features.matrix`).
        sketchable: there is a random projection (`Features.draw_sketch`).
    """

    explicit: bool
    sketchable: bool


class BaseKernel(Component):
    """Maps a network and inputs to features (arXiv 2203.09410, Section 3.1).

    Attributes:
        traits: what its features are like.
        sigma: standard deviation of the observation noise where a method says nothing else.
    """

    kind = "kernel"
    traits: ClassVar[Traits]
    sigma: ClassVar[float] = 1e-3

    @abstractmethod
    def features(self, network: Network, X: Points) -> Features:
        """Features of n points, each of which must depend on no other.

        Args:
            network: the trained network: `network(X)` are its outputs, `network.module` is a private copy of it in
                evaluation mode.
            X: points as the network takes them, on the network's device, not to be changed: a tensor of shape
                (n, ...), unless someone gives dictionaries, tuples or graphs. `one_tensor` refuses these.
        """


def one_tensor(name: str, X: Points) -> Tensor:
    """Points that are a tensor. Raises BmdalError for others, with the kernel's name."""
    if not isinstance(X, Tensor):
        raise BmdalError(
            f"kernel {name!r} looks at the points themselves, which must be one tensor or table, not tuples, "
            "dictionaries or items of a collate_fn; use 'll' or 'grad'"
        )
    return X
