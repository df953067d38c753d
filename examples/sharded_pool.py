"""A pool that is spread over several processes: each has a part of it, and all get the same batch.

    torchrun --nproc-per-node 2 examples/sharded_pool.py
    srun --ntasks 2 python examples/sharded_pool.py

Each process reads its own part of a data set and maps it with a network, on its own GPU if there is one.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import time

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from bmdal import select_batch

N_LABELLED = 100


class Signals(Dataset[Tensor]):
    """Stands for a data set on disk: item i is a noisy wave of 64 numbers."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Tensor:
        noise = torch.randn(64, generator=torch.Generator().manual_seed(i))
        return torch.sin(torch.arange(64) * (1 + i % 17) / 20) + 0.3 * noise


def network() -> nn.Module:
    """Stands for a trained network, which all processes load from one file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 128), nn.SiLU(), nn.Linear(128, 1))


def part(n: int, rank: int, size: int) -> range:
    """The points of a process: any parts do."""
    return range(n * rank // size, n * (rank + 1) // size)


def start() -> torch.device:
    """Join the other processes, which torchrun or srun have started, and return this one's device."""
    if "SLURM_PROCID" in os.environ and "RANK" not in os.environ:
        names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
        os.environ.update({name: os.environ[of_slurm] for name, of_slurm in names.items()})
        hosts = subprocess.check_output(["scontrol", "show", "hostnames", os.environ["SLURM_STEP_NODELIST"]], text=True)
        os.environ["MASTER_ADDR"] = hosts.split()[0]
        os.environ["MASTER_PORT"] = str(20_000 + int(os.environ["SLURM_JOB_ID"]) % 10_000)
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo", timeout=datetime.timedelta(minutes=2))
    return torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--points", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--method", default="lcmd-tp_grad_rp-512")
    arguments = parser.parse_args()
    device, n = start(), arguments.points
    rank, size = dist.get_rank(), dist.get_world_size()
    signals = Signals(n + N_LABELLED)
    labelled, pool = Subset(signals, range(n, n + N_LABELLED)), Subset(signals, part(n, rank, size))
    begin = time.perf_counter()
    batch = select_batch(
        arguments.method,
        network().to(device),
        labelled,
        None,
        pool,
        arguments.batch_size,
        generator=0,
        group=dist.group.WORLD,
    )
    seconds = time.perf_counter() - begin
    if rank == 0:
        assert batch.traffic is not None
        sent, picks = batch.traffic, arguments.batch_size
        print(f"{arguments.method}: {picks} of {arguments.points:,} points on {size} x {device.type}, {seconds:.2f} s")
        print(f"before the first pick {sent.messages_before} messages, {sent.n_bytes_before / 1e3:.1f} KB")
        print(f"for each pick {sent.messages / picks:.1f} messages, {sent.n_bytes / picks / 1e3:.2f} KB")
        print(" ".join(map(str, batch.indices.tolist())))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
