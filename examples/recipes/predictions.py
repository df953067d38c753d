"""A matrix of predictions from any models: one column per model, one row per candidate; with costs and groups.

Needs nothing but bmdal.
"""

import numpy as np

rng = np.random.default_rng(0)
x_pool = rng.uniform(-1, 1, size=(20_000, 3))
models = [rng.normal(size=3) for _ in range(30)]  # thirty simulators with slightly different settings
predictions = np.stack([np.sin(3 * x_pool @ (1 + 0.2 * w)) for w in models], axis=1)  # (20,000, 30)
price, supplier = rng.lognormal(size=20_000), rng.integers(0, 40, 20_000)

# recipe
from bmdal import select

batch = select("bait-f-p_pred", predictions, batch_size=50, generator=0, costs=price, groups=supplier, per_group=2)
print(batch.indices, price[batch.indices].sum())
