"""A Dask scheduler and a worker in processes of their own, which a test may kill and start again."""

import os
import subprocess
import sys
import time
from pathlib import Path

START_SECONDS = 120


class Cluster:
    """A scheduler with one worker of one thread; a context manager that ends both.

    Attributes:
        url: address of the scheduler; the same after every start.
        scheduler, worker: their processes.
    """

    def __init__(self, folder, *search_path):
        """Describe the cluster; `start` starts it.

        Args:
            folder: a folder for the file that tells the address.
            search_path: folders from which the worker imports modules.
        """
        self._address = Path(folder) / "scheduler.json"
        self._env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, search_path))}
        self.url = self.scheduler = self.worker = None

    def start(self):
        """Start the scheduler, at its earlier address if it had one, and a new worker; wait until they are ready."""
        from distributed import Client

        port = self.url.rsplit(":", 1)[1] if self.url else "0"
        self._address.unlink(missing_ok=True)
        where = ["--host", "127.0.0.1", "--port", port, "--scheduler-file", self._address]
        self.scheduler, deadline = self._start("dask_scheduler", *where), time.monotonic() + START_SECONDS
        while not self._address.exists():
            assert self.scheduler.poll() is None and time.monotonic() < deadline, "the scheduler does not start"
            time.sleep(0.1)
        self.worker = self._start("dask_worker", "--scheduler-file", self._address, "--no-nanny", "--nthreads", "1")
        with Client(scheduler_file=str(self._address), set_as_default=False, timeout=START_SECONDS) as client:
            client.wait_for_workers(1, timeout=START_SECONDS)
            self.url = client.scheduler.address

    def _start(self, module, *options):
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *map(str, options)]
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=self._env)

    def kill(self):
        """Kill the scheduler and its worker."""
        for process in filter(None, (self.scheduler, self.worker)):
            process.kill()
            process.wait()

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
