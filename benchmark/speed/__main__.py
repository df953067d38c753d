"""Measure the speed of this project and of the original software, and print and save a table.

The original is included if it is installed (pip install -e '.[reference]'). Both are measured in turn in one process,
with a network trained on real data, and medians are shown. The part black-box compares with scikit-activeml instead, on
a forest.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch
from omegaconf import DictConfig

from benchmark.device import find_device
from benchmark.errors import EXPECTED, BenchmarkError
from benchmark.peer import peer_module
from benchmark.speed import parts
from benchmark.speed.black_box import black_box, optional_module
from benchmark.speed.measure import bandwidth, matmul_peak
from benchmark.speed.parts import Conditions, Row, Sizes
from benchmark.speed.picture import draw_scaling
from benchmark.speed.problem import make_points, make_problem
from benchmark.speed.stored import rounding, stored
from bmdal import Method
from cli.files import written_aside
from cli.options import check_choice, describe_options, read_options
from cli.run import run_command
from data_prep import PreparedData, prepare
from data_prep.catalog import load_dataset

PARTS = ("selection", "features", "training", "run", "scaling", "black-box", "stored", "rounding")


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status."""
    return run_command(arguments, lambda: describe_options("benchmark.speed", __doc__ or ""), _measure, EXPECTED)


def _measure(arguments: Sequence[str]) -> int:
    options = read_options("benchmark.speed", arguments)
    options.parts = [check_choice("part", part, PARTS) for part in options.parts] or list(PARTS[:4])
    for name in options.methods:
        Method.from_name(name)
    device = find_device(options.device)
    dataset = load_dataset(options.dataset)
    data = cache(lambda: prepare(dataset, Path(options.paths.data)))  # `stored` needs none
    if options.n_threads:
        torch.set_num_threads(options.n_threads)
    conditions = Conditions(
        options.batch_size, options.repeats, device, not options.alone and _has(peer_module, "bmdal.algorithms")
    )
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    speed, peak = bandwidth(device), matmul_peak(device)
    print(
        f"{name}: {speed / 1e9:.1f} GB/s matrix-vector, {peak / 1e9:.0f} GFLOP/s matrix product (float32)", flush=True
    )
    rows = []
    for row in _rows(options, data, conditions, speed, peak):
        rows.append(row)
        print(line_of(row), flush=True)
    table = pd.DataFrame([{**dataclasses.asdict(row), "ratio": row.ratio, "device": name} for row in rows])
    output = Path(options.output or Path(options.paths.runs, "speed.csv"))
    with written_aside(output) as aside:
        table.to_csv(aside, index=False)
    print(f"table: {output}")
    if "scaling" in options.parts:
        picture = output.with_suffix(".png")
        draw_scaling(rows, name, picture)
        print(f"picture: {picture}")
    return 0


def _rows(
    options: DictConfig, data: Callable[[], PreparedData], conditions: Conditions, speed: float, peak: float
) -> Iterator[Row]:
    small = {"selection", "features", "training"} & set(options.parts)
    if small:
        problem = make_problem(data(), options.n_train, options.n_pool, options.n_epochs, conditions.device)
    if "selection" in options.parts:
        yield from parts.selection(problem, options.methods or parts.SELECTIONS, conditions, speed, peak)
    if "features" in options.parts:
        yield from parts.features(problem, options.methods or parts.FEATURES, conditions, peak)
    if "training" in options.parts:
        yield from parts.training(problem, options.networks, conditions, peak)
    if "run" in options.parts:
        yield from parts.run(data(), conditions)
    if "scaling" in options.parts:
        sizes = Sizes(options.pools, options.batches, options.training_sets)
        largest = max(*sizes.pool, *sizes.train, options.n_pool)
        problem = make_problem(data(), options.n_train, largest, options.n_epochs, conditions.device)
        yield from parts.scaling(problem, sizes, options.n_pool, conditions)
    if "black-box" in options.parts:
        points, x_pool = make_points(data(), options.n_train, options.n_pool, torch.device("cpu"))
        with_peers = not options.alone and _has(optional_module, "skactiveml.pool")
        yield from black_box(points, x_pool, options.batch_size, options.repeats, with_peers)
    if "stored" in options.parts:
        for n_pool in options.stored_pools:
            yield from stored(n_pool, options.stored_features, options.batch_size, Path(options.paths.runs))
    if "rounding" in options.parts:
        problem = make_problem(data(), options.n_train, options.n_pool, options.n_epochs, conditions.device)
        yield from rounding(problem, options.batch_size)


def _has(module: Callable[[str], ModuleType], name: str) -> bool:
    try:
        module(name)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return False
    return True


def line_of(row: Row) -> str:
    """Return the line that is printed for a row."""
    size = f"{row.n_train:>6} + {row.n_pool:>7} points, batch {row.batch_size:>4}"
    line = f"{row.part:10} {row.what:40} {size} "
    line += row.failure or f"{row.seconds:9.4f} s"
    if row.n_other is not None:
        line += f"   {row.n_other} other points"
    if row.kernel_seconds is not None:
        line += f" (kernel {row.kernel_seconds:.4f}, selection {row.selection_seconds:.4f})"
    if row.ratio is not None:
        line += f"   original {row.original_seconds:9.4f} s   {row.ratio:6.2f} times as fast"
    if row.same_indices is not None:
        line += "   same indices" if row.same_indices else "   OTHER INDICES"
    if row.passes is not None:
        line += f"   {row.passes:.1f} passes"
    for share, of in ((row.bandwidth_share, "bandwidth"), (row.matmul_share, "matrix-product peak")):
        if share is not None:
            line += f"   {share:.2f} of the {of}"
    if row.peak_bytes is not None:
        line += f"   peak {row.peak_bytes / 2**20:6.0f} MiB"
    if row.original_peak_bytes is not None:
        line += f" (original {row.original_peak_bytes / 2**20:6.0f})"
    return line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
