"""What a base kernel is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bmdal.component import Component
from bmdal.features import Features
from bmdal.network.network import Network


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
    def features(self, network: Network, X: Tensor) -> Features:
        """Features of n inputs, each of which must depend on no other.

        Args:
            network: the trained network: `network(X)` are its outputs, `network.module` is a private copy of it in
                evaluation mode.
            X: inputs as the network takes them, shape (n, ...), on the network's device; not to be changed.
        """
