"""One of several processes that select from shards of a pool: `python group_member.py rank n folder seconds`.

It works through the cases in folder/cases.pt and writes what happened to folder/results-<rank>.pt. `seconds` is the
time limit of a message. Every case is a dictionary: `sizes` of the shards of as many processes; the arguments of
`select`, or with `models` of `select_batch`, that are `common` to all processes; and those of a single rank that has
others, `of_rank`.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from toys import normal

from bmdal import Batch, BmdalError, select, select_batch, write_features
from bmdal.features import StoredFeatures
from bmdal.selection import MaxDist
from bmdal.selection.base import SelectionProblem


class Dying(MaxDist):
    """Ends its process after three points."""

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        picks: list[int] = []

        def on_pick(index: int, score: float) -> None:
            picks.append(index)
            if len(picks) == 3 and dist.get_rank() == 1:
                os._exit(1)

        object.__setattr__(problem, "on_pick", on_pick)
        return super().select(problem, batch_size)


def points(n: int, p: int) -> Tensor:
    """Random points with copies and equal norms, the largest among them, in several shards, and a zero."""
    X = normal(n, p, seed=n)
    X[1] *= 3
    X[n // 2] = X[n // 30]
    X[n // 2 + 10 : n // 2 + 20] = X[n // 2 + 10]
    X[-1] = X[0]
    X[-2] = 0
    X[-3] = -X[1]
    return X


def shard(pool: Any, sizes: Sequence[int], rank: int) -> Any:
    return pool[sum(sizes[:rank]) : sum(sizes[: rank + 1])]


def outcome(case: Mapping[str, Any], group: dist.ProcessGroup, rank: int, path: Path) -> dict[str, Any]:
    """What `select` returns or raises in this process; path: of a file for stored features."""
    common, sizes = dict(case["common"]), case["sizes"]
    name_of_pool = "x_pool" if "models" in common else "pool"
    pool = shard(common.pop(name_of_pool), sizes, rank)
    for name in case.get("sharded", ()):
        common[name] = shard(common[name], case["train_sizes"], rank)
        common["sharded_train"] = True
    if "exclude" in common:
        common["exclude"] = shard(common["exclude"], sizes, rank)
    if "costs" in common:
        common["costs"] = shard(common["costs"], sizes, rank)
    if case.get("stored"):
        pool = StoredFeatures(pool) if not len(pool) else write_features(path, pool, dtype=pool.dtype)
    if case.get("data_set"):
        pool = TensorDataset(pool)
    if case.get("loader"):
        pool = DataLoader(TensorDataset(pool), batch_size=800, drop_last=True)
    given = {name_of_pool: pool, **common, **case.get("of_rank", {}).get(rank, {})}
    if given["method"] == "dying":
        given["method"] = Dying()
    choose: Callable[..., Batch] = select_batch if "models" in common else select
    start = time.monotonic()
    try:
        batch = choose(**given, group=group)
    except BmdalError as error:
        return {"error": str(error), "seconds": time.monotonic() - start}
    found = {
        "indices": batch.indices.tolist(),
        "scores": None if batch.scores is None else str(batch.scores.tolist()),
        "notes": batch.notes,
        "traffic": batch.traffic,
    }
    return {**found, "n_filled": batch.n_filled}


def main(rank: int, n: int, folder: Path, seconds: int) -> None:
    torch.set_num_threads(1)
    limit = datetime.timedelta(seconds=seconds)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=n, timeout=limit)
    groups = {size: dist.new_group(range(size), timeout=limit) for size in range(1, n + 1)}
    dist.barrier()  # one that has nothing to do must not end before the others are connected
    results: list[Any] = []
    for case in torch.load(folder / "cases.pt", weights_only=False):
        size = len(case["sizes"])
        results.append(
            outcome(case, groups[size], rank, folder / f"{rank}-{len(results)}.npy") if rank < size else None
        )
    torch.save(results, folder / f"results-{rank}.pt")
    os._exit(0)  # at once, even after a process has died


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
