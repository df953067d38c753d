"""Batch active learning for regression: base kernels, transformations and selection methods.

    batch = select("lcmd-tp", pool=embeddings, batch_size=50, generator=0, train=embeddings_of_labelled)
    batch = select_batch("lcmd-tp_grad_rp-512", net, x_train=x, y_train=y, x_pool=x_pool, batch_size=256, generator=0)
    batch.indices
    suggestion = suggest(labelled, candidates, target="price", batch_size=50)  # two tables; needs bmdal[table]

Source: A Framework and Benchmark for Deep Batch Active Learning for Regression, arXiv 2203.09410.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bmdal.batch import Batch
from bmdal.component import register
from bmdal.errors import BmdalError, IncompatibleError, UnknownComponentError
from bmdal.features import KernelFunction, KernelMatrix
from bmdal.files import read_features, write_features
from bmdal.from_features import select
from bmdal.from_models import select_batch
from bmdal.layers import NTKLinear
from bmdal.linalg import JitterWarning
from bmdal.method import Method

if TYPE_CHECKING:
    from bmdal.suggestion import suggest as suggest

__all__ = [
    "Batch",
    "BmdalError",
    "IncompatibleError",
    "JitterWarning",
    "KernelFunction",
    "KernelMatrix",
    "Method",
    "NTKLinear",
    "UnknownComponentError",
    "read_features",
    "register",
    "select",
    "select_batch",
    "write_features",
]


def __getattr__(name: str) -> Any:
    """Import `suggest`, which needs pandas and scikit-learn, on first access."""
    if name != "suggest":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return import_module("bmdal.suggestion").suggest
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"suggest needs pandas and scikit-learn: pip install 'bmdal[table]' ({error})"
        ) from None
