"""The processes that compute the runs of a sweep: on this machine by joblib, on a cluster by dask.distributed."""

import dataclasses
import os
import platform
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError, MissingDependencyError
from gantools.registry import suggest
from gantools.runs.store.progress import Progress

Function = Callable[..., Any]
Tasks = Sequence[tuple[Any, ...]]
KILLED_AT_MOST = 3  # times that processes of this machine are killed before the sweep is given up
SECONDS_TO_CONNECT = 30


@dataclasses.dataclass(frozen=True)
class Pool:
    """Where the runs of a sweep are computed.

    Args:
        jobs: processes on this machine; with 1 the runs are computed in this one, one after another.
        backend: "joblib" for processes of this machine, "dask" for the workers of a cluster.
        scheduler: address of the cluster's scheduler, such as "tcp://10.0.0.1:8786"; for "dask".

    Raises:
        GantoolsError: for what does not fit together.
    """

    jobs: int = 1
    backend: str = "joblib"
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise suggest("backend", self.backend, list(BACKENDS))
        if self.jobs < 1:
            raise GantoolsError(f"--jobs is {self.jobs}: pass the number of processes, at least 1.")
        if self.backend == "dask" and self.scheduler is None:
            raise GantoolsError(
                "--backend dask needs the address of a scheduler: start `dask scheduler` and workers, and pass "
                "--scheduler tcp://HOST:8786."
            )
        if self.backend != "dask" and self.scheduler is not None:
            raise GantoolsError("--scheduler is the address of a cluster: pass --backend dask with it.")
        if self.backend == "dask" and self.jobs > 1:
            raise GantoolsError("--jobs is for this machine; a cluster has as many jobs as `dask worker` was started.")

    @property
    def alone(self) -> bool:
        """Whether the runs are computed in this process."""
        return self.backend == "joblib" and self.jobs == 1

    def completed(self, function: Function, tasks: Tasks) -> Iterator[tuple[int, Any]]:
        """Yield the place of each task among the tasks and its result, as they end.

        A task whose process was killed is given to another, so a function has to find what it did before: see
        `gantools.sweeps.once.held`. In processes of their own tasks use one thread of PyTorch each.

        Args:
            function: called with the arguments of a task; both are pickled where they leave this process.
            tasks: arguments, a tuple for each task.

        Raises:
            GantoolsError: where no process can be had, or they are killed again and again; and whatever a task raises.
        """
        if self.alone:
            yield from ((place, function(*task)) for place, task in enumerate(tasks))
        elif tasks:
            yield from BACKENDS[self.backend](self, function, tasks)


def _by_joblib(pool: Pool, function: Function, tasks: Tasks) -> Iterator[tuple[int, Any]]:
    """Compute in processes of this machine; those that are left when one was killed are started again."""
    try:
        from joblib import Parallel, delayed
        from joblib.externals.loky.process_executor import TerminatedWorkerError
    except ImportError:
        raise MissingDependencyError("--jobs needs joblib: pip install 'gantools[sweeps]'.") from None
    one_by_one: Any = {"return_as": "generator_unordered", "batch_size": 1}
    left, killed = dict(enumerate(tasks)), 0
    while left:
        calls = [delayed(_numbered)(place, function, task) for place, task in left.items()]
        try:
            # One by one, and none sent before its turn: runs are long, and the first ones are wanted first.
            found: Any = Parallel(pool.jobs, backend="loky", **one_by_one)(calls)
            for place, result in found:
                del left[place]
                yield place, result
        except TerminatedWorkerError:
            killed += 1
            if killed > KILLED_AT_MOST:
                raise GantoolsError(
                    f"Processes of this sweep were killed {killed} times, for want of memory perhaps: give fewer "
                    "--jobs. The same command goes on with every run."
                ) from None


def _by_dask(pool: Pool, function: Function, tasks: Tasks) -> Iterator[tuple[int, Any]]:
    """Compute on the workers of a cluster; the scheduler gives what a lost one had to another."""
    try:
        import cloudpickle
        from distributed import Client, KilledWorker, as_completed
    except ImportError:
        raise MissingDependencyError("--backend dask needs dask: pip install 'gantools[dask]'.") from None
    try:
        client = Client(pool.scheduler, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise GantoolsError(
            f"No dask scheduler answers at {pool.scheduler} ({error}): start one with `dask scheduler` and workers "
            "with `dask worker ADDRESS --nthreads 1`."
        ) from None
    sweep, where = uuid.uuid4().hex[:8], (os.getcwd(), tuple(sys.path))
    with client:
        futures = [
            client.submit(_on_worker, cloudpickle.dumps((place, function, task)), *where, key=f"run-{sweep}-{place}")
            for place, task in enumerate(tasks)
        ]
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except KilledWorker as error:
            raise GantoolsError(
                f"A run was given up: {error.allowed_failures + 1} workers died while they computed it, for want of "
                "memory perhaps. The same command goes on with every run."
            ) from None
        finally:
            client.cancel(futures)


BACKENDS: dict[str, Callable[[Pool, Function, Tasks], Iterator[tuple[int, Any]]]] = {
    "joblib": _by_joblib,
    "dask": _by_dask,
}


def _numbered(place: int, function: Function, task: tuple[Any, ...]) -> tuple[int, Any]:
    """Return a task's place and result, computed with one thread: there are as many processes as cores."""
    import torch

    Progress.shown = False  # in this process, which is one of many
    torch.set_num_threads(1)
    return place, function(*task)


# A run seeds the global generators of its process, which it has for itself.
_ONE_AT_A_TIME = threading.Lock()


def _on_worker(call: bytes, folder: str, paths: tuple[str, ...]) -> tuple[int, Any]:
    """Compute a task on a worker, which stands in the folder and finds the modules that the sender does."""
    import cloudpickle

    if not Path(folder).is_dir():
        raise GantoolsError(
            f"{platform.node()} has no folder {folder}: a sweep on a cluster needs one file system for all its "
            "machines; start the command in a folder that they share."
        )
    with _ONE_AT_A_TIME:
        os.chdir(folder)
        sys.path += [path for path in paths if path not in sys.path]
        return _numbered(*cloudpickle.loads(call))
