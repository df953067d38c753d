"""What can be wrong with a run."""

from __future__ import annotations

from bmdal import BmdalError
from data_prep import DataError
from results.record import RecordError


class BenchmarkError(ValueError):
    """A run that cannot be done as asked; the message says what is wrong and what would be right."""


EXPECTED = (BenchmarkError, BmdalError, DataError, RecordError)
"""Errors whose message is meant for the user and says all."""
