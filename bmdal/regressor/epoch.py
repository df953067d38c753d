"""One training epoch of many networks at once, in preallocated memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from bmdal.regressor.stack import NetworkStack
from bmdal.repeat import Repeated

aten = torch.ops.aten

ALIGNMENT = {"cpu": 1, "cuda": 32}
"""The parameters of each network start at a multiple of this many numbers: on a GPU 128 bytes, one cache line.

Matrix products on a GPU read four numbers at once if their address is a multiple of 16 bytes, and otherwise one by one.
With an odd number of parameters, three of four networks would start elsewhere.
"""
ADAM_PIECES = {"cpu": 1, "cuda": 18}
"""Number of tensors that the parameters are divided into for Adam.

On a GPU, a multiprocessor handles up to 65,536 numbers of one tensor at a time, so one network of 270,000 parameters in
one tensor would occupy 5 of 132 multiprocessors. On an H100, an epoch of 1, 5 and 20 networks took 1.72, 2.94 and
6.29 ms with one piece, 1.60, 3.02 and 6.33 ms with 18, and 1.53, 3.73 and 6.38 ms with 36 (docs/gpu.md).
"""


@dataclass(frozen=True)
class _InPlace:
    """An activation function that writes to given memory, and its backward pass, which overwrites the gradient.

    The backward pass uses the input. If the output serves as well, it may overwrite the input (`overwrites`).
    """

    forward: Callable[[Tensor, Tensor], object]
    backward: Callable[[Tensor, Tensor], object]
    overwrites: bool


_ACTIVATIONS: dict[type[nn.Module], _InPlace] = {
    nn.ReLU: _InPlace(
        forward=lambda z, a: torch.clamp_min(z, 0, out=a),
        backward=lambda g, z: aten.threshold_backward.grad_input(g, z, 0, grad_input=g),
        overwrites=True,
    ),
    nn.SiLU: _InPlace(
        forward=lambda z, a: aten.silu.out(z, out=a),
        backward=lambda g, z: aten.silu_backward.grad_input(g, z, grad_input=g),
        overwrites=False,
    ),
}


@dataclass(frozen=True)
class _Layer:
    """Views of a layer's weights (m, d, d') and biases (m, 1, d') in the parameter matrix, and of their gradients."""

    W: Tensor
    b: Tensor
    W_grad: Tensor
    b_grad: Tensor
    weight_factor: float


class Epoch:
    """Adam on the mean squared error of m networks for all batches of an epoch, then the RMSE on validation points.

    The backward pass is written by hand instead of using autograd. The factors of the parametrization then become part
    of the matrix products, nothing is copied or allocated, and Adam works on a single matrix (m, P) of all parameters,
    in which the weights are transposed for fast products, and rows are padded with zeros for ALIGNMENT. On a GPU,
    later epochs replay the second one (`Repeated`).

    Args:
        stack: the stack of networks; it does not change until `load_best`.
        networks: which m of its networks to train.
        X, y: training points of each network, shapes (m, n, d) and (m, n).
        X_valid, y_valid: validation points of each network, with the same dimensions.
        batch_size: number of points per batch; an incomplete last batch is dropped.
        learning_rate: initial learning rate, which decreases linearly to 0 over n_steps.
        n_steps: number of batches in the whole training.
    """

    def __init__(
        self,
        stack: NetworkStack,
        networks: slice,
        X: Tensor,
        y: Tensor,
        X_valid: Tensor,
        y_valid: Tensor,
        batch_size: int,
        learning_rate: float,
        n_steps: int,
    ) -> None:
        m, n, d = X.shape
        self.stack, self.networks = stack, networks
        self.X, self.y, self.X_valid, self.y_valid = X, y, X_valid, y_valid
        self.n_used = n // batch_size * batch_size
        self.activation = _ACTIVATIONS[type(stack.activation)]
        self.X_shuffled, self.y_shuffled = X.new_empty(m, self.n_used, d), y.new_empty(m, self.n_used)
        X_batches, y_batches = (torch.split(t, batch_size, dim=1) for t in (self.X_shuffled, self.y_shuffled))
        self.batches = list(zip(X_batches, y_batches, strict=True))
        self.first_rows = torch.arange(m, device=X.device)[:, None] * n

        weights = [W.detach()[networks].mT for W in stack.weights]
        biases = [b.detach()[networks, None] for b in stack.biases]
        parts = [p.flatten(1) for p in (*weights, *biases)]
        n_parameters, alignment = sum(part.shape[1] for part in parts), ALIGNMENT[X.device.type]
        self.parameters = torch.cat([*parts, X.new_zeros(m, -n_parameters % alignment)], dim=1)
        self.gradient = torch.zeros_like(self.parameters)
        self.layers = [
            _Layer(W, b, W_grad, b_grad, stack.sigma_w / W.shape[1] ** 0.5)
            for (W, b), (W_grad, b_grad) in zip(self._views(self.parameters), self._views(self.gradient), strict=True)
        ]
        self.bias_gradients = self.gradient[:, n_parameters - sum(b.shape[1] for b in stack.biases) : n_parameters]
        moments = torch.zeros_like(self.gradient), torch.zeros_like(self.gradient)
        n_pieces = ADAM_PIECES[X.device.type]
        size = -(-self.parameters.numel() // (n_pieces * alignment)) * alignment
        self.adam_pieces = [torch.split(t.flatten(), size) for t in (self.parameters, self.gradient, *moments)]
        self.n_steps_done = X.new_zeros(len(self.adam_pieces[0])).unbind()
        self.learning_rate = X.new_zeros(())
        self.n_steps, self.rate_per_step = n_steps, learning_rate / n_steps
        self.best = self.parameters.clone()
        self.best_rmse = torch.full((m,), torch.inf, device=X.device)
        self.train_outputs = self._outputs(batch_size)
        self.gradients = [torch.empty_like(z) for z, _ in self.train_outputs]
        self.valid_outputs = self._outputs(X_valid.shape[1])
        self._epoch = Repeated(self._train_and_validate, X.device)

    def run(self, orders: Tensor) -> None:
        """Train for one epoch. `orders`: a permutation of the n points for each network, shape (m, n)."""
        rows = (orders[:, : self.n_used] + self.first_rows).flatten()
        for points, shuffled in ((self.X, self.X_shuffled), (self.y, self.y_shuffled)):
            torch.index_select(points.flatten(0, 1), 0, rows, out=shuffled.flatten(0, 1))
        self._epoch()

    def load_best(self) -> None:
        """Copy the parameters of the best epoch of each network to the stack."""
        for W, b, (best_W, best_b) in zip(self.stack.weights, self.stack.biases, self._views(self.best), strict=True):
            W.data[self.networks] = best_W.mT
            b.data[self.networks] = best_b[:, 0]

    def _train_and_validate(self) -> None:
        for X, y in self.batches:
            self._compute_gradients(X, y)
            self._adam_step()
        rmse = (self._forward(self.X_valid, self.valid_outputs) - self.y_valid).square_().mean(dim=1).sqrt_()
        better = rmse < self.best_rmse
        torch.where(better, rmse, self.best_rmse, out=self.best_rmse)
        torch.where(better[:, None], self.parameters, self.best, out=self.best)

    def _forward(self, x: Tensor, outputs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Outputs (m, n) of the networks; `outputs` receives each layer's outputs, before and after the activation."""
        for layer, (z, a) in zip(self.layers, outputs, strict=True):
            torch.baddbmm(layer.b, x, layer.W, beta=self.stack.sigma_b, alpha=layer.weight_factor, out=z)
            if layer is not self.layers[-1]:
                self.activation.forward(z, a)
            x = a
        return z[:, :, 0]

    def _compute_gradients(self, X: Tensor, y: Tensor) -> None:
        """Gradients of the mean squared error of each network on its batch."""
        torch.sub(self._forward(X, self.train_outputs), y, out=self.gradients[-1][:, :, 0])
        self.gradients[-1].mul_(2 / y.shape[1])
        for k in reversed(range(len(self.layers))):
            layer, g = self.layers[k], self.gradients[k]
            x = self.train_outputs[k - 1][1] if k else X
            layer.W_grad.baddbmm_(x.mT, g, beta=0, alpha=layer.weight_factor)
            torch.sum(g, dim=1, keepdim=True, out=layer.b_grad)
            if k:
                dx = self.gradients[k - 1].baddbmm_(g, layer.W.mT, beta=0, alpha=layer.weight_factor)
                self.activation.backward(dx, self.train_outputs[k - 1][0])
        self.bias_gradients.mul_(self.stack.sigma_b)

    def _adam_step(self) -> None:
        torch.sub(self.n_steps, self.n_steps_done[0], out=self.learning_rate).mul_(self.rate_per_step)
        parameters, gradients, *moments = map(list, self.adam_pieces)
        adam(
            parameters,
            gradients,
            moments[0],
            moments[1],
            [],
            list(self.n_steps_done),
            fused=True,
            capturable=self.X.is_cuda,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def _outputs(self, n: int) -> list[tuple[Tensor, Tensor]]:
        """Memory for the outputs of each layer for n points, before and after the activation."""
        widths = [layer.b.shape[2] for layer in self.layers]
        z = [self.parameters.new_empty(len(self.X), n, width) for width in widths]
        return [(out, out if self.activation.overwrites else torch.empty_like(out)) for out in z]

    def _views(self, flat: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights (m, d, d') and biases (m, 1, d') of each layer in a matrix (m, P) of all parameters."""
        sizes = [W.shape[:0:-1] for W in self.stack.weights]  # (d, d')
        sizes += [(1, b.shape[1]) for b in self.stack.biases]
        numbers = [rows * columns for rows, columns in sizes]
        *parts, _ = torch.split(flat, [*numbers, flat.shape[1] - sum(numbers)], dim=1)
        views = [part.view(-1, *size) for part, size in zip(parts, sizes, strict=True)]
        return list(zip(views[: len(views) // 2], views[len(views) // 2 :], strict=True))
