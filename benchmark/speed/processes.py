"""Measure selection from a pool that is spread over processes, and what they send, and print a table.

    for n in 1 2; do OMP_NUM_THREADS=1 torchrun --nproc-per-node $n -m benchmark.speed.processes --points 200000; done

The features are random. `--points` is the size of the whole pool (strong scaling); with `--each`, of the part of each
process (weak scaling). The bandwidth is what all processes read together, if each pick is one pass over the features.
CPU ms/pick is the time of the first process without waiting, which other programs on the machine hardly change.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import time

import pandas as pd
import torch
import torch.distributed as dist
from torch import Tensor

from benchmark.device import find_device
from benchmark.speed.measure import bandwidth
from bmdal import select

METHODS = "maxdist-p,lcmd-p,kmeanspp-p,maxdet-p,bait-f-p,fw-p"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--dtype", choices=("float16", "bfloat16", "float32", "float64"), default="float32")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = find_device(arguments.device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=datetime.timedelta(minutes=10))
    rank, size = dist.get_rank(), dist.get_world_size()
    n = arguments.points * (size if arguments.each else 1)
    own = n * (rank + 1) // size - n * rank // size
    generator = torch.Generator().manual_seed(rank)
    pool = torch.randn(own, arguments.features, generator=generator).to(device, getattr(torch, arguments.dtype))
    dist.barrier()
    speed = torch.tensor([bandwidth(device)], device=device if backend == "nccl" else None)
    dist.all_reduce(speed)
    rows = [_row(name, pool, n, arguments.batch_size, arguments.repeats) for name in arguments.methods.split(",")]
    if rank == 0:
        print(f"{size} processes on {device.type}, {torch.get_num_threads()} threads each, {arguments.dtype} features")
        print(f"{n:,} points x {arguments.features}, all processes read {float(speed) / 1e9:.1f} GB/s at the same time")
        print(pd.DataFrame(rows).to_string(index=False))
    dist.destroy_process_group()


def _row(name: str, pool: Tensor, n: int, batch_size: int, repeats: int) -> dict[str, object]:
    seconds, of_cpu = list[float](), list[float]()
    for _ in range(repeats):
        before = time.process_time()
        batch = select(name, pool, batch_size, 0, distinct=False, group=dist.group.WORLD)
        of_cpu.append(time.process_time() - before)
        seconds.append(batch.selection_seconds)
    traffic = batch.traffic
    assert traffic is not None
    return {
        "method": name,
        "ms/pick": round(1e3 * statistics.median(seconds) / batch_size, 3),
        "CPU ms/pick": round(1e3 * statistics.median(of_cpu) / batch_size, 3),
        "GB/s": round(n * pool.shape[1] * pool.itemsize * batch_size / statistics.median(seconds) / 1e9, 2),
        "messages/pick": round(traffic.messages / batch_size, 2),
        "bytes/pick": round(traffic.n_bytes / batch_size),
    }


if __name__ == "__main__":
    main()
