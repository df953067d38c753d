"""The state in which networks are evaluated: not compiled, at full precision."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def plain_arithmetic(models: Sequence[nn.Module] = ()) -> Iterator[None]:
    """A context without autograd recording, compilation, autocast and TF32.

    Distances are differences of large numbers and need full precision, and compiled networks would hide their layers.
    The fast path of attention is switched off, because it bypasses hooks and gradients.

    Args:
        models: the networks that will be evaluated. If one has recurrent layers, which cuDNN cannot differentiate in
            evaluation mode, cuDNN is switched off.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if "torch._dynamo" in sys.modules:  # if the compiler was never imported, nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        recurrent = any(isinstance(module, nn.RNNBase) for model in models for module in model.modules())
        stack.enter_context(
            _settings(_full_float32() + ([(torch.backends.cudnn, "enabled", False)] if recurrent else []))
        )
        stack.enter_context(_no_fast_attention())
        yield


Setting = tuple[Any, str, object]
"""An object, the name of one of its attributes, and a value for it."""


def _full_float32() -> list[Setting]:
    """Settings under which float32 products, convolutions and recurrent layers are computed in float32.

    Newer versions of PyTorch have a second set of names for this. The older ones are set first, if they can be read,
    because reading them later, as a network may do, is an error if the two disagree.
    """
    backends: Any = torch.backends  # newer attributes are missing in the types of older versions
    older = [(_matmul, "precision", "highest"), (backends.cudnn, "allow_tf32", False)]
    if not hasattr(backends.cuda.matmul, "fp32_precision"):
        return older
    places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)  # PyTorch 2.9
    newer = [(p, "fp32_precision", "ieee") for p in (*places, backends.mkldnn.matmul, backends.mkldnn.conv)]
    return [setting for setting in older if _readable(setting)] + newer


class _Matmul:
    """The precision of products as an attribute."""

    @property
    def precision(self) -> str:
        return torch.get_float32_matmul_precision()

    @precision.setter
    def precision(self, value: str) -> None:
        torch.set_float32_matmul_precision(value)


_matmul = _Matmul()


def _readable(setting: Setting) -> bool:
    try:
        getattr(setting[0], setting[1])
    except RuntimeError:  # somebody has used the newer names
        return False
    return True


@contextmanager
def _settings(settings: list[Setting]) -> Iterator[None]:
    before = [getattr(place, name) for place, name, _ in settings]
    try:
        for place, name, value in settings:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(settings, before, strict=True):
            setattr(place, name, value)


@contextmanager
def _no_fast_attention() -> Iterator[None]:
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
