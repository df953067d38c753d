"""What can be wrong with a run."""

from __future__ import annotations


class BenchmarkError(ValueError):
    """A run that cannot be done as asked; the message says what is wrong and what would be right."""
