"""Check that the components satisfy the contract that the rest of the library relies on.

    python examples/own_method/check.py

Use the same three calls in the tests of your own components.
"""

from __future__ import annotations

import torch
from components import Lottery, PrincipalAxes, Quadratic
from torch import nn

from bmdal.testing import check_kernel, check_selection, check_transformation

if __name__ == "__main__":
    check_kernel(Quadratic(), nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1)), torch.randn(10, 5))
    check_transformation(PrincipalAxes(n_axes=3))
    check_selection(Lottery())
    print("quadratic, pca-{n_axes} and lottery satisfy the contract")
