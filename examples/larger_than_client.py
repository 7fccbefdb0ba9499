"""A Dask array that is larger than the client may hold: rows come into being on the workers.

``A``, ``b`` and ``x`` are Dask arrays; the client sees sums and the names of blocks only, and its
memory is measured to show it. Where Dask arrays do not suit, ``dasksor.from_blocks`` takes a
function of the rows.

    python examples/larger_than_client.py            # 10,000 unknowns, a matrix of 800 MB
    python examples/larger_than_client.py 20000      # 3.2 GB
"""

import sys
import threading
import time

import dask.array as da
import psutil
from distributed import Client, LocalCluster

import dasksor

MB = 1e6


class Memory:
    """How far this process grows inside a ``with``, looked at every 10 ms."""

    def __enter__(self):
        self.before = self.most = psutil.Process().memory_info().rss
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def _look(self):
        while not self._over.wait(0.01):
            self.most = max(self.most, psutil.Process().memory_info().rss)

    def __exit__(self, *error):
        self._over.set()
        self._watch.join()
        self.grown = (self.most - self.before) / MB


def main(n: int = 10_000) -> tuple[dasksor.Result, float]:
    # Each worker holds half of the matrix, what it is built from, and Python itself.
    limit = int(n * n * 8 * 1.5 + 1e9)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=limit) as cluster,
        Client(cluster),
    ):
        rows = da.random.default_rng(1).random((n, n), chunks=(n // 8, n))
        A = rows + n * da.eye(n, chunks=n // 8)
        b = A.sum(axis=1)  # of the solution 1
        with Memory() as memory:
            began = time.perf_counter()
            result = dasksor.solve(A, b, mode="async", rtol=1e-10)
            seconds = time.perf_counter() - began
            audit = float(result.residual(A, b)) / float(da.linalg.norm(b).compute())
            error = float(abs(result.x - 1.0).max().compute())
        print(f"matrix of {A.nbytes / MB:.0f} MB, at most {limit / MB:.0f} MB for each worker")
        print(result)
        parts = f"{type(result.x).__name__} of {result.x.numblocks[0]} blocks"
        print(f"solved in {seconds:.1f} s; x stays on the workers, a Dask {parts}")
        print(f"audit: |b - A x| / |b| = {audit:.1e}, largest error {error:.1e}")
        print(f"the client grew by {memory.grown:.0f} MB")
    return result, memory.grown


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
