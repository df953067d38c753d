"""Gaussian processes of scikit-learn and GPyTorch with their own kernels: exact sequential uncertainty sampling.

Needs scikit-learn and gpytorch.
"""

import gpytorch
import numpy as np
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel

X = np.random.default_rng(0).uniform(-2, 2, size=(2_000, 2))
x, x_pool = X[:60], X[60:]
y = np.sin(2 * x[:, 0]) + x[:, 1] ** 2 + 0.2 * np.random.default_rng(1).normal(size=60)
process = GaussianProcessRegressor(RBF(1.0) + WhiteKernel(0.01), normalize_y=True).fit(x, y)
kernel = gpytorch.kernels.RBFKernel().double()  # model.covar_module of a trained gpytorch.models.ExactGP
kernel.lengthscale = process.kernel_.k1.length_scale

# recipe
from bmdal import KernelFunction, select

noise = process.kernel_.k2.noise_level**0.5
train, pool = (KernelFunction(process.kernel_, points) for points in (x, x_pool))
print(select("maxdet-tp", pool, 20, generator=0, train=train, sigma=noise).indices)
of_torch, pool_of_torch = (KernelFunction(kernel, torch.from_numpy(points)) for points in (x, x_pool))
print(select("maxdet-tp", pool_of_torch, 20, generator=0, train=of_torch, sigma=noise).indices)  # the same
samples = process.sample_y(X, 200, random_state=0)  # draws of the posterior as members
print(select("bait-f-p_pred", samples[60:], 20, generator=0, train=samples[:60]).indices)
