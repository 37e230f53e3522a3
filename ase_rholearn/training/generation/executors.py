"""Where tasks run: processes of this machine, or an engine that knows a cluster."""

from __future__ import annotations

import runpy
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ...extras import needs
from .worker import close_children

Kind = Literal["processes", "executorlib", "dask", "parsl"]

#: Classes of executorlib by the name of the place where their processes run.
_EXECUTORLIB = {
    "single-node": "SingleNodeExecutor",
    "slurm-job": "SlurmJobExecutor",
    "slurm-cluster": "SlurmClusterExecutor",
    "flux-job": "FluxJobExecutor",
    "flux-cluster": "FluxClusterExecutor",
}


@dataclass(frozen=True)
class Workers:
    """How many structures are computed at once, and by whom.

    Attributes
    ----------
    kind
        ``"processes"`` of this machine; ``"executorlib"``, ``"dask"`` or ``"parsl"``.
    count
        Structures that are computed at once.
    threads
        Threads for each; the cores in use are count times threads.
    scheduler
        dask: address of a running scheduler (``tcp://...``), or its scheduler file. Left out:
        a cluster of this machine's processes is started.
    backend
        executorlib: ``"single-node"``, ``"slurm-job"`` (inside an allocation),
        ``"slurm-cluster"`` (submits jobs), ``"flux-job"`` or ``"flux-cluster"``.
    resources
        executorlib: its ``resource_dict``, such as the partition or the run time.
    config
        parsl: a Python file that defines ``config``, a ``parsl.Config``. Left out: processes
        of this machine.
    """

    kind: Kind = "processes"
    count: int = 1
    threads: int = 1
    scheduler: str | None = None
    backend: str = "single-node"
    resources: Mapping[str, Any] = field(default_factory=dict)
    config: Path | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}: give one of {', '.join(get_args(Kind))}")
        if self.count < 1:
            raise ValueError(f"count is {self.count}: give 1 or more")
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}: give 1 or more")
        if self.backend not in _EXECUTORLIB:
            raise ValueError(f"backend is {self.backend!r}: give one of {', '.join(_EXECUTORLIB)}")
        for name, kind, unset in (
            ("scheduler", "dask", None),
            ("backend", "executorlib", "single-node"),
            ("resources", "executorlib", {}),
            ("config", "parsl", None),
        ):
            if self.kind != kind and getattr(self, name) != unset:
                raise ValueError(f'{name} is given, but only kind = "{kind}" uses it')

        if self.backend == "slurm-cluster" and "partition" not in self.resources:
            raise ValueError(
                f"resources is {dict(self.resources)} without a partition, which SLURM jobs of "
                "executorlib need: give one of those that sinfo lists"
            )

    def executor(self) -> AbstractContextManager[Executor]:
        """The executor; leaving the block ends its processes.

        Raises
        ------
        ImportError
            The engine is not installed.
        """
        return _OPENERS[self.kind](self)


@contextmanager
def _processes(workers: Workers) -> Iterator[Executor]:
    # each thread only waits for a child process of its own, see worker.py
    with ThreadPoolExecutor(workers.count) as executor:
        try:
            yield executor
        except BaseException:
            # what is in flight is lost; nobody waits for it
            executor.shutdown(wait=False, cancel_futures=True)
            close_children()
            raise


@contextmanager
def _executorlib(workers: Workers) -> Iterator[Executor]:
    with needs("executorlib", "cluster"):
        import executorlib
    make = getattr(executorlib, _EXECUTORLIB[workers.backend])
    options: dict[str, Any] = {"max_workers": workers.count, "block_allocation": True}
    options["resource_dict"] = {"threads_per_core": workers.threads, **workers.resources}
    with ExitStack() as stack:
        if workers.backend == "single-node":
            options["hostname_localhost"] = True
        if workers.backend.endswith("-cluster"):
            # jobs find their scripts in it, on all machines: beside where the job was started
            folder = tempfile.TemporaryDirectory(prefix=".executorlib-", dir=Path.cwd())
            options["cache_directory"] = stack.enter_context(folder)
        try:
            with warnings.catch_warnings():
                # it passes them on all the same, such as the partition
                warnings.filterwarnings("ignore", message="The following keys are not recognized")
                executor = stack.enter_context(make(**options))
        except ImportError as error:
            raise ImportError(
                f"{error.name}, which executorlib needs for the backend {workers.backend!r}, is "
                "not installed: pip install 'executorlib[cluster]' for SLURM, or see its "
                "installation page"
            ) from error
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _dask(workers: Workers) -> Iterator[Executor]:
    with needs("distributed", "cluster"):
        from distributed import Client, LocalCluster
    with ExitStack() as stack:
        if workers.scheduler is None:
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers.count,
                    threads_per_worker=1,
                    dashboard_address=None,
                    memory_limit=0,
                )
            )
            client = stack.enter_context(Client(cluster))
        elif "://" in workers.scheduler:
            client = stack.enter_context(Client(workers.scheduler))
        else:
            client = stack.enter_context(Client(scheduler_file=workers.scheduler))
        executor = client.get_executor(pure=False)
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)
            raise
        executor.shutdown()


@contextmanager
def _parsl(workers: Workers) -> Iterator[Executor]:
    with needs("parsl", "cluster"):
        from parsl import Config
        from parsl.concurrent import ParslPoolExecutor
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider
    if workers.config is not None and not workers.config.exists():
        raise FileNotFoundError(f"config: there is no file {workers.config}")
    with tempfile.TemporaryDirectory() as folder:
        config: Any
        if workers.config is None:
            # parsl's own programs are beside Python's, which need not be in PATH
            scripts = sysconfig.get_path("scripts")
            local = HighThroughputExecutor(
                label="local",
                address="127.0.0.1",
                max_workers_per_node=workers.count,
                interchange_launch_cmd=[sys.executable, str(Path(scripts) / "interchange.py")],
                provider=LocalProvider(worker_init=f'export PATH="{scripts}:$PATH"'),
            )
            config = Config(executors=[local], run_dir=folder, initialize_logging=False)
        else:
            config = runpy.run_path(str(workers.config)).get("config")
            if not isinstance(config, Config):
                raise ValueError(f"{workers.config} does not define `config`, a parsl.Config")
        with ParslPoolExecutor(config) as executor:
            yield executor


_OPENERS: dict[str, Callable[[Workers], AbstractContextManager[Executor]]] = {
    "processes": _processes,
    "executorlib": _executorlib,
    "dask": _dask,
    "parsl": _parsl,
}
