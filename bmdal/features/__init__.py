"""Features, represented by their inner products: matrices, sums, products, kernels and posteriors."""

from bmdal.features.base import Features, Sketch
from bmdal.features.composite import ProductFeatures, SumFeatures
from bmdal.features.dense import DenseFeatures
from bmdal.features.kernel_function import KernelFunction
from bmdal.features.kernel_matrix import KernelMatrix
from bmdal.features.nngp import NNGPFeatures
from bmdal.features.posterior import PosteriorFeatures, condition
from bmdal.features.stored import StoredFeatures

__all__ = [
    "DenseFeatures",
    "Features",
    "KernelFunction",
    "KernelMatrix",
    "NNGPFeatures",
    "PosteriorFeatures",
    "ProductFeatures",
    "Sketch",
    "StoredFeatures",
    "SumFeatures",
    "condition",
]
