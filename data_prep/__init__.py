"""The data sets: description, download, preprocessing and storage."""

import cli as cli  # first, because it handles Ctrl-C while the rest is imported
from data_prep.dataset import DataSet, Download, Expected, Friedman, OpenML, OwnFile
from data_prep.errors import DataError
from data_prep.prepare import prepare
from data_prep.store import Meta, PreparedData, load_prepared

__all__ = [
    "DataError",
    "DataSet",
    "Download",
    "Expected",
    "Friedman",
    "Meta",
    "OpenML",
    "OwnFile",
    "PreparedData",
    "load_prepared",
    "prepare",
]
