"""Raw tables in their published formats, read in chunks of rows so that they need not fit into memory."""

from data_prep.tables.arff import ArffTable
from data_prep.tables.base import Chunk, Table
from data_prep.tables.frame import FrameTable, matlab_table
from data_prep.tables.parquet import ParquetTable
from data_prep.tables.text import TextTable

__all__ = ["ArffTable", "Chunk", "FrameTable", "ParquetTable", "Table", "TextTable", "matlab_table"]
