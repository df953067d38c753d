"""In which state a network is looked at: evaluating, uncompiled, at full precision; afterwards it is as before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from bmdal.errors import BmdalError


def unwrapped(model: nn.Module) -> nn.Module:
    """The network within the wrappers of `torch.compile` and of data parallelism.

    Raises BmdalError for TorchScript, which cannot be looked into.
    """
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif "_orig_mod" in model._modules:  # torch.compile's wrapper; its class would import the compiler
            model = model.get_submodule("_orig_mod")
        else:
            break
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            where = f"its module {name!r}" if name else "it"
            raise BmdalError(f"a network cannot be looked into: {where} is TorchScript; give the one it was made from")
    return model


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Within this context the network is in evaluation mode; afterwards every module is as before.

    cuDNN cannot differentiate recurrent layers in this mode: for networks that have some it is switched off.
    """
    training = {module: module.training for module in model.modules()}
    cudnn = torch.backends.cudnn.enabled
    try:
        for module in training:
            module.training = False
        torch.backends.cudnn.enabled = cudnn and not any(isinstance(module, nn.RNNBase) for module in training)
        yield
    finally:
        torch.backends.cudnn.enabled = cudnn
        for module, was_training in training.items():
            module.training = was_training


@contextmanager
def plain_arithmetic() -> Iterator[None]:
    """Within this context nothing is recorded for autograd, compiled, cast by autocast or rounded to TF32.

    Distances are differences of large numbers, and compiled networks would not show their layers.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if "torch._dynamo" in sys.modules:  # nothing has been compiled where the compiler was never imported
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(_full_float32())
        yield


@contextmanager
def _full_float32() -> Iterator[None]:
    """Within this context products, convolutions and recurrent layers in float32 are computed in float32."""
    backends: Any = torch.backends  # what newer versions have is not in the types of older ones
    settings: list[tuple[Any, str, object]]
    if hasattr(backends.cuda.matmul, "fp32_precision"):  # PyTorch 2.9
        places = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)
        settings = [(p, "fp32_precision", "ieee") for p in (*places, backends.mkldnn.matmul, backends.mkldnn.conv)]
    else:
        settings = [(p, "allow_tf32", False) for p in (backends.cuda.matmul, backends.cudnn)]
    before = [getattr(place, name) for place, name, _ in settings]
    try:
        for place, name, value in settings:
            setattr(place, name, value)
        yield
    finally:
        for (place, name, _), value in zip(settings, before, strict=True):
            setattr(place, name, value)
