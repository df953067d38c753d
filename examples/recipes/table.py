"""A table with numbers and text, and a random forest: which 50 rows to label next.

Needs scikit-learn and pandas.
"""

from pathlib import Path

import pandas as pd

table = pd.read_csv(Path(__file__).parents[1] / "own_dataset" / "texas_housing.csv").dropna()
table = table.set_index(table["city"] + " " + table["year"].astype(str) + "-" + table["month"].astype(str))
X, y = table.drop(columns="median"), table["median"]  # which months of which city to look up next
labelled = X.sample(300, random_state=0).index

# recipe
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from bmdal import select_batch

columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["city"]), remainder="passthrough")
model = make_pipeline(columns, RandomForestRegressor(random_state=0)).fit(X.loc[labelled], y[labelled])
print(X.loc[select_batch(None, model, X.loc[labelled], None, X, 50, generator=0, exclude=labelled).ids])
