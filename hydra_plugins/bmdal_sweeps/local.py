"""hydra/launcher=local: run jobs in several processes that share the cores of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hydra.core.utils import JobReturn

from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher


class LocalLauncher(JoblibLauncher):  # type: ignore[misc]  # untyped
    """The joblib launcher with one process per GPU, or one per core if there is no GPU.

    joblib gives each process its share of the cores: two processes with threads that compete for the same cores are
    many times slower than two with one thread each.

    n_jobs: number of processes, or "auto".
    """

    def __init__(self, n_jobs: int | str) -> None:
        if n_jobs != "auto" and (type(n_jobs) is not int or n_jobs < 1):
            print(f"error: hydra.launcher.n_jobs must be auto or at least 1, got {n_jobs!r}", file=sys.stderr)
            sys.exit(2)
        super().__init__(n_jobs=_n_processes() if n_jobs == "auto" else n_jobs, batch_size=1)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs in at most as many processes as there are jobs. The processes end when this one ends."""
        from cli.processes import work_for

        self.joblib["n_jobs"] = min(self.joblib["n_jobs"], len(job_overrides))
        self.joblib |= {"initializer": work_for, "initargs": (os.getpid(),)}
        print(f"{self.joblib['n_jobs']} processes", flush=True)
        returned: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return returned


def _n_processes() -> int:
    import joblib
    import torch

    return torch.cuda.device_count() or joblib.cpu_count()
