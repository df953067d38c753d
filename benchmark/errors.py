"""What can be wrong with a run."""

from __future__ import annotations

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bmdal import BmdalError
from cli.options import OptionError
from data_prep import DataError
from results.record import RecordError


class BenchmarkError(ValueError):
    """A run that cannot be done as asked; the message says what is wrong and what would be right."""


EXPECTED = (
    BenchmarkError,
    BmdalError,
    DataError,
    RecordError,
    OptionError,
    HydraException,
    OmegaConfBaseException,
)
"""Errors whose message is meant for the user and says all."""
