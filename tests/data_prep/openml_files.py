"""Small files as openml.org serves them, with made-up rows."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pandas as pd

N = 300


def table(name: str) -> pd.DataFrame:
    """Made-up rows with the columns of the published set, or ones like them."""
    r = np.random.default_rng(3)
    if name == "mlr_knn_rng":
        frame = pd.DataFrame({"k": r.integers(1, 51, N), "ef": r.uniform(3, 9, N).round(3)})
        frame["distance"] = pd.Categorical(r.choice(["l2", "cosine", "inner product"], N))
        frame["flag"] = pd.Categorical(r.choice(["TRUE", "FALSE"], N))
        frame["task id"] = pd.Categorical(r.choice(["3", "11", "219", "it's"], N))
        frame.loc[r.choice(N, 5, replace=False), "ef"] = np.nan
        frame.loc[r.choice(N, 5, replace=False), "distance"] = None
        return frame.assign(**{"perf.mmce": r.random(N), "perf.logloss": r.random(N)})
    if name == "diamonds":
        columns = {c: r.uniform(0, 9, N).round(2) for c in ("carat", "depth", "table", "price", "x", "y", "z")}
        cuts = ["Fair", "Good", "Ideal", "Premium", "Very Good"]
        return pd.DataFrame(columns).assign(cut=pd.Categorical(r.choice(cuts, N)))
    columns = {
        "fried": [f"X{i}" for i in range(1, 11)] + ["Y"],
        "methane": ["hour", "minute"] + [f"AN{i}" for i in range(31)] + ["MM263", "MM264", "MM256"],
        "stock": [f"company{i}" for i in range(1, 11)],
        "protein": ["RMSD"] + [f"F{i}" for i in range(1, 10)],
    }[name]
    frame = pd.DataFrame(r.standard_normal((N, len(columns))).round(4), columns=columns)
    if name == "methane":
        frame["hour"] = r.integers(0, 24, N)  # whole numbers: integers in parquet, NUMERIC in ARFF
    return frame


def as_arff(frame: pd.DataFrame) -> bytes:
    """ARFF as OpenML serves it: comments above, names and values quoted where they have to be, '?' for missing."""

    def quoted(text: str) -> str:
        plain = text.replace("_", "").replace(".", "").isalnum()
        return text if plain else "'" + text.replace("'", "\\'") + "'"

    lines = ["% made up", "@RELATION small", ""]
    for column, kind in frame.dtypes.items():
        values = ",".join(map(quoted, frame[column].cat.categories)) if kind == "category" else ""
        lines.append(f"@ATTRIBUTE {quoted(str(column))} {f'{{{values}}}' if values else 'NUMERIC'}")
    lines.append("\n@DATA")
    for row in frame.itertuples(index=False):
        lines.append(",".join("?" if pd.isna(v) else quoted(v) if isinstance(v, str) else repr(v) for v in row))
    return ("\n".join(lines).replace("np.float64(", "").replace(")", "") + "\n% the end\n").encode()


def as_parquet(frame: pd.DataFrame) -> bytes:
    """Parquet as OpenML serves it, written by pandas."""
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def description(id: int, arff: bytes, arff_address: str, parquet_address: str | None, extra: str = "") -> bytes:
    """description.xml as OpenML serves it."""
    parquet = f"<oml:parquet_url>{parquet_address}</oml:parquet_url>" if parquet_address else ""
    return f"""<oml:data_set_description xmlns:oml="http://openml.org/openml">
  <oml:id>{id}</oml:id><oml:name>small</oml:name><oml:version>1</oml:version><oml:format>ARFF</oml:format>
  <oml:url>{arff_address}</oml:url>{parquet}{extra}
  <oml:md5_checksum>{hashlib.md5(arff).hexdigest()}</oml:md5_checksum>
</oml:data_set_description>""".encode()
