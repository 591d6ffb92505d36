"""The Dask workers that run a sweep, on this machine or elsewhere (docs/scale.md)."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import resource_tracker
from typing import Any

from freqkd_lite.errors import UserError

ANSWER = 10  # seconds that a scheduler has
QUIET = logging.CRITICAL + 1  # an error is one sentence, without logs
LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
LOCAL: dict[str, Any] = {"host": "127.0.0.1", "memory_limit": 0, "silence_logs": QUIET}
LOCAL |= {"dashboard_address": "127.0.0.1:0", "worker_dashboard_address": "127.0.0.1:0"}
CONFIG = {
    "distributed.nanny.pre-spawn-environ": {},  # its OMP_NUM_THREADS=1 would reach the kernels
    "distributed.deploy.lost-worker-timeout": "1 day",  # 15 s to start another are not enough
}


async def _reach(address: str) -> None:
    """Raises where no Dask answers; a client that fails would hold the process for 20 s more."""
    from distributed import Security
    from distributed.comm.core import connect

    of_dask_s_configuration = Security().get_connection_args("client")
    try:
        async with asyncio.timeout(ANSWER):
            (await connect(address, timeout=ANSWER, **of_dask_s_configuration)).abort()
    except TypeError as error:  # no key for TLS, or no library for its protocol
        raise RuntimeError(error) from None
    except TimeoutError as error:
        raise OSError(str(error) or "it does not answer") from None


@contextmanager
def connected(workers: int, scheduler: str | None) -> Iterator:
    """A client of the Dask cluster at an address, or of one of `workers` processes, which listens
    to this machine alone and ends with the block. `UserError` if it can't be used or is gone."""
    import dask.config
    from distributed import Client, LocalCluster
    from distributed.comm.core import CommClosedError

    for name in LOGGERS:
        logging.getLogger(name).setLevel(QUIET)
    cluster = client = None
    # Ctrl-C is for this thread alone: threads and processes that start now inherit the mask.
    resource_tracker.ensure_running()  # whose start would remove it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        try:
            if scheduler:
                ThreadPoolExecutor(1).submit(asyncio.run, _reach(scheduler)).result()
            else:
                dask.config.set(CONFIG)
                cluster = LocalCluster(n_workers=workers, threads_per_worker=1, **LOCAL)
            client = Client(cluster or scheduler, timeout=ANSWER, set_as_default=False)
        except ValueError as error:  # of the address
            raise RuntimeError(error) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if scheduler:
            found = client.scheduler_info(n_workers=-1)["workers"]
            print(f"{scheduler}: {len(found)} workers", flush=True)
        if find_spec("bokeh"):
            print(f"dashboard: {client.dashboard_link}", flush=True)
        yield client
    except (CancelledError, OSError, ImportError, RuntimeError) as error:
        if getattr(error, "errno", None):  # not of the network, but of a disk
            raise
        gone = isinstance(error, (CancelledError, CommClosedError))
        why = "it is gone" if gone else str(error).partition("\n")[0]
        raise UserError(
            f"The Dask cluster at {scheduler or 'this machine'} can't be used ({why}): start one "
            "with this installation and rerun the command to resume."
        ) from None
    finally:
        if client:
            client.close()
        for nanny in cluster.workers.values() if cluster else ():
            nanny.close_gracefully()  # so that it does not start another worker
            if nanny.pid:  # what it is doing is of no use now
                os.kill(nanny.pid, signal.SIGKILL)
        if cluster:
            cluster.close()
