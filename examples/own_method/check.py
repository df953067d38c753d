"""Check that the components keep the contract that the rest of the library relies on.

    python examples/own_method/check.py

The same three calls belong into the tests of a component of your own.
"""

from __future__ import annotations

import torch
from components import Power, PrincipalAxes, Quadratic
from torch import nn

from bmdal.testing import check_kernel, check_selection, check_transformation

if __name__ == "__main__":
    check_kernel(Quadratic(), nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1)), torch.randn(10, 5))
    check_transformation(PrincipalAxes(n_axes=3))
    check_selection(Power())
    print("quadratic, pca-{n_axes} and power keep the contract")
