"""A local web server that answers as told, and other things that these tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from local_server import LocalServer

from data_prep.transfer import Patience


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A web server on 127.0.0.1."""
    with LocalServer() as running:
        yield running


@pytest.fixture
def impatient() -> Patience:
    """Waits too short for people, long enough for this machine."""
    return Patience(connect_seconds=5.0, read_seconds=1.0, waits=(0.0, 0.0, 0.0))


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("OPENML_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "no_openml_cache"))
    monkeypatch.delenv("BMDAL_DATA", raising=False)
