"""Run records, their aggregation, statistics and tables, and the published numbers."""

from results.errors import ResultsError
from results.load import load_records
from results.record import RecordError, RunRecord, read_record, write_record

__all__ = ["RecordError", "ResultsError", "RunRecord", "load_records", "read_record", "write_record"]
