"""A pool that is spread over the processes of a `torch.distributed` process group."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures, Features
from bmdal.features.shard import Shard
from bmdal.group import Group, Pick, Traffic

SMALLEST = 2.0**-1074
"""The smallest positive number."""
BITS = 62
"""Bits of the sums over the pool."""
FEWEST_BITS = 31
"""Of the largest sum; values that have become so small since their unit was chosen get a new one."""
MOST_BITS = 18
"""Bits of integers of which a block's sums of products are exact in float64."""


@dataclass(frozen=True, eq=False)
class Processes(Group):
    """The processes of a process group, of which each holds the next points of the pool.

    The batch is the same for every number of processes: of equal scores the lowest index wins, and sums over the pool
    are sums of integers, which do not depend on the order of addition. Their unit is a power of two, between n / 2^62
    and n / 2^60 of the largest value, to which each of the n values is rounded: some 10^-9 of the largest for n = 10^9.

    Args:
        group: the process group.
        wire: where tensors are when they are sent, the CPU or a GPU.
        sizes: number of points that each process holds.
        origin: row number, in the user's pool, of the first row of this process.
        traffic: what was sent so far.
    """

    group: dist.ProcessGroup
    wire: torch.device
    sizes: Sequence[int] = ()
    origin: int = 0
    traffic: Traffic = field(default_factory=Traffic)

    @classmethod
    def of(cls, group: object, device: torch.device | None = None) -> Processes:
        """The processes of a group, for features on a device; None: on the GPU if they can send from there.

        Raises BmdalError if they cannot send these.
        """
        if group is dist.GroupMember.NON_GROUP_MEMBER:
            raise BmdalError("this process is not in the group: only those that are may call the function")
        if not isinstance(group, dist.ProcessGroup) or not dist.is_initialized():
            raise BmdalError(f"group must be a process group such as torch.distributed.group.WORLD, got {group!r}")
        backends = str(dist.get_backend_config(group))  # such as "cpu:gloo,cuda:nccl"
        if device is None:
            device = (
                torch.device("cuda", torch.cuda.current_device()) if "cuda:nccl" in backends else torch.device("cpu")
            )
        wire = device if f"{device.type}:nccl" in backends else torch.device("cpu")
        processes = cls(group, wire)
        with processes.together():
            if f"{wire.type}:" not in backends:
                raise BmdalError(f"a group with {backends!r} cannot send features on {device}: use the backend 'gloo'")
        return processes

    def holding(self, n_given: int, n: int) -> Processes:
        """The same processes, of which this one holds n of the n_given points of its part of the user's pool."""
        given, sizes = zip(*self.objects((n_given, n)), strict=True)
        return replace(self, sizes=sizes, origin=sum(given[: self.rank]))

    @property
    def ranks(self) -> range:
        """The ranks of all processes."""
        return range(dist.get_world_size(self.group))

    @property
    def rank(self) -> int:
        return dist.get_rank(self.group)

    @property
    def start(self) -> int:
        """Index of the first point of this process."""
        return sum(self.sizes[: self.rank])

    @property
    def n_own(self) -> int:
        """Number of points of this process."""
        return self.sizes[self.rank]

    @contextmanager
    def together(self) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except Exception as e:
            error = e
        known = error is None or isinstance(error, BmdalError)
        texts = self.objects(None if error is None else str(error) if known else f"{type(error).__name__}: {error}")
        said = [f"{where}: {text}" for text, where in _where(texts) if text is not None]
        if said:
            raise BmdalError("; ".join(said)) from error

    def agree(self, values: Mapping[str, Hashable]) -> dict[str, Any]:
        """The values that all processes share; those of a process that has None do not count.

        Raises BmdalError, with ranks and values, if values differ.
        """
        all_values = self.objects(dict(values))
        found = {
            name: [place for place in _where([own[name] for own in all_values]) if place[0] is not None]
            for name in values
        }
        differ = [
            f"{name} is " + ", ".join(f"{value} on {where}" for value, where in places)
            for name, places in found.items()
            if len(places) > 1
        ]
        if differ:
            raise BmdalError("all processes of a group must have the same request, but " + "; ".join(differ))
        return {name: places[0][0] if places else None for name, places in found.items()}

    def objects(self, value: Any) -> list[Any]:
        """The values of all processes."""
        values: list[Any] = [None] * len(self.ranks)
        self._send(0, dist.all_gather_object, values, value)
        return values

    def of_each(self, values: Tensor) -> Iterator[Tensor]:
        """The values of the points of one process after the other, given those of this process's points, shape (n,)."""
        for rank in self.ranks:
            own = values if rank == self.rank else values.new_empty(self.sizes[rank])
            yield self._collected(dist.broadcast, own, dist.get_global_rank(self.group, rank))

    def concatenated(self, t: Tensor) -> Tensor:
        """The rows of all processes, in the order of their ranks."""
        sizes = self._gathered(torch.tensor([len(t)]))[:, 0].tolist()
        padded = t.new_zeros(max(sizes), *t.shape[1:])
        padded[: len(t)] = t
        return torch.cat([part[:n] for part, n in zip(self._gathered(padded), sizes, strict=True)])

    def count(self, pool: Features) -> int:
        return sum(self.sizes)

    def best(self, row: Tensor, score: Tensor) -> Pick:
        index = self.start + float(row) if len(row) and self.n_own else -1.0
        proposals = self._gathered(torch.tensor([float(score) if len(score) else 0.0, index], dtype=torch.float64))
        _, best, minus = max((math.isnan(score), score, -index) for score, index in proposals.tolist() if index >= 0)
        return torch.tensor([int(-minus)]).to(row.device), torch.tensor([best], dtype=torch.float64).to(row.device)

    def rows(self, indices: Tensor) -> Tensor:
        rows = indices - self.start
        return rows[(rows >= 0) & (rows < self.n_own)]

    def point(self, pool: Features, index: Tensor, *values: Tensor) -> tuple[Features, list[Tensor]]:
        rows = self.rows(index)
        parts = [pool[rows].matrix(), *(v.index_select(0, rows).to(pool.dtype) for v in values)]
        row = torch.cat([part.flatten(1) if part.ndim > 1 else part[:, None] for part in parts], dim=1)
        owner = bisect_right(list(accumulate(self.sizes, initial=0)), int(index)) - 1
        source = dist.get_global_rank(self.group, owner)
        row = self._collected(dist.broadcast, row if len(rows) else row.new_empty(1, row.shape[1]), source)
        phi, *others = torch.split(row, [math.prod(part.shape[1:]) for part in parts], dim=1)
        return DenseFeatures(phi), [t.reshape(1, *v.shape[1:]).to(v.dtype) for t, v in zip(others, values, strict=True)]

    def points(self, pool: Features, indices: Tensor) -> Features:
        p, rows = pool.n_features, indices - self.start
        held = (rows >= 0) & (rows < self.n_own)
        assert p is not None
        Phi = torch.zeros(len(indices), p, dtype=pool.dtype, device=pool.device)
        Phi[held] = pool[rows[held]].matrix()
        return DenseFeatures(self._summed(Phi))

    def whole(self, mask: Tensor | None) -> Tensor | None:
        return None if mask is None else self.concatenated(mask.to(torch.uint8)).to(torch.bool)

    def own(self, values: Tensor) -> Tensor:
        return values[self.start : self.start + self.n_own]

    def in_pool(self, rows: Tensor, indices: Tensor) -> Tensor:
        own = indices - self.start
        held = (own >= 0) & (own < self.n_own)
        numbers = torch.zeros_like(indices)
        numbers[held] = self.origin + rows[own[held]]
        return self._summed(numbers)

    def span(self, n: int) -> tuple[int, int]:
        numbers = self._gathered(torch.tensor([n]))[:, 0].tolist()
        return sum(numbers[: self.rank]), sum(numbers)

    def first(self, rows: Tensor, scores: Tensor, n: int) -> Pick:
        own = torch.stack([scores.to(torch.float64), (self.start + rows).to(torch.float64)], dim=1)
        scores, indices = self.concatenated(own).unbind(dim=1)
        order = scores.argsort(descending=True, stable=True)[:n]
        return indices[order].long(), scores[order]

    def maximum(self, values: Tensor) -> Tensor:
        own = values.max() if len(values) else values.new_tensor(-torch.inf)
        return self._gathered(own[None]).max()

    def unit(self, values: Tensor) -> float:
        return max(2.0 ** (self._exponent(values) + self._n_bits - BITS), SMALLEST)

    def total(self, values: Tensor) -> Tensor:
        unit = self.unit(values)
        return self._summed(_integers(values, unit).sum()).to(torch.float64).mul_(unit).to(values.dtype)

    def total_features(self, pool: Features) -> Tensor:
        unit = self.unit(_sizes(pool))
        sums = [_integers(block.matrix()[place], unit).sum(dim=0) for _, block, place in _blocks(pool)]
        none = torch.zeros(pool[:0].matrix().shape[1], dtype=torch.int64, device=pool.device)
        return self._summed(sum(sums, none)).to(torch.float64).mul_(unit).to(pool.dtype)

    def second_moments(self, pool: Features) -> Tensor:
        """The same, of features that are rounded to 2^-36 of the largest, or less precisely for n > 2^26.

        They are integers h 2^b + l, so that products of the matrices of h and l are exact.
        """
        bits = min(MOST_BITS, (BITS - self._n_bits) // 2)
        unit = max(2.0 ** (self._exponent(_sizes(pool)) - 2 * bits), SMALLEST)
        p = pool[:0].matrix().shape[1]
        sums = torch.zeros(3, p, p, dtype=torch.int64, device=pool.device)
        for _, block, place in _blocks(pool):
            integers = (block.matrix()[place].to(torch.float64) / unit).round_()
            high = (integers / 2**bits).round_()
            low = integers - high * 2**bits
            sums += torch.stack([high.T @ high, high.T @ low, low.T @ low]).to(torch.int64)
        high2, mixed, low2 = self._summed(sums).to(torch.float64) * unit**2
        moments: Tensor = high2 * 4.0**bits + (mixed + mixed.T) * 2.0**bits + low2
        return moments.to(pool.dtype)

    @property
    def _n_bits(self) -> int:
        return sum(self.sizes).bit_length()

    def _exponent(self, values: Tensor) -> int:
        """The smallest e with values < 2^e in all processes."""
        return math.frexp(float(self.maximum(values)))[1]

    def sums(self, values: Tensor, places: Tensor, n: int, unit: float) -> Tensor:
        sums = torch.zeros(n, dtype=torch.int64, device=values.device).scatter_add_(0, places, _integers(values, unit))
        sums = self._summed(sums)
        if int(sums.max()) < 2**FEWEST_BITS and (finer := self.unit(values)) < unit:
            return self.sums(values, places, n, finer)
        return sums.to(torch.float64).mul_(unit)

    def draw(self, weights: Tensor, u: Tensor, unit: float) -> Pick:
        cumulative = _integers(weights, unit).cumsum(dim=0)
        n_own = int(cumulative[-1]) if len(cumulative) else 0
        before, total = self.span(n_own)
        if total < 2**FEWEST_BITS and (finer := self.unit(weights)) < unit:
            return self.draw(weights, u, finer)
        threshold = -(-total * int((1 - float(u)) * 2**53) >> 53) - before  # 1 - u is a multiple of 2^-53 in (0, 1]
        here = 0 < threshold <= n_own or not total
        row = torch.searchsorted(cumulative, cumulative.new_tensor([threshold]))[: int(here and self.n_own > 0)]
        return row, weights.index_select(0, row)

    def _gathered(self, t: Tensor) -> Tensor:
        """Tensors of one shape of all processes, stacked."""
        sent = t.to(self.wire)
        received = sent.new_empty(len(self.ranks), *t.shape)
        self._send(received.nbytes, dist.all_gather, list(received), sent)
        return received.to(t.device)

    def _summed(self, t: Tensor) -> Tensor:
        return self._collected(dist.all_reduce, t)

    def _collected(self, collective: Callable[..., object], t: Tensor, *options: Any) -> Tensor:
        sent = t.to(self.wire).contiguous()
        self._send(sent.nbytes, collective, sent, *options)
        return sent.to(t.device)

    def _send(self, n_bytes: int, collective: Callable[..., object], *arguments: Any) -> None:
        try:
            collective(*arguments, group=self.group)
        except RuntimeError as error:
            raise BmdalError(
                "a process of the group has ended, or has not answered within the group's time limit, which "
                f"init_process_group(timeout=...) sets: {str(error).splitlines()[0]}"
            ) from error
        self.traffic.messages += 1
        self.traffic.n_bytes += n_bytes


def _integers(values: Tensor, unit: float) -> Tensor:
    return (values.to(torch.float64) / unit).round_().to(torch.int64)


def _blocks(pool: Features) -> Iterator[tuple[slice, Features, slice]]:
    assert isinstance(pool, Shard)
    return pool.blocks()


def _sizes(pool: Features) -> Tensor:
    """max_j |phi_ij|, shape (n,)."""
    return pool.rowwise(lambda Phi: Phi.abs().amax(dim=1))


def _where(values: Sequence[Any]) -> list[tuple[Any, str]]:
    """The different values of the processes, and the ranks that have them."""
    ranks: dict[Any, list[str]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(value, []).append(str(rank))
    texts = {
        value: f"{', '.join(some[:-1])} and {some[-1]}" if len(some) > 1 else some[0] for value, some in ranks.items()
    }
    return [(value, f"rank{'s' * (len(ranks[value]) > 1)} {text}") for value, text in texts.items()]
