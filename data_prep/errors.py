"""The error of this package."""


class DataError(ValueError):
    """Data cannot be fetched, read or prepared; the message names the file or key and says what to do."""
