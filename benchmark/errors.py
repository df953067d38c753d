"""Errors of the benchmark."""

from __future__ import annotations

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bmdal import BmdalError
from cli.options import OptionError
from data_prep import DataError
from results.errors import ResultsError
from results.record import RecordError


class BenchmarkError(ValueError):
    """A run that cannot be done as asked; the message says what is wrong and what would be right."""


class DeviceLostError(RuntimeError):
    """An error after which this process can no longer use its GPU; another process can."""


EXPECTED = (
    BenchmarkError,
    BmdalError,
    DataError,
    RecordError,
    ResultsError,
    OptionError,
    HydraException,
    OmegaConfBaseException,
)
"""Errors that are shown to the user by their message alone."""
