"""The error that users of this package meet."""

from results.errors import ResultsError


class PlotError(ResultsError):
    """A figure that cannot be drawn; the message says what is missing."""
