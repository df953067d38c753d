"""Check everything on a GPU with one command: tests, equal batches, speed, memory, and published runs.

Writes the page <paths.runs>/gpu_check/page.md, with the card and the date, and the tables next to it. A part that fails
is reported and does not stop the others. The published runs get the time that is left; their records are ordinary ones
of the experiment relu, and the next check continues where this one stopped.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

import torch
from omegaconf import DictConfig
from torch import nn

from benchmark.attempt import attempt_splits
from benchmark.code_version import code_version
from benchmark.device import find_device
from benchmark.errors import EXPECTED
from benchmark.networks import Networks
from benchmark.run import Run
from benchmark.speed.measure import bandwidth, matmul_peak
from benchmark.speed.problem import SpeedProblem, make_problem
from benchmark.task import Task
from bmdal import Batch, Method, select_batch
from cli.files import write_text_atomically
from cli.options import check_choice, describe_options, read_options
from cli.progress import Progress
from cli.run import FAILED, run_command
from data_prep import prepare
from data_prep.catalog import load_dataset

ROOT = Path(__file__).resolve().parent.parent
PARITY = (
    "random", "maxdiag_grad_rp-512_train", "maxdet-p_grad_rp-512_train", "maxdet-tp_ll", "bait-f-p_grad_rp-512_train",
    "bait-fb-p_ll_train", "fw-p_grad_rp-512_acs-rf-hyper-512", "maxdist-p_grad_rp-512_train", "maxdist-tp_nngp",
    "kmeanspp-p_grad_rp-512_acs-rf-512", "lcmd-tp_grad_rp-512", "lcmd-tp_ll", "lcmd-tp_grad", "lcmd-p_grad_acs-grad",
    "epig-p_grad_rp-512_train", "maxherding-p_grad_rp-512", "uherding-p_grad_rp-512_train", "power_grad_rp-512_train",
    "rpcholesky-p_grad_rp-512_train", "igs-tp_grad_rp-512",
)  # fmt: skip
PUBLISHED = ("lcmd-tp_grad_rp-512", "random", "bait-f-p_grad_rp-512_train", "maxdist-tp_grad_rp-512")
N_POOL, BATCH_SIZE = 10_000, 64  # of the comparison with the CPU


@dataclass(frozen=True)
class Check:
    """What a part is told: the options, the device, and the time at which all is to have ended."""

    options: DictConfig
    device: torch.device
    end: float

    @property
    def seconds_left(self) -> float:
        """At least one."""
        return max(1.0, self.end - time.monotonic())


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    return run_command(arguments, lambda: describe_options("benchmark.gpu_check", __doc__ or ""), _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    options = read_options("benchmark.gpu_check", arguments)
    parts = [check_choice("part", part, PARTS) for part in options.parts] or list(PARTS)
    check = Check(options, find_device(options.device), time.monotonic() + 60 * options.minutes)
    page = Path(options.paths.runs, "gpu_check", "page.md")
    lines, failed = list(_environment(check.device)), False
    for part in parts:
        start = time.monotonic()
        lines += ["", f"## {part}", ""]
        try:
            for line in PARTS[part](check):
                print(line, flush=True)
                lines.append(line)
        except Exception as error:  # the other parts may still tell something
            failed = True
            lines.append(f"failed: {type(error).__name__}: {error}")
            traceback.print_exc()
        lines.append(f"\n({time.monotonic() - start:.0f} s)")
        write_text_atomically(page, "\n".join(lines) + "\n")
    print(f"page: {page.resolve()}")
    return FAILED if failed else 0


def _environment(device: torch.device) -> Iterator[str]:
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        name = f"{properties.name}, {properties.multi_processor_count} multiprocessors"
        name += f", {properties.total_memory / 2**30:.0f} GiB"
    else:
        name = f"CPU, {torch.get_num_threads()} threads"
    yield f"# {name}, {datetime.now(UTC):%Y-%m-%d}"
    yield ""
    yield f"Python {sys.version.split()[0]}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}; {code_version()}"
    speed, peak = bandwidth(device) / 1e9, matmul_peak(device) / 1e9
    yield f"{speed:.0f} GB/s matrix-vector, {peak:.0f} GFLOP/s matrix product (float32)"


def _tests(check: Check) -> Iterator[str]:
    """The tests marked gpu."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-W", "default", "-p", "no:cacheprovider",
        "--continue-on-collection-errors", "tests",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=check.seconds_left)
    shown = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
    yield from [*shown, *done.stdout.splitlines()[-1:]]
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-2000:], file=sys.stderr)
        raise RuntimeError(f"pytest ended with status {done.returncode}")


def _parity(check: Check) -> Iterator[str]:
    """Batches of the same network on the device and on the CPU, where they part, and how many points they share."""
    data = prepare(load_dataset(check.options.dataset), Path(check.options.paths.data))
    problem = make_problem(data, 1024, N_POOL, 64, check.device)
    yield f"{BATCH_SIZE} of {N_POOL:,} points of {data.name}; seconds of the whole call in float32."
    yield ""
    yield "| method | float64: equal from the start | in common | float32: equal | in common | CPU | device |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    others = []
    for name in PARITY:
        cells: list[int] = []
        for dtype in (torch.float64, torch.float32):
            here, there = (_batch(name, problem, dtype, device) for device in (torch.device("cpu"), check.device))
            pairs = zip(here[0].indices.tolist(), there[0].indices.tolist(), strict=True)
            equal = next((place for place, (i, j) in enumerate(pairs) if i != j), BATCH_SIZE)
            cells += [equal, len(set(here[0].indices.tolist()) & set(there[0].indices.tolist()))]
        yield f"| `{name}` | {' | '.join(map(str, cells))} | {here[1]:.3f} s | {there[1]:.3f} s |"
        if cells[0] < BATCH_SIZE:
            others.append(name)
    if others:
        raise RuntimeError(f"other points in float64: {', '.join(others)}")


def _batch(name: str, problem: SpeedProblem, dtype: torch.dtype, device: torch.device) -> tuple[Batch, float]:
    network: nn.Module = copy.deepcopy(problem.network).to(device, dtype)
    points = [x.to(device, dtype) for x in (problem.points.X, problem.points.y, problem.x_pool)]
    start = time.perf_counter()
    batch = select_batch(name, network, points[0], points[1], points[2], BATCH_SIZE, 0)
    return batch, time.perf_counter() - start


def _speed(check: Check) -> Iterator[str]:
    """`python -m benchmark.speed` on the device, with the original where it is installed."""
    options = check.options
    output = Path(options.paths.runs, "gpu_check", "speed.csv")
    command = [
        sys.executable, "-m", "benchmark.speed", "parts=selection,features,training", f"dataset={options.dataset}",
        f"n_pool={options.n_pool}", f"device={check.device}", "networks=1,5,20", "repeats=3", "n_epochs=64",
        f"output={output}", f"paths.data={options.paths.data}",
    ]  # fmt: skip
    yield "```"
    with subprocess.Popen(command, cwd=Path.cwd(), stdout=subprocess.PIPE, text=True, env=_environ()) as process:
        assert process.stdout is not None
        timer = Timer(check.seconds_left, process.kill)
        timer.start()
        yield from (line.rstrip() for line in process.stdout)
        timer.cancel()
    yield "```"
    if process.returncode:
        raise RuntimeError(f"benchmark.speed ended with status {process.returncode}")


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _memory(check: Check) -> Iterator[str]:
    """A run whose features do not fit: the second attempt keeps them on the CPU."""
    data = prepare(load_dataset(check.options.dataset), Path(check.options.paths.data))
    method, task = Method.from_name("bait-f-p_grad_rp-512_train"), Task(n_rounds=1)
    runs = Path(check.options.paths.runs, "gpu_check", "memory")
    run = Run("memory", data, task, method, Networks(n_epochs=4), check.device, runs)
    pool_bytes = (len(data.y) - data.n_test) * 512 * 8
    with _memory_limit(check.device, pool_bytes // 2), Progress("memory") as progress:
        outcome = attempt_splits(run, [0, 1], progress)
    features, allowed = pool_bytes / 2**20, pool_bytes / 2**21
    yield f"Features of {features:.0f} MiB, {allowed:.0f} MiB allowed: {len(outcome.complete)} of 2 runs complete."
    if outcome.failed:
        raise RuntimeError(f"failed: {outcome.failed}")


@contextmanager
def _memory_limit(device: torch.device, n_bytes: int) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + n_bytes) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _runs(check: Check) -> Iterator[str]:
    """Published runs, 20 splits side by side, as many as the time allows."""
    names = check.options.datasets or ["sgemm", "fried", "diamonds"]
    for method in PUBLISHED:
        for name in names:
            if check.seconds_left < 20:
                return
            command = [
                sys.executable, "-m", "benchmark", f"dataset={name}", f"method={method}", "task=256x16",
                f"splits={list(range(20))}".replace(" ", ""), "experiment.name=relu", f"device={check.device}",
                f"paths.data={check.options.paths.data}", f"paths.runs={check.options.paths.runs}",
            ]  # fmt: skip
            start = time.monotonic()
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=check.seconds_left - 5, env=_environ()
                )
            except subprocess.TimeoutExpired:
                yield f"`{method}` on {name}: stopped after {time.monotonic() - start:.0f} s; the next check continues"
                return
            if done.returncode:
                raise RuntimeError(f"{method} on {name} ended with status {done.returncode}: {done.stderr[-500:]}")
            said = done.stdout.strip().splitlines()[-1:]
            yield f"`{method}` on {name}, 20 splits: {time.monotonic() - start:.0f} s; {''.join(said)}"
            yield ""


PARTS = {"tests": _tests, "parity": _parity, "speed": _speed, "memory": _memory, "runs": _runs}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
