"""Gradient boosting: LightGBM with bagging, and CatBoost with virtual ensembles.

Needs lightgbm, catboost and scikit-learn.
"""

import numpy as np

rng = np.random.default_rng(0)
X = rng.uniform(size=(5_000, 6))
y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
x_train, y_train, x_pool = X[:400], y[:400], X[400:]

# recipe
from catboost import CatBoostRegressor
from lightgbm import LGBMRegressor
from sklearn.ensemble import BaggingRegressor

from bmdal import select_batch

bagged = BaggingRegressor(LGBMRegressor(n_estimators=50, verbose=-1), 20, random_state=0).fit(x_train, y_train)
print(select_batch("bait-f-p_pred", bagged, x_train, None, x_pool, 50, generator=0).indices)
boosted = CatBoostRegressor(200, posterior_sampling=True, allow_writing_files=False).fit(x_train, y_train, silent=True)
print(select_batch("bait-f-p_pred", boosted, x_train, None, x_pool, 50, generator=0).indices)
