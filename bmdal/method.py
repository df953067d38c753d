"""A method: base kernel -> transformations -> selection method, and its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from numbers import Real
from typing import cast

from bmdal import component
from bmdal.errors import BmdalError, IncompatibleError
from bmdal.kernels import BaseKernel, Predictions, Traits
from bmdal.selection import Mode, Selection
from bmdal.transformations import Ensemble, Transformation


@dataclass(frozen=True)
class Method:
    """A batch active learning method (arXiv 2203.09410, Sections 3 and 4).

    Attributes:
        selection: the selection method.
        kernel: the base kernel; None for a selection method that needs no kernel (`random`).
        transformations: the transformations, in the order in which they are applied.
        mode: "P" or "TP"; None for a selection method without modes.
        sigma: standard deviation of the observation noise in posteriors and selection methods, greater than 0; None
            for the kernel's default, which is 1e-3 for most kernels.

    Raises BmdalError for arguments of the wrong type or a non-positive sigma, and IncompatibleError, with the reason,
    for a combination that cannot work.
    """

    selection: Selection
    kernel: BaseKernel | None = None
    transformations: tuple[Transformation, ...] = ()
    mode: Mode | None = None
    sigma: float = None  # type: ignore[assignment]  # a number after __post_init__

    def __post_init__(self) -> None:
        if self.sigma is None:
            kernel = self.kernel if isinstance(self.kernel, BaseKernel) else BaseKernel
            object.__setattr__(self, "sigma", kernel.sigma)
        if not isinstance(self.selection, Selection):
            raise BmdalError(f"selection must be a Selection, got {self.selection!r}; use Method.from_name for names")
        if not isinstance(self.kernel, BaseKernel | None):
            raise BmdalError(f"kernel must be a BaseKernel, got {self.kernel!r}; use Method.from_name for names")
        object.__setattr__(self, "transformations", tuple(self.transformations))
        for transformation in self.transformations:
            if not isinstance(transformation, Transformation):
                raise BmdalError(
                    f"transformations must hold Transformations, got {transformation!r}; use Method.from_name for names"
                )
        if isinstance(self.sigma, bool) or not (isinstance(self.sigma, Real) and 1e-150 <= self.sigma <= 1e150):
            raise BmdalError(f"sigma must be a number greater than 0 and from 1e-150 to 1e150, got {self.sigma!r}")
        self._check_mode()
        if not self.selection.needs_kernel:
            if self.kernel is not None or self.transformations:
                raise IncompatibleError(
                    f"{self.selection.name!r} does not use features: leave kernel and transformations out"
                )
            return
        if self.kernel is None:
            raise IncompatibleError(
                f"{self.selection.name!r} needs a kernel: one of {', '.join(component.tokens('kernel'))}"
            )
        if len(self._ensembles) > 1:
            raise IncompatibleError("a method has at most one ensemble: leave out all but one 'ens-N'")
        if isinstance(self.kernel, Predictions) and self._ensembles:
            raise IncompatibleError(
                "the members of 'pred' already are an ensemble: leave 'ens-N' out and pass all models in a list"
            )
        self.check_traits(self.kernel.traits, self.kernel.name)

    def check_traits(self, traits: Traits, name: str) -> None:
        """Raise IncompatibleError if the transformations or the selection cannot work on features with these traits."""
        for transformation in self.transformations:
            traits = transformation.traits(traits)
        if self.selection.needs_explicit and not traits.explicit:
            features = "_".join([name, *(t.name for t in self.transformations)])
            raise IncompatibleError(
                f"{self.selection.name!r} needs an explicit feature matrix, which {features!r} does not have"
                + ("; add a sketch such as 'rp-512' to the transformations" if traits.sketchable else "")
            )

    def _check_mode(self) -> None:
        modes = self.selection.modes
        if self.mode not in (modes or (None,)):
            name = self.selection.name
            valid = " or ".join(f"{name}-{mode.lower()} (mode={mode})" for mode in modes)
            given = "no mode" if self.mode is None else f"mode {self.mode!r}"
            raise IncompatibleError(
                f"{name!r} was given {given}; " + (f"valid: {valid}" if modes else "it has none, leave it out")
            )

    @property
    def _ensembles(self) -> list[int]:
        return [i for i, t in enumerate(self.transformations) if isinstance(t, Ensemble)]

    @property
    def ensemble(self) -> Ensemble | None:
        """The transformation that combines several networks, if there is one."""
        return next((t for t in self.transformations if isinstance(t, Ensemble)), None)

    @property
    def n_models(self) -> int:
        """Number of independently trained networks that the method takes."""
        return 1 if self.ensemble is None else self.ensemble.n_models

    @property
    def needs_labels(self) -> bool:
        """Whether the method needs the training labels."""
        return self.selection.needs_predictions or any(t.needs_labels for t in self.transformations)

    @property
    def name(self) -> str:
        """selection[-mode]_kernel[_transformation...], e.g. "lcmd-tp_grad_rp-512"."""
        mode = "" if self.mode is None else f"-{self.mode.lower()}"
        parts = [] if self.kernel is None else [self.kernel, *self.transformations]
        return "_".join([self.selection.name + mode, *(part.name for part in parts)])

    @classmethod
    def from_name(cls, name: str, sigma: float | None = None, kernel: BaseKernel | None = None) -> Method:
        """The method with a given name; the inverse of `name`.

        Args:
            name: selection[-mode]_kernel[_transformation...], e.g. "lcmd-tp_grad_rp-512".
            sigma: standard deviation of the observation noise; None for the kernel's default.
            kernel: the base kernel for names without one, such as "lcmd-tp" or "maxdet-p_rp-512_train".

        Raises UnknownComponentError for an unknown part (with the nearest match and all valid parts), and
        IncompatibleError for a combination that cannot work.
        """
        first, *rest = re.split(r"_(?![^\[]*\])", name)  # underscores within [...] are not separators
        selection, mode = _parse_selection(first, name)
        if kernel is None or (rest and component.names("kernel", rest[0])):
            kernel = component.parse("kernel", rest.pop(0), name) if rest else None
        elif not selection.needs_kernel:
            kernel = None
        transformations = tuple(component.parse("transformation", token, name) for token in rest)
        try:
            return cls(selection, kernel, transformations, mode, cast(float, sigma))
        except IncompatibleError as error:
            raise IncompatibleError(f"method {name!r}: {error}") from None

    def __str__(self) -> str:
        return self.name


def _parse_selection(token: str, name: str) -> tuple[Selection, Mode | None]:
    if token.endswith("-tp"):
        return component.parse("selection method", token.removesuffix("-tp"), name), "TP"
    if token.endswith("-p"):
        return component.parse("selection method", token.removesuffix("-p"), name), "P"
    return component.parse("selection method", token, name), None
