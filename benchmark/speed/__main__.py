"""python -m benchmark.speed: measure ours and the original in turn, print and save a table. See --help."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import torch

from benchmark.errors import BenchmarkError
from benchmark.peer import peer_module
from benchmark.speed import parts
from benchmark.speed.black_box import black_box, optional_module
from benchmark.speed.measure import bandwidth, matmul_peak
from benchmark.speed.parts import Conditions, Row, Sizes
from benchmark.speed.picture import draw_scaling
from benchmark.speed.problem import load, make_points, make_problem
from bmdal import BmdalError, Method
from data_prep import DataError, PreparedData

PARTS = ("selection", "features", "training", "run", "scaling", "black-box")
POOLS = (25_000, 100_000, 400_000, 1_600_000)
BATCHES = (64, 256, 1024, 4096)
TRAINING_SETS = (256, 1024, 4096, 16_384)


def main() -> None:
    """Parse the command line and measure."""
    options = _options()
    try:
        _measure(options)
    except (BenchmarkError, BmdalError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.speed",
        description="Speed of this project and, if it is installed (pip install -e '.[reference]'), of the original "
        "software: both are measured in turn in one process on a network trained on real data; medians are shown. "
        "black-box has a forest and scikit-activeml instead.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", help=f"what to measure, out of {', '.join(PARTS)}; none: the first four")
    parser.add_argument("--dataset", default="sgemm", help="a file name of conf/dataset; friedman needs no download")
    data, runs = (Path(os.environ.get(f"BMDAL_{name.upper()}", name)) for name in ("data", "runs"))
    parser.add_argument("--data", type=Path, default=data, help="folder of raw/ and prepared/ data")
    methods = "methods for selection and features, by their whole names such as lcmd-tp_grad_rp-512; default: six"
    parser.add_argument("--methods", nargs="+", type=_method, help=methods)
    parser.add_argument("--n-train", type=_positive, default=2304, help="training points")
    pool = "pool points; of more than the data set has, the rest repeats its rows, slightly moved"
    parser.add_argument("--n-pool", type=_positive, default=100_000, help=pool)
    parser.add_argument("--batch-size", type=_positive, default=256, help="points to select; a training step has 256")
    epochs = "epochs of training before anything is measured"
    parser.add_argument("--n-epochs", type=_positive, default=256, help=epochs)
    parser.add_argument("--networks", type=_positive, nargs="+", default=[1], help="networks trained side by side")
    for name, sizes in (("pools", POOLS), ("batches", BATCHES), ("training-sets", TRAINING_SETS)):
        parser.add_argument(f"--{name}", type=_positive, nargs="+", default=sizes, help="sizes, for scaling")
    parser.add_argument("--repeats", type=_positive, default=5, help="repetitions; the median counts")
    parser.add_argument("--threads", type=_positive, help="CPU threads; default: what torch takes")
    parser.add_argument("--device", help="cpu or cuda; default: cuda where there is one")
    parser.add_argument("--alone", action="store_true", help="leave the original and scikit-activeml out")
    parser.add_argument("--output", type=Path, default=runs / "speed.csv", help="where the table goes")
    options = parser.parse_args()
    options.parts = options.parts or list(PARTS[:4])
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; valid: {', '.join(PARTS)}")
    return options


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number greater than 0")
    return int(text)


def _method(name: str) -> str:
    try:
        return Method.from_name(name).name
    except BmdalError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _measure(options: argparse.Namespace) -> None:
    data = load(options.dataset, options.data)
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
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
    options.output.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.output, index=False)
    print(f"table: {options.output}")
    if "scaling" in options.parts:
        picture = options.output.with_suffix(".png")
        draw_scaling(rows, name, picture)
        print(f"picture: {picture}")


def _rows(
    options: argparse.Namespace, data: PreparedData, conditions: Conditions, speed: float, peak: float
) -> Iterator[Row]:
    small = {"selection", "features", "training"} & set(options.parts)
    if small:
        problem = make_problem(data, options.n_train, options.n_pool, options.n_epochs, conditions.device)
    if "selection" in options.parts:
        yield from parts.selection(problem, options.methods or parts.SELECTIONS, conditions, speed)
    if "features" in options.parts:
        yield from parts.features(problem, options.methods or parts.FEATURES, conditions, peak)
    if "training" in options.parts:
        yield from parts.training(problem, options.networks, conditions, peak)
    if "run" in options.parts:
        yield from parts.run(data, conditions)
    if "scaling" in options.parts:
        sizes = Sizes(options.pools, options.batches, options.training_sets)
        largest = max(*sizes.pool, *sizes.train, options.n_pool)
        problem = make_problem(data, options.n_train, largest, options.n_epochs, conditions.device)
        yield from parts.scaling(problem, sizes, options.n_pool, conditions)
    if "black-box" in options.parts:
        points, x_pool = make_points(data, options.n_train, options.n_pool, torch.device("cpu"))
        with_peers = not options.alone and _has(optional_module, "skactiveml.pool")
        yield from black_box(points, x_pool, options.batch_size, options.repeats, with_peers)


def _has(module: Callable[[str], ModuleType], name: str) -> bool:
    try:
        module(name)
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return False
    return True


def line_of(row: Row) -> str:
    """What is printed of a row."""
    size = f"{row.n_train:>6} + {row.n_pool:>7} points, batch {row.batch_size:>4}"
    line = f"{row.part:10} {row.what:40} {size} "
    line += row.failure or f"{row.seconds:9.4f} s"
    if row.kernel_seconds is not None:
        line += f" (kernel {row.kernel_seconds:.4f}, selection {row.selection_seconds:.4f})"
    if row.ratio is not None:
        line += f"   original {row.original_seconds:9.4f} s   {row.ratio:6.2f} times as fast"
    if row.same_indices is not None:
        line += "   same indices" if row.same_indices else "   OTHER INDICES"
    for share, of in ((row.bandwidth_share, "bandwidth"), (row.matmul_share, "matrix-product peak")):
        if share is not None:
            line += f"   {share:.2f} of the {of}"
    if row.peak_bytes is not None:
        line += f"   peak {row.peak_bytes / 2**20:6.0f} MiB"
    if row.original_peak_bytes is not None:
        line += f" (original {row.original_peak_bytes / 2**20:6.0f})"
    return line


if __name__ == "__main__":
    main()
