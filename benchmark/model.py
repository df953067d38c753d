"""What the benchmark asks of a kind of model. `conf/training` has one file for each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmark.errors import BenchmarkError
from benchmark.randomness import generator
from bmdal import IncompatibleError, Method
from bmdal.kernels import Predictions
from bmdal.regressor.training import Training, TrainingData

OnShare = Callable[[float, str], None]
"""Called with the share of a training that was done since the last call, and where it stands."""
Predict = Callable[[Tensor], Tensor]
"""Predictions, (n, d) -> (n,)."""


@dataclass(frozen=True)
class Fitted:
    """The trained models of a split, in the form `select_batch` expects, and the predictions that are tested."""

    models: Any
    predict: Sequence[Predict]


@dataclass(frozen=True)
class Model(ABC):
    """A kind of model that is trained in every round. The fields of a subclass are its settings, as in records.

    Attributes:
        repeated: name of the setting that the training time is proportional to.
        cpu_only: whether it can only be trained on the CPU.
        packages: the distributions besides torch and numpy that train it; records name their versions.
    """

    repeated: ClassVar[str]
    cpu_only: ClassVar[bool]
    packages: ClassVar[tuple[str, ...]] = ()

    @property
    def network(self) -> Training | None:
        """The settings of the paper's network, whose training time can be guessed; None for other models."""
        return None

    @abstractmethod
    def check_method(self, method: Method) -> None:
        """Raise IncompatibleError if a method does not work with the trained model."""

    @abstractmethod
    def columns(self, method: Method, n_inputs: int) -> int:
        """Return the largest number of values that a method with a kernel stores for a point with `n_inputs` inputs."""

    @abstractmethod
    def fit(
        self, splits: Sequence[int], round_: int, points: Sequence[TrainingData], n_models: int, on_share: OnShare
    ) -> list[Fitted]:
        """Train the models of several splits.

        Args:
            splits: numbers of the splits. All that is random follows from them and the round.
            round_: number of the round.
            points: the labelled points and the validation points of each split, on the device of the run.
            n_models: the size of the ensemble that the method asks for.
            on_share: called as the training goes on; the shares add up to 1.

        Raises BenchmarkError, naming split and round, if the training fails.
        """


class MembersModel(Model):
    """A model whose members' predictions are the features of the methods; it is trained on the CPU.

    Attributes:
        title: what it is, for messages.
    """

    title: ClassVar[str]
    cpu_only = True

    def __post_init__(self) -> None:
        if type(self.n_members) is not int or self.n_members < 2:
            name = f"training.{self.repeated}"
            raise BenchmarkError(f"{name} must be a whole number of at least 2, got {self.n_members!r}")

    @property
    def n_members(self) -> int:
        """The number of members."""
        n_members: int = getattr(self, self.repeated)
        return n_members

    @abstractmethod
    def fit_members(self, points: TrainingData, seed: int, n_threads: int) -> tuple[Any, Predict]:
        """Return the model, as `bmdal.members` takes it, and its predictions; the same for any number of threads."""

    def check_method(self, method: Method) -> None:
        """Raise IncompatibleError unless the method compares the members (kernel `pred`) or is random."""
        if method.ensemble or not isinstance(method.kernel, Predictions | None):
            raise IncompatibleError(
                f"method {method.name!r}: {self.title} needs the kernel pred without an ensemble, as in "
                "bait-f-p_pred, or random; methods for networks need training=relu or training=silu"
            )

    def columns(self, method: Method, n_inputs: int) -> int:
        """Return the number of members."""
        return self.n_members

    def fit(
        self, splits: Sequence[int], round_: int, points: Sequence[TrainingData], n_models: int, on_share: OnShare
    ) -> list[Fitted]:
        """Train the model of each split, seeded with the initial seed of the split's generator."""
        fitted = []
        for split, own in zip(splits, points, strict=True):
            seed = generator(split, round_, "initialization").initial_seed() % 2**32
            model, predict = self.fit_members(own, seed, torch.get_num_threads())
            fitted.append(Fitted(model, [predict]))
            on_share(1 / len(splits), "")
        return fitted


def check_installed(what: str, library: str, module: str, extra: str) -> None:
    """Raise BenchmarkError if a library that something needs is not installed."""
    if find_spec(module) is None:
        raise BenchmarkError(f"{what} needs {library}: pip install 'bmdal[{extra}]'")
