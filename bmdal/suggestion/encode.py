"""Columns as numbers: for models, and as distances between rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from bmdal.suggestion.columns import Column, days

MAX_LEVELS = 30
RARE = 1000  # a level that fewer than one row in so many has is rare
TEXT_FEATURES = 8
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Encoded:
    """Numbers for all rows, labelled ones first.

    Attributes:
        X: what models get, shape (n, p).
        places: the columns of X that belong to each column of the table.
        changed: what was done, in words.
    """

    X: Matrix
    places: tuple[slice, ...]
    changed: tuple[str, ...]

    def distances_of(self, importance: Sequence[float]) -> Matrix:
        """Features Z, shape (n, p), whose squared distances are sums over columns of the table.

        Each column contributes its importance as variance. Features other than indicators are standardized and bounded
        by 5 tanh(z / 5), so that no extreme value decides alone.
        """
        Z = np.zeros_like(self.X)
        for place, weight in zip(self.places, importance, strict=True):
            given = self.X[:, place]
            block = given - given.mean(axis=0)
            spread = np.sqrt((block**2).mean(axis=0))
            measured = ~((given == 0) | (given == 1)).all(axis=0) & (spread > 0)
            block[:, measured] = 5 * np.tanh(block[:, measured] / spread[measured] / 5)
            total = float((block**2).mean(axis=0).sum())
            Z[:, place] = block * np.sqrt(weight / total) if total > 0 else 0.0
        return Z


def encode(columns: Sequence[Column]) -> Encoded:
    """Encode the columns with scikit-learn.

    Numbers stay, with the median and an indicator for missing ones; dates become days, month, weekday and hour;
    categories indicators of their levels, rare ones as one; text the leading singular vectors of its tf-idf matrix.
    """
    frame = pd.DataFrame({column.name: _filled(column) for column in columns})
    rare = max(2, -(-len(frame) // RARE)) if len(frame) >= RARE else 1
    steps = [(str(i), _step(column, rare), [column.name]) for i, column in enumerate(columns)]
    transformer = ColumnTransformer(steps, sparse_threshold=0.0)
    X = np.asarray(transformer.fit_transform(frame), dtype=np.float64)
    for i, column in enumerate(columns):  # so that large numbers, such as times, keep their digits in float32
        if column.kind in ("number", "date"):
            first = transformer.output_indices_[str(i)].start
            X[:, first] -= np.median(X[:, first])
    places = tuple(transformer.output_indices_[str(i)] for i in range(len(columns)))
    changed = []
    if dates := [repr(column.name) for column in columns if column.kind == "date"]:
        changed.append(f"{', '.join(dates)}: dates as days since 1970, month, weekday and hour")
    for i, column in enumerate(columns):
        if column.kind == "category":
            groups = transformer.named_transformers_[str(i)].infrequent_categories_[0]
            if groups is not None and len(groups) > 1:
                shown = ", ".join(repr(str(level)) for level in groups[:3]) + (", …" if len(groups) > 3 else "")
                changed.append(f"{column.name!r}: {len(groups)} rare levels count as one ({shown})")
    return Encoded(X, places, tuple(changed))


def _filled(column: Column) -> pd.Series:
    if column.kind in ("number", "date"):
        return column.values
    return column.values.fillna("(missing)" if column.kind == "category" else "").astype(object)


def _step(column: Column, rare: int) -> object:
    numbers = SimpleImputer(strategy="median", add_indicator=True)
    if column.kind == "number":
        return numbers
    if column.kind == "date":
        return make_pipeline(FunctionTransformer(_of_dates), numbers)
    if column.kind == "category":
        return OneHotEncoder(
            min_frequency=rare, max_categories=MAX_LEVELS, handle_unknown="infrequent_if_exist", sparse_output=False
        )
    words = TfidfVectorizer(max_features=2000, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    n_words = len({word for text in column.values.dropna() for word in str(text).casefold().split()})
    svd = TruncatedSVD(max(1, min(TEXT_FEATURES, n_words - 1)), random_state=0)
    return make_pipeline(FunctionTransformer(_first_column), words, svd)


def _first_column(frame: pd.DataFrame) -> pd.Series:
    return frame.iloc[:, 0]


def _of_dates(frame: pd.DataFrame) -> Matrix:
    """Days since 1970, and month, weekday and hour where they vary."""
    date = frame.iloc[:, 0]
    parts = [part for part in (date.dt.month, date.dt.day_of_week, date.dt.hour) if part.nunique() > 1]
    return np.column_stack([days(date), *parts]).astype(np.float64)
