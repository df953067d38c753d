"""The error that this package raises."""

from results.errors import ResultsError


class PlotError(ResultsError):
    """A figure cannot be drawn; the message says what is missing."""
