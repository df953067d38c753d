"""A messy table made from the shipped diamonds, as people have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

DIAMONDS = Path(__file__).resolve().parents[3] / "data_prep" / "bundled" / "diamonds.pq"
TYPOS = {"Ideal": "Idael", "Premium": "Premum", "Very Good": "very good", "Good": "Good ", "Fair": "FAIR"}


def diamonds(n: int, seed: int = 0) -> pd.DataFrame:
    """Some diamonds with an id, in random order."""
    frame = pd.read_parquet(DIAMONDS).sample(n, random_state=seed)
    frame.insert(0, "id", frame.index)
    return frame.reset_index(drop=True).astype({"cut": str, "color": str, "clarity": str})


def messy_diamonds(n_labelled: int, n_candidates: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labelled diamonds and candidates as text, 100 columns with the target.

    There are decimal commas, a unit, thousands separators, missing values in several spellings, categories with typos,
    ids, dates with the day first, a sentence per row, a constant column, columns that only one table has, and noise.
    """
    rng = np.random.default_rng(seed)
    n = n_labelled + n_candidates
    clean = diamonds(n, seed)
    table = pd.DataFrame({"stone": [f"S{i:06d}" for i in clean["id"]], "row": np.arange(1, n + 1).astype(str)})
    table["price"] = clean["price"].map(lambda price: f"{price:,}".replace(",", "."))
    table["carat"] = _comma(clean["carat"], 2) + " ct"
    for name in ("depth", "table", "x", "y", "z"):
        table[name] = _comma(clean[name], 2).mask(rng.random(n) < 0.05, pd.Series(rng.choice(["", "n/a", "-"], n)))
    for name in ("cut", "color", "clarity"):
        wrong = clean[name].map(lambda word: TYPOS.get(word, word))
        table[name] = clean[name].mask(rng.random(n) < 0.01, wrong)
    days = pd.Series(pd.Timestamp("2024-01-31") + pd.to_timedelta(rng.integers(0, 700, n), unit="D"))
    table["measured on"] = days.dt.strftime("%d.%m.%Y")
    words = np.array(["clear", "cloudy", "small", "large", "inclusion", "near", "edge", "none", "seen", "feather"])
    table["note"] = [" ".join(rng.choice(words, rng.integers(3, 9))) for _ in range(n)]
    table["supplier"] = "supplier " + pd.Series((300 * rng.random(n) ** 3).astype(int).astype(str))
    table["currency"] = "USD"
    for i in range(100 - len(table.columns) - 2):
        table[f"sensor {i}"] = _comma(pd.Series(rng.normal(size=n)), 3)
    labelled, candidates = table[:n_labelled], table[n_labelled:].reset_index(drop=True)
    labelled = labelled.assign(**{"paid by": "card", "invoice": [f"I{i}" for i in range(n_labelled)]})
    return labelled, candidates.drop(columns="price").assign(shop="north")


def write_messy(folder: Path, n_labelled: int, n_candidates: int, seed: int = 0) -> tuple[Path, Path]:
    """Write both as files of a German spreadsheet."""
    paths = folder / "labelled.csv", folder / "candidates.csv"
    for path, table in zip(paths, messy_diamonds(n_labelled, n_candidates, seed), strict=True):
        table.rename(columns={"note": "Prüfnotiz"}).to_csv(path, sep=";", index=False, encoding="cp1252")
    return paths


def _comma(numbers: pd.Series, digits: int) -> pd.Series:
    return numbers.map(lambda number: f"{number:.{digits}f}".replace(".", ","))
