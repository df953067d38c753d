"""Detect whether a network only uses operations that treat each point independently, whatever its values.

A network that sorts, gathers, routes or branches may treat later points differently from the few it was checked on.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bmdal.errors import BmdalError
from bmdal.points import leaves


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_METADATA = _words(
    "dtype device is_cuda layout is_quantized is_sparse is_floating_point is_complex is_inference is_nested is_meta "
    "itemsize dim ndim _version data_ptr"
)
_ELEMENTWISE = _words(
    "relu relu_ relu6 silu gelu tanh tanh_ sigmoid sigmoid_ elu elu_ selu celu leaky_relu leaky_relu_ softplus "
    "softsign mish hardswish hardsigmoid hardtanh logsigmoid prelu threshold dropout dropout1d dropout2d dropout3d "
    "alpha_dropout feature_alpha_dropout exp log log1p expm1 sqrt rsqrt abs neg sin cos erf square reciprocal add sub "
    "mul div true_divide pow clamp clamp_min clamp_max clip rsub where add_ sub_ mul_ div_ clamp_ __add__ __radd__ "
    "__sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __rdiv__ __neg__ __pow__ __rpow__ "
    "__iadd__ __isub__ __imul__ to float double half bfloat16 type type_as contiguous clone detach"
)
_OF_FIRST = _words(
    "linear matmul __matmul__ mm layer_norm rms_norm batch_norm group_norm conv1d conv2d conv3d embedding max_pool1d "
    "max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
)
_ALONG_DIMENSIONS = _words("flatten unflatten softmax log_softmax cat concat stack unsqueeze squeeze sum mean")


class Operations(TorchFunctionMode):
    """A context that records the operations of a network on n points.

    Args:
        module: the network.
        n: number of points.
        forbidden: ids of tensors that must not be used, with the reason.

    Attributes:
        all_by_points: whether all operations treat each point independently, whatever its values and the number of
            points.
        n_uses: in how many operations that yield a tensor each parameter and buffer was used, by its id.

    Raises BmdalError if a forbidden tensor is used.
    """

    def __init__(self, module: nn.Module, n: int, forbidden: dict[int, str]) -> None:
        super().__init__()
        self.n, self.forbidden, self.all_by_points = n, forbidden, True
        # Parameters, buffers and tensors computed from them; and tensors known to be computed from the points.
        self._constants = {id(t): t for t in (*module.parameters(), *module.buffers())}
        self._of_points: dict[int, Tensor] = {}
        self.n_uses = Counter[int]()

    def of(self, batch: object) -> Self:
        """The same context, which treats the tensors of a batch as points."""
        self._of_points.update((id(t), t) for t in leaves(batch))
        return self

    def has_seen(self, outputs: object) -> bool:
        """Whether the outputs are the result of a recorded operation."""
        return id(outputs) in self._of_points

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = list(_tensors((*args, *kwargs.values())))
        for t in tensors:
            if id(t) in self.forbidden:
                raise BmdalError(self.forbidden[id(t)])
        result = func(*args, **kwargs)
        constant = all(id(t) in self._constants for t in tensors)
        if not constant:
            known = all(id(t) in self._constants or id(t) in self._of_points for t in tensors)
            written = "out" in kwargs or id(result) in self._constants
            by_points = known and not written and self._is_by_points(_name(func), args, kwargs, tensors, result)
            self.all_by_points = self.all_by_points and by_points
        if isinstance(result, Tensor):
            self.n_uses.update({id(t) for t in tensors} & self._constants.keys())
            (self._constants if constant else self._of_points)[id(result)] = result
        return result

    def _is_by_points(self, name: str, args: Any, kwargs: Any, tensors: list[Tensor], result: Any) -> bool:
        if name in _METADATA:
            return True
        if not isinstance(result, Tensor):
            return False
        of_points = [t for t in tensors if id(t) not in self._constants]
        if result.shape[:1] != (self.n,) or of_points[0].shape[:1] != (self.n,):
            return False
        if name in _OF_FIRST:
            uses_batch = name == "batch_norm" and (kwargs.get("training") or args[5:6] == (True,))
            return (
                len(of_points) == 1 and bool(args) and of_points[0] is args[0] and result.ndim >= 2 and not uses_batch
            )
        if name in _ELEMENTWISE:  # broadcasting must not move points to another dimension
            return all(t.ndim in (0, result.ndim) and t.shape[:1] in ((), (1,), (self.n,)) for t in of_points)
        if name in _ALONG_DIMENSIONS:
            given = kwargs.get("dim", kwargs.get("start_dim", args[1] if len(args) > 1 else None))
            dims = given if isinstance(given, tuple | list) else (given,)
            whole = all(isinstance(d, int) and d not in (0, -result.ndim) for d in dims)
            return whole and (name == "unsqueeze" or all(d % max(t.ndim, 1) != 0 for d in dims for t in of_points))
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            whole = index[0] is Ellipsis or (isinstance(index[0], slice) and index[0] == slice(None))
            return whole and not any(isinstance(i, Tensor | list) for i in index) and len(index) <= args[0].ndim
        return False


def _name(func: Any) -> str:
    """The name of an operation, or of an attribute that is read."""
    name: str = getattr(func, "__name__", "")
    return getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())
