"""Small files in exactly the layout in which the data sets are published, with made-up rows."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.io

N = 400

ONLINE_VIDEO = (
    "id duration codec width height bitrate framerate i p b frames i_size p_size b_size size "
    "o_codec o_bitrate o_framerate o_width o_height umem utime"
)


@dataclass(frozen=True)
class Published:
    """One data set: the files in its archive (or the file itself), and how plain pandas reads it.

    read: gives the columns that are inputs or targets. targets: labels in that frame. archived: whether the new static
    address serves a zip archive.
    """

    files: dict[str, bytes]
    read: Callable[[], pd.DataFrame]
    targets: tuple[str | int, ...]
    log: bool = False
    archived: bool = True

    def zip(self) -> bytes:
        """The archive as a server sends it."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                archive.writestr(name, content)
        return buffer.getvalue()


def uci(name: str) -> Published:
    """The UCI data set of that name."""
    return {
        "sgemm": _sgemm,
        "wec_sydney": _wec_sydney,
        "ct_slices": _ct_slices,
        "kegg_undir": _kegg_undir,
        "online_video": _online_video,
        "query": _query,
        "poker": _poker,
        "road": _road,
    }[name](np.random.default_rng(7))


def _sgemm(r: np.random.Generator) -> Published:
    names = ["MWG", "NWG", "KWG", "MDIMC", "NDIMC", "MDIMA", "NDIMB", "KWI", "VWM", "VWN", "STRM", "STRN", "SA", "SB"]
    frame = pd.DataFrame(2 ** r.integers(0, 7, (N, 14)), columns=names)
    for run in range(1, 5):
        frame[f"Run{run} (ms)"] = r.lognormal(3, 1, N).round(2)
    text = frame.to_csv(index=False).encode()
    files = {"Readme.txt": b"...", "sgemm_product.csv": text, "__MACOSX/._sgemm_product.csv": b"\0\5\x16\7"}
    targets = tuple(f"Run{run} (ms)" for run in range(1, 5))
    return Published(files, lambda: pd.read_csv(io.BytesIO(text)), targets, log=True)


def _wec_sydney(r: np.random.Generator) -> Published:
    text = _no_header(r.uniform(0, 566, (N, 49)).round(4))
    others = {
        f"WECs_DataSet/{town}_Data.csv": _no_header(r.random((3, 49))) for town in ("Adelaide", "Perth", "Tasmania")
    }
    files = {**others, "WECs_DataSet/Sydney_Data.csv": text}
    return Published(files, lambda: pd.read_csv(io.BytesIO(text), header=None), (48,))


def _ct_slices(r: np.random.Generator) -> Published:
    values = r.random((N, 384)).round(6) * (r.random((N, 384)) < 0.3)
    values[:, [58, 68, 189, 351, 352]] = 0.0  # never touched by any image
    frame = pd.DataFrame(values, columns=[f"value{i}" for i in range(384)])
    frame.insert(0, "patientId", r.integers(0, 97, N))
    frame["reference"] = r.uniform(1, 97, N)
    text = frame.to_csv(index=False).encode()
    read = lambda: pd.read_csv(io.BytesIO(text)).drop(columns="patientId")  # noqa: E731
    return Published({"slice_localization_data.csv": text}, read, ("reference",))


def _kegg_undir(r: np.random.Generator) -> Published:
    frame = pd.DataFrame(r.integers(1, 500, (N, 28)) / r.choice([1, 7], (1, 28)), columns=range(1, 29))
    frame.insert(0, 0, [f"ko{i:05d} Glycolysis / Gluconeogenesis" for i in range(N)])
    frame[4] = frame[4].astype(object)
    frame.loc[r.choice(N, 9, replace=False), 4] = "?"
    text = frame.to_csv(index=False, header=False).encode()

    def read() -> pd.DataFrame:
        plain = pd.read_csv(io.BytesIO(text), header=None).drop(columns=0)
        plain[4] = pd.to_numeric(plain[4], errors="coerce")
        return plain

    return Published({"Reaction Network (Undirected).data": text}, read, (26,))


def _online_video(r: np.random.Generator) -> Published:
    names = ONLINE_VIDEO.split()
    codecs = ["mpeg4", "vp8", "flv", "h264"]
    frame = pd.DataFrame({name: r.uniform(1, 1000, N).round(3) for name in names})
    frame["id"] = [f"-{i:x}_Zp5G" for i in range(N)]
    frame["codec"], frame["o_codec"] = r.choice(codecs, N), r.choice(codecs, N)
    frame["b_size"] = 0
    text = frame.to_csv(index=False, sep="\t").encode()
    files = {"README.txt": b"...", "transcoding_mesurment.tsv": text, "youtube_videos.tsv": b"id\tduration\nx\t1\n"}
    read = lambda: pd.read_csv(io.BytesIO(text), sep="\t").drop(columns=["id", "umem"])  # noqa: E731
    return Published(files, read, ("utime",))


def _query(r: np.random.Generator) -> Published:
    frame = pd.DataFrame(r.uniform(0, 1, (N, 4)), columns=["x", "y", "x_range", "y_range"])
    frame["count"] = r.integers(0, 9, N).astype(float)
    frame["sum_"] = frame["count"] * 7.5
    frame["avg"] = frame["sum_"] / frame["count"]  # nothing where no point was counted, as in the real file
    text = frame.to_csv().encode()
    files = {
        "Datasets/Radius-Queries.csv": b"0.1,0.2,0.3\n",
        "Datasets/Range-Queries-Aggregates.csv": text,
        "__MACOSX/Datasets/._Range-Queries-Aggregates.csv": b"\0\5\x16\7",
    }
    read = lambda: pd.read_csv(io.BytesIO(text), index_col=0).drop(columns=["sum_", "avg"])  # noqa: E731
    return Published(files, read, ("count",))


def _poker(r: np.random.Generator) -> Published:
    cards = np.stack([r.integers(1, high + 1, N) for high in (4, 13) * 5], axis=1)
    text = _no_header(np.column_stack([cards, r.integers(0, 10, N)]))
    files = {"poker-hand-testing.data": text, "poker-hand-training-true.data": b"1,10,1,11,1,13,1,12,1,1,9\n"}
    files["poker-hand.names"] = b"1. Title: Poker Hand Dataset\n"
    read = lambda: pd.read_csv(io.BytesIO(text), header=None).astype(dict.fromkeys(range(10), "category"))  # noqa: E731
    return Published(files, read, (10,))


def _road(r: np.random.Generator) -> Published:
    rows = [f"{i},{x:.7f},{y:.7f},{z:.13f}" for i, (x, y, z) in enumerate(r.uniform(8, 60, (N, 3)), start=144552912)]
    text = ("\n".join(rows) + "\n").encode()
    read = lambda: pd.read_csv(io.BytesIO(text), header=None).drop(columns=0)  # noqa: E731
    return Published({"3D_spatial_network.txt": text}, read, (3,))


def sarcos() -> tuple[bytes, pd.DataFrame]:
    """The MATLAB file, and its inputs and target as a frame."""
    matrix = np.random.default_rng(7).standard_normal((N, 28))
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"sarcos_inv": matrix}, do_compression=True)
    return buffer.getvalue(), pd.DataFrame(matrix[:, :22])


def _no_header(values: np.ndarray) -> bytes:
    return pd.DataFrame(values).to_csv(index=False, header=False).encode()
