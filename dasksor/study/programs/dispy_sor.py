"""SOR on a dense matrix with dispy and NumPy, as the founding course project had it in 2014.

    python dispy_sor.py A.npy B.npy X [--workers N] [--omega W] [--synchronous]
                        [--rtol R] [--timeout SECONDS]

Each job owns an equal contiguous block of rows; rows and ``x`` are mapped from files, so that no
matrix is shipped. Asynchronous jobs change ``x`` in place and never wait; a job raises its flag
when the residuals of a sweep were small, and returns when all flags are up. That every job has
returned is the barrier: the client then measures ``b - A x``, and starts new jobs if it is not
small. Synchronous jobs do one sweep each and return their part of ``x``. Nodes are started here,
one on a loopback address each, as dispy lets none have more jobs than cores, and stopped. JSON is
printed.
"""

import argparse
import collections
import contextlib
import ctypes
import inspect
import json
import logging
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import dispy
import numpy as np

# dispy 4.15.2 looks at the arguments of job_status with what Python 3.11 no longer has.
if not hasattr(inspect, "getargspec"):
    ArgSpec = collections.namedtuple("ArgSpec", "args varargs keywords defaults")
    inspect.getargspec = lambda function: ArgSpec(*inspect.getfullargspec(function)[:4])

PROVISIONAL = 0.25  # seconds between two provisional results of a job
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
QUIET = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


def relax(A, b, x, begin, end, omega):
    """One Gauss-Seidel sweep over a block of rows; the sum of its squared residuals."""
    squares = 0.0
    for i in range(begin, end):
        rest = b[i] - A[i].dot(x)
        x[i] += omega / A[i, i] * rest
        squares += rest * rest
    return squares


def free(folder, block, blocks, omega, quiet, deadline, every):
    """The asynchronous job."""
    import os
    import time

    import numpy as np

    A = np.load(folder + "/A.npy", mmap_mode="r")
    b = np.load(folder + "/b.npy")
    x = np.memmap(folder + "/x", mode="r+")
    flags = np.memmap(folder + "/flags", dtype=np.uint8, mode="r+")
    x = np.asarray(x.view(np.float64))
    begin, end = len(b) * block // blocks, len(b) * (block + 1) // blocks
    sweeps, compute, due, node = 0, 0.0, time.time() + every, os.getppid()
    A = np.asarray(A)
    while not flags.all() and time.time() < deadline and os.getppid() == node:
        start = time.time()
        squares = relax(A, b, x, begin, end, omega)
        now = time.time()
        compute, sweeps = compute + now - start, sweeps + 1
        flags[64 * block : 64 * block + 64] = squares <= quiet
        if now > due:
            dispy_provisional_result((block, sweeps, squares))  # noqa: F821
            due = now + every
        # Others may wait for this core: sweeps against values that nobody renews are wasted.
        os.sched_yield()
    return {"sweeps": sweeps, "compute": compute}


def step(folder, block, blocks, omega, x):
    """The synchronous job."""
    import time

    import numpy as np

    A = np.asarray(np.load(folder + "/A.npy", mmap_mode="r"))
    b = np.load(folder + "/b.npy")
    begin, end = len(b) * block // blocks, len(b) * (block + 1) // blocks
    start = time.time()
    squares = relax(A, b, x, begin, end, omega)
    return {"x": x[begin:end], "squares": squares, "compute": time.time() - start}


class Nodes:
    """dispynode processes on loopback addresses."""

    def __init__(self, workers, folder):
        cores = os.cpu_count()
        self.port = free_port()
        self.hosts, self._processes = [], []
        for k in range(-(-workers // cores)):
            host = f"127.0.0.{k + 1}"
            cpus = min(cores, workers - k * cores)
            place = pathlib.Path(folder, f"node{k}")
            place.mkdir()
            command = [
                sys.executable, "-m", "dispy.dispynode", "-c", str(cpus), "-i", host,
                "-p", str(self.port), "--dest_path_prefix", str(place), "--daemon", "--clean",
                "--name", f"node{k}",
            ]  # fmt: skip
            process = subprocess.Popen(
                command, cwd=place, start_new_session=True, env=os.environ | ONE_THREAD,
                preexec_fn=end_with_parent, **QUIET,
            )  # fmt: skip
            self._processes.append(process)
            self.hosts.append(host)

    def close(self):
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def end_with_parent():
    """Let the kernel end this process when the one that started it is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def free_port():
    """The first of three free ports: client, node, scheduler."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            for number in range(port, port + 3):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue


class Client:
    def __init__(self, given, folder, nodes):
        self.given, self.folder = given, folder
        self.A, self.b = np.load(given.A, mmap_mode="r"), np.load(given.b)
        np.zeros(self.b.size).tofile(folder / "x")
        self.target = given.rtol * np.linalg.norm(self.b)
        self.cluster = dispy.JobCluster(
            step if given.synchronous else free,
            nodes=nodes.hosts, depends=[relax], job_status=self.hear, host="127.0.0.1",
            dispy_port=nodes.port, ping_interval=1, loglevel=logging.CRITICAL,
            recover_file=str(pathlib.Path(folder, "recover")),
        )  # fmt: skip
        self.workers = given.workers
        self.forget()

    def forget(self):
        self.sweeps = np.zeros(self.workers, int)
        self.compute = self.tests = 0.0
        self.heard, self.bytes, self.history = 0, 0, []

    def hear(self, job):
        """A provisional result has come, or a job has ended."""
        self.heard += 1

    def round(self, *what):
        """One job for each block, all at once; what they return."""
        jobs = [
            self.cluster.submit(str(self.folder), block, self.workers, self.given.omega, *what)
            for block in range(self.workers)
        ]
        found = []
        for block, job in enumerate(jobs):
            part = job()
            if part is None:
                raise RuntimeError(f"job {block} failed: {job.exception or job.status}")
            self.compute += part["compute"]
            self.sweeps[block] += part.get("sweeps", 1)
            found.append(part)
        return found

    def measure(self, x):
        began = time.perf_counter()
        norm = float(np.linalg.norm(self.b - self.A @ x))
        self.tests += time.perf_counter() - began
        relative = norm / float(np.linalg.norm(self.b))
        self.history.append([time.perf_counter() - self.began, float(self.sweeps.mean()), relative])
        return norm

    def run(self):
        # Nodes are found and given the functions with the first jobs: what is timed comes later.
        self.round(np.zeros(self.b.size)) if self.given.synchronous else self.start(0.0, 0.0)
        self.forget()
        self.began = time.perf_counter()
        x = self.synchronous() if self.given.synchronous else self.asynchronous()
        seconds = time.perf_counter() - self.began
        np.asarray(x).tofile(self.given.x)
        return {
            "seconds": seconds, "omega": self.given.omega, "sweeps_per_block": self.sweeps.tolist(),
            "compute": self.compute, "tests": self.tests,
            "waiting": max(0.0, seconds * self.workers - self.compute - self.tests),
            "messages": self.heard, "bytes": self.bytes, "history": self.history,
        }  # fmt: skip

    def late(self):
        return time.perf_counter() - self.began > self.given.timeout

    def start(self, quiet, deadline):
        # A cache line for each flag.
        np.zeros(64 * self.workers, np.uint8).tofile(self.folder / "flags")
        self.round(quiet, deadline, PROVISIONAL)

    def asynchronous(self):
        x = np.memmap(self.folder / "x", mode="r+").view(np.float64)
        quiet = self.target**2 / self.workers
        deadline = time.time() + self.given.timeout
        while True:
            self.start(quiet, deadline)
            if not self.target < self.measure(x) < np.inf or self.late():
                return x

    def synchronous(self):
        x = np.zeros(self.b.size)
        while True:
            found = self.round(x)
            self.bytes += self.workers * x.nbytes + x.nbytes
            x = np.concatenate([part["x"] for part in found])
            squares = sum(part["squares"] for part in found)
            if (squares <= self.target**2 and self.measure(x) <= self.target) or self.late():
                return x
            if not np.isfinite(squares):
                return x


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("A", "b", "x"):
        parser.add_argument(name)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--omega", type=float, default=1.0)
    parser.add_argument("--synchronous", action="store_true")
    parser.add_argument("--rtol", type=float, default=1e-8)
    parser.add_argument("--timeout", type=float, default=60.0)
    given = parser.parse_args()
    given.x = os.path.abspath(given.x)
    with tempfile.TemporaryDirectory(prefix="dispy-sor-") as name:
        folder = pathlib.Path(name)
        (folder / "A.npy").symlink_to(os.path.abspath(given.A))
        (folder / "b.npy").symlink_to(os.path.abspath(given.b))
        given.A, given.b = folder / "A.npy", folder / "b.npy"
        nodes = Nodes(given.workers, folder)
        try:
            client = Client(given, folder, nodes)
            fields = client.run()
        finally:
            nodes.close()
    print(json.dumps(fields), flush=True)
    # dispy's threads would wait for nodes that are gone.
    os._exit(0)


if __name__ == "__main__":
    main()
