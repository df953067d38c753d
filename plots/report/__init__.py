"""The reproduction report: one HTML file with everything that the records show."""

from plots.report.build import write_report

__all__ = ["write_report"]
