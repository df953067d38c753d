"""Your own network and data: which points does each selection method pick?

    python examples/custom_network.py

This script trains a small network on 10 points in two dimensions, lets every selection method pick 30 more from a pool
of 3,000, draws all batches in one figure, and prints three numbers for each:

- *density*: the mean density of the pool at the picked points, relative to that at a random pool point. Near 0, the
  batch is at the rim, where it represents hardly any of the points on which the network will be used.
- *spacing*: the mean distance from a picked point to the nearest other labelled point. If it is small, the batch
  contains redundant points.
- *gap*: the mean squared distance from pool points to their nearest labelled point, relative to the value before.

MaxDiag picks the same region again and again. MaxDet and MaxDist keep their points apart, but go to the rim. Random
selection follows the density, but picks some points close together. LCMD does both: it picks more points in dense
regions, and keeps them nearly as far apart as MaxDist does. That is why it leaves the smallest gap, together with
k-means++, which draws its points at random and places some of them close together.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bmdal import Method, select_batch

# Each selection method with transformations that suit it.
METHODS = {
    "Random": "random",
    "MaxDiag (BALD)": "maxdiag_grad_rp-512_train",
    "MaxDet (BatchBALD)": "maxdet-p_grad_rp-512_train",
    "BAIT-F": "bait-f-p_grad_rp-512_train",
    "BAIT-FB": "bait-fb-p_grad_rp-512_train",
    "Frank-Wolfe (ACS-FW)": "fw-p_grad_rp-512_acs-rf-hyper-512",
    "MaxDist (Core-Set)": "maxdist-tp_grad_rp-512",
    "k-means++ (BADGE)": "kmeanspp-tp_grad_rp-512",
    "LCMD": "lcmd-tp_grad_rp-512",
}
N_TRAIN, N_POOL, BATCH_SIZE = 10, 3000, 30
# Three clouds: weight, centre and standard deviations.
WEIGHTS = torch.tensor([0.55, 0.3, 0.15])
CENTRES = torch.tensor([[-1.2, 0.5], [1.1, -0.6], [0.7, 1.4]])
WIDTHS = torch.tensor([[0.35, 0.55], [0.6, 0.3], [0.9, 0.9]])


def draw_points(n: int, generator: torch.Generator) -> Tensor:
    """Points of the three clouds, shape (n, 2)."""
    cloud = torch.multinomial(WEIGHTS, n, replacement=True, generator=generator)
    return CENTRES[cloud] + WIDTHS[cloud] * torch.randn(n, 2, generator=generator)


def density(x: Tensor) -> Tensor:
    """Density of the clouds at points of shape (..., 2)."""
    z = (x[..., None, :] - CENTRES) / WIDTHS
    return (WEIGHTS * torch.exp(-z.square().sum(-1) / 2) / (2 * torch.pi * WIDTHS.prod(-1))).sum(-1)


def target(x: Tensor) -> Tensor:
    """The function to learn, shape (n, 1)."""
    return (torch.sin(3 * x[:, :1]) + 0.5 * x[:, 1:] ** 2) / 2


def train(x: Tensor, y: Tensor) -> nn.Module:
    """Train a network. Any network and training will do, because the library only uses the result."""
    net = nn.Sequential(nn.Linear(2, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(500):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return net


@dataclass(frozen=True)
class Choice:
    """The points that a method picked, shape (batch, 2), and their statistics."""

    picked: Tensor
    density: float
    spacing: float
    gap: float


def choose(name: str, net: nn.Module, x_train: Tensor, x_pool: Tensor) -> Choice:
    """Select a batch. The call of `select_batch` is all that your own code needs."""
    batch = select_batch(
        Method.from_name(name),
        models=[net],
        x_train=x_train,
        y_train=target(x_train),
        x_pool=x_pool,
        batch_size=BATCH_SIZE,
        generator=torch.Generator().manual_seed(0),
    )
    picked = x_pool[batch.indices]
    labelled = torch.cat([picked, x_train])
    to_others = torch.cdist(picked, labelled).fill_diagonal_(torch.inf)
    before, after = (torch.cdist(x_pool, x).min(dim=1).values.square().mean() for x in (x_train, labelled))
    return Choice(
        picked,
        density=float(density(picked).mean() / density(x_pool).mean()),
        spacing=float(to_others.min(dim=1).values.mean()),
        gap=float(after / before),
    )


def draw(x_train: Tensor, choices: dict[str, Choice]) -> Figure:
    """One panel per method: the density of the pool, the training points and the picked points."""
    figure = Figure(figsize=(7.5, 8.3), layout="constrained")
    x1, x2 = torch.linspace(-3.2, 3.7, 200), torch.linspace(-2.4, 4.2, 200)
    grid = torch.stack(torch.meshgrid(x1, x2, indexing="xy"), dim=-1)
    panels = figure.subplots(3, 3, sharex=True, sharey=True).ravel()
    for axes, (label, choice) in zip(panels, choices.items(), strict=True):
        levels = np.geomspace(0.003, 0.5, 10).tolist()
        axes.contourf(*grid.unbind(-1), density(grid), levels=levels, cmap="Greys", norm="log", vmax=4, extend="max")
        axes.plot(*x_train.T, "x", color="black", markersize=5, zorder=3, label="training points")
        axes.plot(*choice.picked.T, "o", color="#D55E00", markeredgecolor="white", markersize=6, label="picked")
        axes.set_title(label, fontsize=10, fontweight="bold" if label == "LCMD" else "normal")
        axes.set_xlabel(f"density {choice.density:.2f}, spacing {choice.spacing:.2f}, gap {choice.gap:.2f}", fontsize=8)
        axes.set(xticks=[], yticks=[], aspect="equal")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(
        "Which 30 points shall be labelled next? The choice of each method (grey: density of the pool)", fontsize=11
    )
    return figure


def main(output: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)  # for the network's initial weights
    x_train, x_pool = draw_points(N_TRAIN, generator), draw_points(N_POOL, generator)
    net = train(x_train, target(x_train))
    print(f"{'method':<36}density  spacing      gap")
    choices: dict[str, Choice] = {}
    for label, name in METHODS.items():
        choices[label] = choice = choose(name, net, x_train, x_pool)
        print(f"{name:<36}{choice.density:7.2f}  {choice.spacing:7.2f}  {choice.gap:7.2f}")
    output.mkdir(parents=True, exist_ok=True)
    file = output / "custom_network.png"
    draw(x_train, choices).savefig(file, dpi=120)
    print(f"written: {file.resolve()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/custom_network"), help="folder for the picture")
    main(parser.parse_args().output)
