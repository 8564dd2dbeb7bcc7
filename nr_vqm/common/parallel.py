"""Parallel processing of many items: threads, local processes or a Dask cluster. See docs/scale.md."""

import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from nr_vqm.common import devices, memory

AHEAD = 4  # items submitted per thread, so that no thread is idle; submitting a million at once would fill the memory
READY = 4  # finished results that may wait for a slow one, as a multiple of the submitted items
TIMEOUT_SECONDS = 30  # to connect to a Dask scheduler
ATTEMPTS = 3  # workers that may die on one item before it fails
THREAD_VARIABLES = (  # of OpenVINO and NumPy, and of TensorFlow; without them each worker would start one per core
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
RESTART = "10 minutes"  # for the successor of a dead worker; Dask gives it up after 15 s, which busy machines exceed

Item = TypeVar("Item")
Result = TypeVar("Result")


class WorkerDied(ValueError):
    """Every worker that processed an item died."""


def map_in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    scheduler: str | None = None,
    threads: int = 1,
    on_death: Callable[[Item, WorkerDied], Result] | None = None,
) -> Iterator[Result]:
    """Call a function for every item in parallel; an item whose worker dies is retried.

    Args:
        function: called with one item. Every worker must be able to import it; functools.partial is possible.
        items: the items.
        workers: number of processes. 1 is the current process; more start a local Dask cluster.
        scheduler: address of a Dask scheduler whose workers can read the same files; `workers` is then ignored.
        threads: items processed at a time in the current process.
        on_death: called with an item on which every worker died and a WorkerDied; returns the result of the item.
            None raises the error.

    Yields:
        the results, in the order of the items.

    Raises:
        OSError: no Dask scheduler answers at the address, the connection to it is lost, or a worker process cannot
            start.
        WorkerDied: every worker died on an item, and `on_death` is None.
        Exception: any exception of the function.
    """
    if workers == 1 and not scheduler:
        yield from _in_this_process(function, items, threads)
        return
    with _client(workers, scheduler) as client:
        ahead = AHEAD * max(workers, sum(client.nthreads().values()))
        yield from _on_cluster(client, function, items, ahead, on_death)


def _in_this_process(function: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Iterator[Result]:
    """Yield results in order; at most AHEAD items per thread are submitted and not yet yielded."""
    if threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error the remaining items are not started
        pool.shutdown(cancel_futures=True)


def _on_cluster(
    client: Any,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    ahead: int,
    on_death: Callable[[Item, WorkerDied], Result] | None,
) -> Iterator[Result]:
    """Yield results in order; each is fetched as soon as it is ready, so that no result is lost with its worker.

    Args:
        client: distributed.Client.
        function, items, on_death: see `map_in_order`.
        ahead: number of items to submit at a time.
    """
    from distributed import CancelledError, KilledWorker, as_completed
    from distributed.comm.core import CommClosedError

    numbers: dict[Any, int] = {}  # index of the item of every submitted future
    ready: dict[int, Result] = {}  # finished results that wait for an earlier one
    running, position = as_completed(), 0
    waiting = iter(range(len(items)))

    def submit_more() -> None:
        room = min(ahead - len(numbers), READY * ahead - len(numbers) - len(ready))
        for number in itertools.islice(waiting, max(0, room)):
            future = client.submit(_in_worker, function, items[number], pure=False)
            numbers[future] = number
            running.add(future)

    submit_more()
    for future in running:
        number = numbers.pop(future)
        try:
            ready[number] = future.result()
        except KilledWorker:
            why = f"the {ATTEMPTS} processes that tried it died: out of memory, or a crash"
            if on_death is None:
                raise WorkerDied(f"{items[number]!r:.150}: {why}") from None
            ready[number] = on_death(items[number], WorkerDied(why))
        except (CancelledError, CommClosedError):
            raise _lost(client) from None
        while position in ready:
            result = ready.pop(position)
            position += 1
            submit_more()  # before the caller uses the result, which may take long
            yield result
        submit_more()


def _in_worker(function: Callable[[Item], Result], item: Item) -> Result:
    memory.keep_freed_memory()
    return function(item)


def _lost(client: Any) -> OSError:
    """Return the error of a scheduler that no longer answers; the client stops trying to reach it."""
    client._timeout = 0.1
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # it would log a traceback at its end
    return OSError(
        f"The connection to the Dask scheduler at {client.scheduler.address} is lost. Start one, and run the command "
        "again: what was finished is kept."
    )


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    """Connect to a Dask scheduler, or start a local cluster; yield the distributed.Client."""
    import dask
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        # One item at a time in a worker: other items in a worker that dies would be suspected as well.
        scheduling = {"allowed-failures": ATTEMPTS - 1, "worker-saturation": 1.0}
        settings: dict[str, Any] = {f"distributed.scheduler.{name}": value for name, value in scheduling.items()}
        settings["distributed.deploy.lost-worker-timeout"] = RESTART
        stack.enter_context(dask.config.set(settings))
        if scheduler:
            # It would report a lost connection on standard error, besides the command.
            logging.getLogger("distributed").setLevel(logging.WARNING)
            try:
                client = Client(scheduler, timeout=TIMEOUT_SECONDS)
            except (OSError, ValueError) as error:
                raise OSError(f"No Dask scheduler answers at {scheduler}: {error}") from error
            yield stack.enter_context(_closing(client))
            return
        share = str(max(1, devices.cores() // workers))
        threads = {f"distributed.nanny.pre-spawn-environ.{name}": share for name in THREAD_VARIABLES}
        stack.enter_context(dask.config.set(threads))  # what the user has set goes before
        # No memory limit: Dask would stop workers at a share of the machine's memory, and our own use is bounded.
        try:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=None,
                # Of its status page, which it always serves: the usual port may be that of another command.
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                silence_logs="ERROR",
            )
        except RuntimeError as error:
            raise OSError(
                f"{workers} worker processes are needed, one of them ended while it started ({error}). Free memory, or "
                "use fewer workers."
            ) from error
        yield stack.enter_context(_closing(Client(stack.enter_context(cluster))))


@contextlib.contextmanager
def _closing(client: Any) -> Iterator[Any]:
    """Close a distributed.Client at the end; a scheduler that no longer answers must not replace the error."""
    try:
        yield client
    finally:
        with contextlib.suppress(TimeoutError):
            client.close()
