"""hydra/launcher=local: run jobs in several processes that share the cores and GPUs of this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hydra.core.utils import JobReturn

from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher


class LocalLauncher(JoblibLauncher):  # type: ignore[misc]  # untyped
    """The joblib launcher with some processes per GPU, or one per core if there is no GPU.

    joblib gives each process its share of the cores: two processes with threads that compete for the same cores are
    many times slower than two with one thread each.

    n_jobs: number of processes, or "auto".
    processes_per_gpu: number of processes for each GPU if n_jobs is "auto"; fewer if their jobs may not fit.
    """

    def __init__(self, n_jobs: int | str, processes_per_gpu: int) -> None:
        self.processes_per_gpu = _at_least_one("processes_per_gpu", processes_per_gpu)
        self.is_auto = n_jobs == "auto"
        super().__init__(n_jobs=0 if self.is_auto else _at_least_one("n_jobs", n_jobs, "auto or "), batch_size=1)

    def fit(self, n_gpus: int, job_bytes: float | None) -> None:
        """Choose the number of processes, if it is "auto".

        Args:
            n_gpus: GPUs that the jobs use, 0 for jobs on the CPU.
            job_bytes: memory in bytes that the largest job needs on its GPU, None if that is unknown.
        """
        import joblib
        import torch

        if not self.is_auto:
            return
        each = self.processes_per_gpu
        if n_gpus and job_bytes:
            total = min(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
            each = max(1, min(each, int(total / job_bytes)))
            if each < self.processes_per_gpu:
                needed = f"{job_bytes / 2**30:.1f} GiB for the largest job, {total / 2**30:.1f} GiB on a GPU"
                print(f"processes_per_gpu={self.processes_per_gpu}: only {each} may fit ({needed})", flush=True)
        self.joblib["n_jobs"] = n_gpus * each or joblib.cpu_count()

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs in at most as many processes as there are jobs. The processes end when this one ends."""
        from cli.processes import work_for

        if not self.joblib["n_jobs"]:  # a sweeper other than ours does not say what the jobs need
            self.fit(_n_gpus(), None)
        self.joblib["n_jobs"] = min(self.joblib["n_jobs"], len(job_overrides))
        self.joblib |= {"initializer": work_for, "initargs": (os.getpid(),)}
        print(f"{self.joblib['n_jobs']} processes", flush=True)
        returned: Sequence[JobReturn] = super().launch(job_overrides, initial_job_idx)
        return returned


def _n_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _at_least_one(name: str, value: int | str, others: str = "") -> int:
    if type(value) is not int or value < 1:
        print(f"error: hydra.launcher.{name} must be {others}at least 1, got {value!r}", file=sys.stderr)
        sys.exit(2)
    return value
