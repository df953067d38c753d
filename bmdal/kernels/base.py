"""What a base kernel is."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from bmdal.component import Component
from bmdal.features import Features


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
    """Maps a network and inputs to features (arXiv 2203.09410, Section 3.1)."""

    kind = "kernel"
    traits: ClassVar[Traits]

    @abstractmethod
    def features(self, model: nn.Module, X: Tensor) -> Features:
        """Features of n inputs.

        Args:
            model: the trained network, in evaluation mode; it must not be changed.
            X: inputs as the network takes them, shape (n, ...), on the network's device.
        """
