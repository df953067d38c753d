"""Features in files: written whole or not at all, read back as they are, and selected from as if they were in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import normal

from bmdal import select, write_features
from bmdal.files import DTYPES

DTYPES_OF_FILES = [getattr(torch, name) for name in DTYPES]
N_BLOCK = 64
NAMES = [
    "random",
    "maxdiag",
    "power",
    "maxdist-p",
    "maxdist-tp",
    "lcmd-p",
    "lcmd-tp",
    "kmeanspp-p",
    "kmeanspp-tp",
    "maxdet-p",
    "lcmd-tp_scale",
    "lcmd-tp_train",
    "lcmd-tp_rp-32",
    "kmeanspp-p_rp-32_train",
    "maxdiag_train",
    "lcmd-tp_acs-rf-16",
    "lcmd-tp_acs-grad",
    "bait-f-p_train",
]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmdal.features.stored.BLOCK_ROWS", N_BLOCK)
    monkeypatch.setattr("bmdal.files.BLOCK_ROWS", N_BLOCK)


def points(n: int, p: int, seed: int = 0) -> Tensor:
    """Float32 features with a falling spectrum, in clusters."""
    centres, scales = normal(9, p, seed=seed) * 2, torch.linspace(1, 0.1, p)
    return ((normal(n, p, seed=seed + 1) + centres[torch.arange(n) % 9]) * scales).float()


def chosen(name: str, pool: Any, train: Any, **options: Any) -> list[int]:
    return select(name, pool, 20, 5, train=train, **options).indices.tolist()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", DTYPES_OF_FILES)
def test_the_batch_is_that_of_the_rounded_features(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    train, pool = points(30, 24, seed=5), points(5 * N_BLOCK + 9, 24)
    stored = write_features(tmp_path / "pool.npy", pool, dtype=dtype)
    rounded = pool.to(dtype).to(torch.promote_types(dtype, torch.float32))
    assert chosen(name, stored, train) == chosen(name, rounded, train)
    assert chosen(name, tmp_path / "pool.npy", train) == chosen(name, rounded, train)


@pytest.mark.parametrize("name", ["lcmd-p", "lcmd-tp", "maxdist-p", "kmeanspp-tp", "maxdiag", "lcmd-tp_train"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_with_a_principal_bound(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Enough points and features for the bound, and more than one block."""
    train, pool = points(30, 128, seed=5), points(20_000, 128)
    stored = write_features(tmp_path / "pool.npy", pool, dtype=dtype)
    assert chosen(name, stored, train) == chosen(name, pool.to(dtype).float(), train)
