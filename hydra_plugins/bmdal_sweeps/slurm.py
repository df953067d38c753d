"""hydra/launcher=slurm: SLURM job arrays of any size; a failed job does not affect the others."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn

from hydra_plugins.hydra_submitit_launcher.submitit_launcher import SlurmLauncher


class SlurmArrays(SlurmLauncher):  # type: ignore[misc]  # untyped
    """The submitit launcher for more jobs than one array may hold. It waits for all jobs, even if one fails."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the jobs, wait for all of them, and return the results of those that were not killed.

        Killed jobs are named on stderr; the sweeper finds out which of their runs are missing.
        """
        import cloudpickle
        import submitit

        assert self.config is not None
        parameters = {key: value for key, value in self.params.items() if value is not None}
        folder, max_num_timeout = parameters.pop("submitit_folder"), parameters.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=max_num_timeout)
        shared = {"name", "timeout_min", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb"}
        executor.update_parameters(**{k if k in shared else f"slurm_{k}": v for k, v in parameters.items()})
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        started = time.perf_counter()
        task = _Task(cloudpickle.dumps((self, Singleton.get_state())))
        jobs: list[Any] = []
        size = _largest_array()
        for first in range(0, len(job_overrides), size):
            part = job_overrides[first : first + size]
            numbers = range(initial_job_idx + first, initial_job_idx + first + len(part))
            jobs += executor.map_array(task, [list(overrides) for overrides in part], numbers)
        seconds = time.perf_counter() - started
        arrays = dict.fromkeys(job.job_id.partition("_")[0] for job in jobs)
        print(f"{len(jobs)} jobs submitted in {seconds:.1f} s, as array {', '.join(arrays)}", flush=True)
        return _wait(jobs, [" ".join(overrides) for overrides in job_overrides])


class _Task:
    """The task of one cluster job. Pickling the launcher takes most of the time, so it is done once for all jobs."""

    def __init__(self, launcher: bytes) -> None:
        self.launcher = launcher

    def __call__(self, overrides: list[str], number: int) -> JobReturn:
        launcher, singletons = pickle.loads(self.launcher)
        result: JobReturn = launcher(overrides, "hydra.sweep.dir", number, f"job_id_for_{number}", singletons)
        return result

    def checkpoint(self, overrides: list[str], number: int) -> Any:
        """Tell submitit to requeue the same task at the time limit; it resumes after its last round."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, overrides, number)


def _largest_array() -> int:
    """Return how many jobs an array may have on this cluster, which is one less than MaxArraySize."""
    try:
        done = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise OSError("this machine has no SLURM (no command scontrol); try hydra/launcher=local") from None
    except subprocess.CalledProcessError as error:
        raise OSError(f"SLURM does not answer: {error.stderr.strip()}") from None
    lines = dict(line.split("=", 1) for line in done.stdout.replace(" ", "").splitlines() if "=" in line)
    return max(1, int(lines["MaxArraySize"]) - 1)


def _wait(jobs: Sequence[Any], titles: Sequence[str]) -> list[JobReturn]:
    results, waiting = [], dict(zip(titles, jobs, strict=True))
    while waiting:
        for title, job in list(waiting.items()):
            if job.done():
                del waiting[title]
                if (error := job.exception()) is None:
                    results.append(job.results()[0])
                else:
                    print(f"job {job.job_id} {job.state}: {title}: {_last_line(error)}", file=sys.stderr, flush=True)
        if waiting:
            time.sleep(1.0)
    return results


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
