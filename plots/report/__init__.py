"""The reproduction report: one HTML file with all figures and tables of the records."""

from plots.report.build import write_report

__all__ = ["write_report"]
