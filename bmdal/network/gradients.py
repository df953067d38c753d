"""Gradients of a network's outputs with respect to its parameters, one per sample.

Linear layers give theirs as a product of two factors, everything else as a matrix. The network is called through
`torch.func.functional_call` with detached parameters: nothing is written to it, and no gradient of a parameter is
computed that is not asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures, Features, ProductFeatures
from bmdal.layers import FactoredLayer, input_features, is_factored


def factored_layers(model: nn.Module, X: Tensor) -> dict[FactoredLayer, bool]:
    """The linear layers whose gradients factor, each with whether what follows it works in place on its output.

    They are called once, on a matrix (n, d), with parameters of their own. Raises BmdalError if the network does not
    take such inputs.
    """
    uses = Counter(id(p) for module in model.modules() for p in module._parameters.values() if p is not None)
    candidates = [
        cast(FactoredLayer, module)
        for module in model.modules()
        if is_factored(module)
        and all(uses[id(p)] == 1 for p in module.parameters())
        and not module._forward_hooks
        and not module._forward_pre_hooks
    ]
    calls: dict[FactoredLayer, list[tuple[torch.Size, Tensor, int]]] = {layer: [] for layer in candidates}

    def record(module: FactoredLayer, args: tuple[Tensor], output: Tensor) -> None:
        calls[module].append((args[0].shape, output, output._version))

    n = min(len(X), 2)
    with torch.no_grad(), _hooks(candidates, record):
        try:
            _outputs(model, _detached(model), X[:n])
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError, TypeError) as error:
            dtypes = " and ".join(sorted({str(p.dtype) for p in model.parameters()}))
            raise BmdalError(
                f"the network (parameters: {dtypes or 'none'}) cannot be called with inputs of shape "
                f"{tuple(X[:n].shape)} and {X.dtype}: {error}"
            ) from error
    once = {layer: call[0] for layer, call in calls.items() if len(call) == 1}
    return {layer: z._version > version for layer, (shape, z, version) in once.items() if shape[:-1] == (n,)}


def factored_gradients(model: nn.Module, layers: dict[FactoredLayer, bool], X: Tensor) -> list[Features]:
    """For each layer the features of its gradient, <x~, x~'> <g, g'> with g = df/dz, shape (n, n_outputs * d_out).

    Args:
        model: network in evaluation mode.
        layers: some of `factored_layers(model, X)`.
        X: inputs, shape (n, ...).
    """
    if not layers:
        return []
    inputs: dict[nn.Module, Tensor] = {}
    z: dict[nn.Module, Tensor] = {}
    watched: dict[nn.Module, bool] = {}

    def record(module: FactoredLayer, args: tuple[Tensor], output: Tensor) -> Tensor:
        if not output.requires_grad:
            output.requires_grad_()
        inputs[module], z[module] = args[0].detach(), output
        watched[module] = torch.is_grad_enabled()
        return output.clone() if layers[module] else output

    with torch.enable_grad(), _hooks(list(layers), record):
        outputs = _outputs(model, _detached(model), X)  # shape: (n, n_outputs)
        if not any(watched.values()):
            raise BmdalError("the network computes its linear layers under torch.no_grad: nothing has a gradient")
        if not outputs.requires_grad:
            raise BmdalError("the network detaches its outputs from its linear layers: nothing has a gradient")
        is_output = {layer: not layers[layer] and z[layer].data_ptr() == outputs.data_ptr() for layer in layers}
        inner = [layer for layer in layers if not is_output[layer]]
        g = dict(zip(inner, _output_gradients(outputs, [z[layer] for layer in inner]), strict=True))

    parts: list[Features] = []
    for layer in layers:
        x = _real(input_features(layer, inputs[layer]))
        if is_output[layer]:  # dz/dz = I
            parts.append(DenseFeatures(x * outputs.shape[1] ** 0.5 if outputs.shape[1] > 1 else x))
        else:
            parts.append(ProductFeatures((DenseFeatures(x), DenseFeatures(_real(g[layer])))))
    return parts


def per_sample_gradients(model: nn.Module, parameters: Sequence[str], X: Tensor) -> list[Features]:
    """For each named parameter the features of its gradient, shape (n, n_outputs * numel).

    Computed by torch.func's vmap, or sample by sample for layers that it cannot handle (recurrent ones).
    """
    if not parameters:
        return []
    fixed = _detached(model)
    wanted = {name: fixed.pop(name) for name in parameters}

    def outputs(wanted: dict[str, Tensor], x: Tensor) -> Tensor:
        return _outputs(model, {**fixed, **wanted}, x.unsqueeze(0))[0]

    jacobian = jacrev(outputs)
    try:
        with _plain_attention():
            gradients = vmap(jacobian, in_dims=(None, 0))(wanted, X)
    except RuntimeError:
        rows = [_jacobian(outputs, wanted, x) for x in X]
        gradients = {name: torch.stack([row[name] for row in rows]) for name in parameters}
    return [DenseFeatures(_real(gradients[name].detach().flatten(1))) for name in parameters]


def _jacobian(
    f: Callable[[dict[str, Tensor], Tensor], Tensor], wanted: dict[str, Tensor], x: Tensor
) -> dict[str, Tensor]:
    leaves = {name: p.clone().requires_grad_() for name, p in wanted.items()}
    with torch.enable_grad():
        outputs = f(leaves, x)
        rows = [
            torch.autograd.grad(o, list(leaves.values()), retain_graph=True, materialize_grads=True) for o in outputs
        ]
    return {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(leaves)}


def _output_gradients(outputs: Tensor, z: list[Tensor]) -> list[Tensor]:
    """df_c/dz for every z, side by side over the outputs c; samples do not depend on one another."""
    if not z:
        return []
    per_output = [
        torch.autograd.grad(outputs[:, c].sum(), z, retain_graph=c + 1 < outputs.shape[1], materialize_grads=True)
        for c in range(outputs.shape[1])
    ]
    return [torch.cat(gradients, dim=1) for gradients in zip(*per_output, strict=True)]


def _outputs(model: nn.Module, state: dict[str, Tensor], X: Tensor) -> Tensor:
    """The network's outputs as a matrix, shape (n, n_outputs)."""
    outputs = functional_call(model, state, (X,))
    if not isinstance(outputs, Tensor) or outputs.shape[:1] != X.shape[:1]:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise BmdalError(
            f"the network must return one tensor of shape ({len(X)}, ...) for {len(X)} inputs, it returned {shape}; "
            "wrap it in a module that returns the predictions alone"
        )
    return outputs.reshape(len(outputs), -1)


def _detached(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, apart from autograd; what was made in inference mode cannot be used without a copy."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return {name: t.detach().clone() if t.is_inference() else t.detach() for name, t in tensors}


def _real(t: Tensor) -> Tensor:
    """At least float32: half precision is for training, not for kernels."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Within this context attention is computed step by step, which is the one way that vmap knows."""
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)


@contextmanager
def _hooks(layers: Sequence[nn.Module], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
