"""The leaderboard: all methods with runs of one protocol, ranked, with their cost and where their records are.

The protocol is an archive of runs: its experiment, task, training, data sets and splits. Methods come from this archive
("published"), from checked archives in a folder ("submission", see `results.submission`) and from the user's own runs.
"""

from __future__ import annotations

import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from results.aggregate import selection_seconds
from results.errors import NoRecordsError, ResultsError
from results.load import load_records
from results.methods import RANDOM, selected_methods
from results.record import RecordError
from results.render import Cell, Table
from results.statistics import CONFIDENCE, paired_values
from results.tables import METRIC_LABELS, METRIC_NAMES

_HERE = Path(__file__).parent
LEADERBOARD = "leaderboard"
RERUN_FILE = "rerun.json"
PUBLISHED, OWN = "published", "your runs"
_N_RESAMPLES = 2000
_FEW = 20


@dataclass(frozen=True)
class Contest:
    """The records that are compared, and notes on what was left out.

    `frame` is like that of `load_records`, with a column `origin` (published, submission or your runs) and a column
    `place`, which says where the runs of a method are.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The experiment and task, for titles."""
        return f"{self.frame['experiment'].iloc[0]}, {self.frame['task'].iloc[0]}"

    @property
    def shown(self) -> list[str]:
        """The methods of a figure that cannot show all: the paper's choice, submissions and the user's own."""
        new = self.frame.loc[self.frame["origin"] != PUBLISHED, "method"].unique()
        published = self.frame.loc[self.frame["origin"] == PUBLISHED, "method"].unique()
        return [*selected_methods("relu", [str(m) for m in published]), *map(str, new)]


def leaderboard_paths(protocol: str | None, submissions: str | None) -> tuple[Path, Path]:
    """Return the archive of the protocol and the folder of submissions; None: those of this checkout."""
    return Path(protocol or _HERE / "lite.zip"), Path(submissions or _HERE / "submissions")


def gather(protocol: Path, submissions: Path, runs: Path | None = None, *, skip_damaged: bool = False) -> Contest:
    """Read the runs of the protocol, of all submissions and, if given, those of the protocol in the folder `runs`.

    A method of `runs` takes part if neither the protocol nor a submission has it, and if all its runs are there, with
    the protocol's task, training and data.

    Raises ResultsError if an archive cannot be read, or RecordError if a record is damaged; with `skip_damaged`, those
    in `runs` are named in the notes.
    """
    published = _load(protocol, PUBLISHED)
    archives = sorted(submissions.glob("*.zip"))
    taken = pd.concat([published, *(_load(archive, f"submission {archive.stem}") for archive in archives)])
    if runs is None:
        return Contest(taken, ())
    if not runs.exists():
        return Contest(taken, (f"no runs of your own: there is no folder or archive {runs}",))
    own, skipped = pd.DataFrame(columns=published.columns), list[RecordError]()
    with suppress(NoRecordsError):
        own = load_records(runs, skipped=skipped if skip_damaged else None).assign(origin=OWN, place=str(runs))
    for key in ("experiment", "task"):
        own = own[own[key].astype(str) == str(published[key].iloc[0])]
    pairs = _pairs(published)
    own = own[_pairs(own).isin(pairs) & ~own["method"].isin(list(taken["method"].unique()))]
    kept, notes = [taken], [f"skipped: {error}" for error in skipped]
    for method, part in own.groupby("method", observed=True):
        reason = _why_not(part, published)
        if reason:
            notes.append(f"{method} of {runs} is left out: {reason}")
        else:
            kept.append(part)
    return Contest(pd.concat(kept), tuple(notes))


def _load(archive: Path, origin: str) -> pd.DataFrame:
    frame = load_records(archive)
    if origin != PUBLISHED:
        with suppress(OSError, ValueError, KeyError), zipfile.ZipFile(archive) as files:
            rerun = json.loads(files.read(RERUN_FILE))
            origin += f", rerun of {rerun['run']} agrees ({rerun['difference']:+.3f})" if rerun else ", not rerun"
    return frame.assign(origin=origin, place=f"{archive.parent.name}/{archive.name}")


def _pairs(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[["dataset", "split"]].astype({"dataset": str, "split": int}))


def _why_not(part: pd.DataFrame, published: pd.DataFrame) -> str | None:
    """Return why a method's runs do not belong to the protocol, or None."""
    missing = _pairs(published).unique().difference(_pairs(part))
    if len(missing):
        return "it lacks " + ", ".join(f"{dataset} split {split}" for dataset, split in missing)
    if len(settings := sorted(part["method_settings"].astype(str).unique())) > 1:
        return f"its runs have different settings: {'; '.join(settings)}"
    for name, by in (("task_settings", ["task"]), ("training", ["task"]), ("data_hash", ["dataset"])):
        ours = {tuple(row) for row in part[[*by, name]].astype(str).drop_duplicates().to_numpy()}
        theirs = {tuple(row) for row in published[[*by, name]].astype(str).drop_duplicates().to_numpy()}
        if other := sorted(ours - theirs):
            return f"its {name.replace('_', ' ')} is {other[0][-1]}, and the protocol's is {sorted(theirs)[0][-1]}"
    return None


def leaderboard(contest: Contest, metric: str = "rmse") -> pd.DataFrame:
    """Return a row per method, the lowest mean rank first.

    With e(m, p) the mean log metric of method m over rounds 1..n on the pair p of data set and split:

        mean_rank = mean over p of the rank of e(m, p) among all methods (1 is best; ties share their mean rank)
        error     = mean over p of e(m, p) - e(random, p)

    Every data set has equally many splits, so the mean over pairs is the mean over data sets. `rank_low`, `rank_high`,
    `error_low` and `error_high` are 95 % percentile bootstrap intervals; pairs are resampled with replacement, the same
    ones for all methods. Ranks are not computed again: the field of methods is fixed.
    Further columns: `seconds` of kernel and selection per batch, `device`, `n_runs`, `code_version`, `origin`, `place`.

    Raises ResultsError if random has no runs or the data sets have different numbers of splits.
    """
    frame = contest.frame
    values = paired_values(frame, metric)
    if RANDOM not in values:
        raise ResultsError(f"the protocol needs runs of {RANDOM}, with which the others are compared")
    if values.isna().any(axis=None) or values.groupby(level="dataset", observed=True).size().nunique() > 1:
        raise ResultsError("the protocol needs all methods on all of its splits, equally many of each data set")
    columns: dict[str, pd.Series] = {}
    named = {"mean_rank": values.rank(axis=1), "error": values.sub(values[RANDOM], axis=0)}
    for name, sample in named.items():
        short = name.removeprefix("mean_")
        columns |= {name: sample.mean(), **_interval(sample, short)}
    board = pd.DataFrame(columns).join(_facts(frame))
    return board.sort_values(["mean_rank", "error"]).reset_index(names="method")


def _interval(sample: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    if len(sample) < 2:
        nothing = pd.Series(np.nan, index=sample.columns)
        return {f"{name}_low": nothing, f"{name}_high": nothing}
    result = stats.bootstrap(
        (sample.to_numpy(),),
        np.mean,
        n_resamples=_N_RESAMPLES,
        vectorized=True,
        axis=0,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    ends = {"low": result.confidence_interval.low, "high": result.confidence_interval.high}
    return {f"{name}_{end}": pd.Series(value, index=sample.columns) for end, value in ends.items()}


def _facts(frame: pd.DataFrame) -> pd.DataFrame:
    """Return what else is known of each method, indexed by method."""
    rows = {}
    for method, part in frame.groupby("method", observed=True):
        texts = {name: ", ".join(sorted(part[name].astype(str).unique())) for name in ("device", "code_version")}
        rows[str(method)] = {
            "seconds": float(selection_seconds(part)["seconds"].iloc[0]),
            "n_runs": len(_pairs(part).unique()),
            "origin": str(part["origin"].iloc[0]),
            "place": f"{part['place'].iloc[0]}: {part['experiment'].iloc[0]}/*/{part['task'].iloc[0]}/{method}",
            **texts,
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def leaderboard_table(contest: Contest, metric: str = "rmse") -> Table:
    """Make the table of the leaderboard. Raises ResultsError as `leaderboard` does."""
    board = leaderboard(contest, metric)
    columns = (
        ("method", "Method"),
        ("mean_rank", "Mean rank"),
        ("rank_low", "95 % from"),
        ("rank_high", "to"),
        ("error", f"log {METRIC_LABELS[metric]} minus {RANDOM}"),
        ("error_low", "95 % from"),
        ("error_high", "to"),
        ("seconds", "Seconds per batch"),
        ("n_runs", "Runs"),
        ("origin", "Origin"),
        ("device", "Device"),
        ("code_version", "Code"),
        ("place", "Records"),
    )
    digits = {"mean_rank": 1, "rank_low": 1, "rank_high": 1}
    best = {name: board[name].min() for name in ("mean_rank", "error")}
    rows = tuple(
        tuple(
            Cell(row[name], digits=digits.get(name, 3), best=bool(row[name] == best.get(name, np.nan)))
            for name, _ in columns
        )
        for row in board.to_dict("records")
    )
    pairs = _pairs(contest.frame).unique()
    listed = ", ".join(f"{dataset} {split}" for dataset, split in pairs.sort_values())
    rough = "; with so few pairs, they are rough" if len(pairs) < _FEW else ""
    notes = (
        f"ranks among {len(board)} methods, and differences, by mean log {METRIC_NAMES[metric]} over the rounds, are "
        f"means over {len(pairs)} pairs of data set and split: {listed}",
        f"intervals: percentile bootstrap; pairs are resampled with replacement, the same ones for all methods{rough}",
        "seconds: kernel and selection per batch, on the devices named; comparable on one device only",
        *contest.notes,
    )
    return Table(f"leaderboard_{metric}", f"Leaderboard ({contest.title})", columns, rows, notes=notes)
