"""The error of this package; damaged records raise `results.record.RecordError`."""


class ResultsError(ValueError):
    """A request that the records cannot answer; the message names the bad value and what to do."""


class NoRecordsError(ResultsError):
    """There are no records."""
