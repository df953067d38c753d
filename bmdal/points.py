"""Points as networks take them: a tensor, several tensors, or items that a `collate_fn` turns into batches.

All three have a length, can be indexed by rows, and can be moved to other devices and precisions like a tensor.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from bmdal.errors import BmdalError

LABELS = ("labels", "label", "label_ids")
"""Entries of a dictionary that are labels rather than inputs, as named by Transformers."""
Rows = slice | list[int] | Tensor


class _Several(ABC):
    """The part of a tensor's interface that applies to all tensors in the points."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, rows: Rows) -> Self: ...

    @abstractmethod
    def to(self, to: torch.device | torch.dtype) -> Self:
        """The points on another device, or with floating-point tensors in another precision."""

    def clone(self) -> Self:
        return self

    def double(self) -> Self:
        return self.to(torch.float64)

    def is_floating_point(self) -> bool:
        return any(t.is_floating_point() for t in leaves(self))

    def is_inference(self) -> bool:
        return any(t.is_inference() for t in leaves(self))

    @property
    def device(self) -> torch.device:
        return next((t.device for t in leaves(self)), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the first floating-point tensor, or the type of the first tensor."""
        found = leaves(self)
        return next((t.dtype for t in found if t.is_floating_point()), found[0].dtype if found else torch.int64)

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in leaves(self))


@dataclass(frozen=True)
class Tree(_Several):
    """Points of several tensors: tuples and dictionaries of tensors whose first dimension runs over the points."""

    tree: Any

    def __len__(self) -> int:
        return len(leaves(self)[0])

    def __getitem__(self, rows: Rows) -> Tree:
        return self.mapped(lambda t: t[rows])

    def mapped(self, f: Callable[[Tensor], Tensor]) -> Tree:
        """The same structure with f applied to each tensor."""
        return Tree(mapped(f, self.tree))

    def to(self, to: torch.device | torch.dtype) -> Tree:
        return self.mapped(lambda t: _moved(t, to))

    def clone(self) -> Tree:
        return self.mapped(Tensor.clone)


@dataclass(frozen=True)
class Items(_Several):
    """Points that a `collate_fn` turns into batches for a network: graphs, or sequences of different lengths.

    Attributes:
        items: one item per point.
        collate: turns a list of items into a batch.
        whole: whether the network gets the whole batch: see `inputs_of`.
        wanted: device and precision of batches, if they are to be changed.
    """

    items: Sequence[Any]
    collate: Callable[[list[Any]], Any]
    whole: bool
    wanted: tuple[torch.device | torch.dtype, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: Rows) -> Items:
        numbers = range(len(self))[rows] if isinstance(rows, slice) else torch.as_tensor(rows).tolist()
        return replace(self, items=[self.items[i] for i in numbers])

    def batch(self) -> Any:
        """A new batch that shares no memory with the items. Raises BmdalError for anything that `collate_fn` raises."""
        batch = mapped(Tensor.clone, inputs_of("a batch", collated(self.collate, self.items), self.whole)[0])
        for to in self.wanted:
            batch = mapped(partial(_moved, to=to), batch)
        return batch

    def to(self, to: torch.device | torch.dtype) -> Items:
        return replace(self, wanted=(*(w for w in self.wanted if type(w) is not type(to)), to))


Points: TypeAlias = Tensor | Tree | Items


def collated(collate: Callable[[list[Any]], Any], items: Sequence[Any]) -> Any:
    """A batch of copies of items. Raises BmdalError for anything that the user's function raises."""
    try:
        return collate([copy.deepcopy(item) for item in items])
    except Exception as error:
        kind = type(error).__name__
        raise BmdalError(f"collate_fn cannot combine {len(items)} item(s): {kind}: {error}") from error


def given_to_networks(X: Points) -> Any:
    """A copy of the points in the form that a network's `forward` gets."""
    if isinstance(X, Tensor):
        return X.clone()
    return X.clone().tree if isinstance(X, Tree) else X.batch()


def forward(model: Callable[..., Any], batch: Any) -> Any:
    """Call a network in the default way: with a batch, or with the entries of a dictionary by name."""
    return model(**batch) if isinstance(batch, Mapping) else model(batch)


def inputs_of(name: str, item: Any, whole: bool) -> tuple[Any, str | None]:
    """The network's inputs in an item or a batch, and a note about what is left out, if anything is.

    The inputs are the first part of a tuple or list such as (inputs, labels), and all entries of a dictionary except
    LABELS. With `whole`, they are everything. Raises BmdalError for nested tuples.
    """
    if whole:
        return item, None
    notes = []
    if isinstance(item, tuple | list) and item and not isinstance(item, PackedSequence):
        if isinstance(item[0], tuple | list):
            raise BmdalError(
                f"{name} holds nested tuples: define how the network is called, for example with "
                "forward=lambda model, batch: model(*batch[0])"
            )
        if len(item) > 1:
            notes.append(f"{name}: the first of {len(item)} parts is passed to the network, the others are ignored")
        item = item[0]
    if isinstance(item, Mapping):
        if labels := [key for key in item if key in LABELS]:
            notes.append(f"{name}: {', '.join(map(repr, labels))} is not passed to the network")
        item = {key: value for key, value in item.items() if key not in LABELS}
    return item, "; ".join(notes) or None


def leaves(X: Any) -> list[Tensor]:
    """The tensors in points or in a batch."""
    return [t for _, t in named_leaves("", X)]


def named_leaves(name: str, X: Any) -> Iterator[tuple[str, Tensor]]:
    """The tensors in points or in a batch, with their places; of graphs, all except the labels y."""
    match X:
        case Tensor():
            yield name, X
        case Tree():
            yield from named_leaves(name, X.tree)
        case Items():
            yield from named_leaves(name, X.batch())
        case Mapping():
            for key, value in X.items():
                yield from named_leaves(f"{name}[{key!r}]", value)
        case tuple() | list():
            for i, value in enumerate(X):
                yield from named_leaves(f"{name}[{i}]", value)
        case _ if _is_graph(X):
            yield from named_leaves(name, {key: value for key, value in X.to_dict().items() if key != "y"})


def mapped(f: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same structure with f(t) in place of each tensor t; other objects are copied.

    Graphs of PyTorch Geometric count as structures.
    """
    if isinstance(tree, Tensor):
        return f(tree)
    if isinstance(tree, Mapping):
        return {key: mapped(f, value) for key, value in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [mapped(f, value) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if _is_graph(tree):
        return copy.copy(tree).apply(lambda t: f(t) if isinstance(t, Tensor) else t)
    return copy.deepcopy(tree)


def _is_graph(X: object) -> bool:
    return hasattr(X, "num_nodes") and all(callable(getattr(X, name, None)) for name in ("apply", "to_dict"))


def joined(first: Points, second: Points) -> Points:
    """Both sets of points together; they must be of the same kind."""
    if isinstance(first, Items) and isinstance(second, Items):
        return replace(first, items=[*first.items, *second.items])
    if isinstance(first, Tree) and isinstance(second, Tree):
        others = iter(leaves(second))
        return first.mapped(lambda t: torch.cat([t, next(others).to(t.device)]))
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    return torch.cat([first, second.to(first.device)])


def size_of(item: Any) -> int:
    """The number of values in the tensors of an item."""
    return sum(t.numel() for t in leaves(item))


def form(X: Points) -> tuple[str, ...]:
    """The places and shapes of the tensors in points, without the first dimension, which all points of a kind share.

    Nothing is known about items.
    """
    if isinstance(X, Items):
        return ("items for a collate_fn",)
    return tuple(f"{name} (n{''.join(f', {s}' for s in t.shape[1:])})".strip() for name, t in named_leaves("", X))


def with_dtypes(X: Points, dtypes: Sequence[torch.dtype | None]) -> Points:
    """Points whose tensors, in order, are cast to other types; None: no cast."""
    wanted = iter(dtypes)

    def cast(t: Tensor) -> Tensor:
        dtype = next(wanted)
        return t if dtype is None else t.to(dtype)

    if isinstance(X, Items):
        return X
    return cast(X) if isinstance(X, Tensor) else X.mapped(cast)


def _moved(t: Tensor, to: torch.device | torch.dtype) -> Tensor:
    return t.to(to) if isinstance(to, torch.device) or t.is_floating_point() else t
