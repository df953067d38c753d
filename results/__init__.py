"""Run records, their aggregation, statistics and tables, and the published numbers."""

import cli as cli  # first, because it handles Ctrl-C while the rest is imported
from results.errors import ResultsError
from results.load import load_records
from results.record import RecordError, RunRecord, read_record, write_record

__all__ = ["RecordError", "ResultsError", "RunRecord", "load_records", "read_record", "write_record"]
