"""Work on many videos: in this process, in several of this machine, or on any Dask cluster. docs/scale.md."""

import contextlib
import itertools
from collections import deque
from concurrent.futures import ThreadPoolExecutor

AHEAD = 4  # pieces of work handed out per thread, so that no thread waits; a million at once would fill the memory
READY = 4  # times as many results may wait for one that takes longer
TIMEOUT_SECONDS = 30
ATTEMPTS = 3  # that a piece of work has whose worker dies


class WorkerDied(ValueError):
    """Every worker that tried a piece of work died."""


def each(function, items, *, workers, scheduler=None, threads=1, on_death=None):
    """Call `function` for every item; a worker that dies costs its item a retry, never the run.

    Args:
        function: of one item; what it needs is to be importable on every worker (functools.partial will do).
        items: a list.
        workers: processes; 1 is this one. More are a local Dask cluster.
        scheduler: address of a Dask scheduler, whose workers see the same files; `workers` then says nothing.
        threads: items at a time in this process.
        on_death: function(item, WorkerDied) -> the result of an item that kills every worker; None raises the error.

    Yields:
        the results, in the order of `items`.

    Raises:
        OSError: no scheduler answers there.
        whatever `function` raises.
    """
    if workers == 1 and not scheduler:
        yield from _in_this_process(function, items, threads)
        return
    with _client(workers, scheduler) as client:
        ahead = AHEAD * max(workers, sum(client.nthreads().values()))
        yield from _on_cluster(client, function, items, ahead, on_death)


def _in_this_process(function, items, threads):
    """Yield results in order; at most AHEAD per thread are begun and not yielded."""
    if threads == 1:
        yield from map(function, items)
        return
    pool, waiting = ThreadPoolExecutor(threads), deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # after an error the rest is not begun
        pool.shutdown(cancel_futures=True)


def _on_cluster(client, function, items, ahead, on_death):
    """Yield results in order; they are fetched as they come, so that a worker that dies later takes none with it."""
    from distributed import KilledWorker, as_completed

    numbers, ready, running, position = {}, {}, as_completed(), 0
    waiting = iter(range(len(items)))

    def hand_out():
        room = min(ahead - len(numbers), READY * ahead - len(numbers) - len(ready))
        for number in itertools.islice(waiting, max(0, room)):
            future = client.submit(function, items[number], pure=False)
            numbers[future] = number
            running.add(future)

    hand_out()
    for future in running:
        number = numbers.pop(future)
        try:
            ready[number] = future.result()
        except KilledWorker:
            why = f"the {ATTEMPTS} processes that tried it died: too little memory, or a crash"
            if on_death is None:
                raise WorkerDied(f"{items[number]!r:.150}: {why}") from None
            ready[number] = on_death(items[number], WorkerDied(why))
        while position in ready:
            result = ready.pop(position)
            position += 1
            hand_out()  # before the result is used, which may take its time
            yield result
        hand_out()


@contextlib.contextmanager
def _client(workers, scheduler):
    import dask
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as stack:
        # One item at a time in a worker: those beside an item that kills it would count as suspicious too.
        settings = {"allowed-failures": ATTEMPTS - 1, "worker-saturation": 1.0}
        settings = {f"distributed.scheduler.{name}": value for name, value in settings.items()}
        stack.enter_context(dask.config.set(settings))
        if scheduler:
            try:
                client = Client(scheduler, timeout=TIMEOUT_SECONDS)
            except (OSError, ValueError) as error:
                raise OSError(f"No Dask scheduler answers at {scheduler}: {error}") from error
            yield stack.enter_context(client)
            return
        # No memory limit: Dask would stop workers at a share of the machine's, and our own use is bounded.
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None, silence_logs="ERROR"
        )
        yield stack.enter_context(Client(stack.enter_context(cluster)))
