"""How much memory do preparing and solving take, beside the matrix?

    python examples/benchmarks/memory.py [here | plain [POINTS ...] | cg [POINTS ...]]

Bytes of A are those of its CSR arrays: 8 for a value, 4 for a column, 4 for a row pointer; of a
dense matrix 8 for an entry. Every line is measured in processes of its own.

here: in one process, which holds A and b from the start and has solved the same system before, so
that compiled code is there. "kept" are the bytes of the arrays that preparing made, "preparing"
what the resident size rose by at most meanwhile; "solving" what it rose by at most in a solve with
the prepared matrix, in vectors of 8 bytes for each unknown.

plain, cg: 7-point Poisson matrices of POINTS^3 unknowns whose rows are built in two worker
processes, one thread each, by blocks of some two million rows. Bytes of both workers together for
each unknown: "rows" of the arrays made ready, "built" the resident size that it took at most until
the first residual was measured (b and x0 included), "solved" the same until the end of 8 sweeps
(plain: exact; cg: in 4 cycles), all vectors included. The client's are beside them.
"""

import ctypes
import gc
import multiprocessing
import os
import platform
import sys
import threading
import time
from pathlib import Path

import dask.array as da
import numba
import numpy as np
import scipy
import scipy.sparse as sp
from dask.sizeof import sizeof
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

ROWS, SWEEPS = 2_000_000, 8
HERE = {
    "5-point 1000 x 1000": lambda: problems.poisson((1000, 1000)),
    "7-point 100 x 100 x 100": lambda: problems.poisson((100, 100, 100)),
    "27-point 64 x 64 x 64": lambda: problems.poisson((64, 64, 64), points=27),
    "power grid, SyntheticUSA": lambda: problems.power_grid("case_SyntheticUSA", absolute=True),
    "power grid, 13659pegase": lambda: problems.power_grid("case13659pegase", absolute=True),
    "bcsstk16": lambda: dasksor.read(Path(os.environ["DASKSOR_DATA"]) / "bcsstk16.mtx.gz"),
    "dense 5000": lambda: problems.dense_spd(5000),
}


def resident(what):
    """Bytes of this process in memory: now (VmRSS), or at most so far (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


class Peak:
    """The highest resident size of this process in a ``with`` block, less that at its start."""

    def __enter__(self):
        # What was freed must not be there to be taken again.
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        # Linux begins anew to look for the highest size.
        Path("/proc/self/clear_refs").write_text("5")
        self.before = resident("VmRSS")
        return self

    def __exit__(self, *_):
        self.bytes = resident("VmHWM") - self.before


def bytes_of(matrix):
    """Of the CSR arrays with indices of four bytes, or of the dense array."""
    if not sp.issparse(matrix):
        return matrix.nbytes
    return 12 * matrix.nnz + 4 * (matrix.shape[0] + 1)


def arrays_in(thing, seen):
    """Bytes of all arrays that ``thing`` leads to, each memory once."""
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
        new = id(thing) not in seen
        seen[id(thing)] = thing
        return thing.nbytes if new and thing.ndim + thing.size > 1 else 0
    if isinstance(thing, (str, bytes, int, float, type(None), type, threading.Thread)):
        return 0
    if id(thing) in seen:
        return 0
    seen[id(thing)] = thing
    if hasattr(thing, "L") and hasattr(thing, "U") and hasattr(thing, "nnz"):
        return 12 * thing.nnz
    if isinstance(thing, dict):
        return sum(arrays_in(item, seen) for item in thing.values())
    if isinstance(thing, (list, tuple)):
        return sum(arrays_in(item, seen) for item in thing)
    return sum(arrays_in(item, seen) for item in getattr(thing, "__dict__", {}).values())


def made_ready(A, accelerate):
    """A prepared matrix, and what of it a solve needs."""
    ready = dasksor.prepare(A, mode="sequential", accelerate=accelerate, omega=1.25)
    if accelerate is None:
        assert ready._made.facts.positive
    return ready, ready._made.rows if accelerate is None else ready._made.deflated


def here(name, accelerate, pipe):
    """One line of the first table, in a process of its own."""
    A = HERE[name]()
    b = np.ones(A.shape[0])
    limits = {"rtol": 0.0, "maxiter": SWEEPS}
    made_ready(A, accelerate)[0].solve(b, **limits)
    with Peak() as first:
        ready, parts = made_ready(A, accelerate)
    theirs = {}
    arrays_in([b, A.data, A.indices, A.indptr] if sp.issparse(A) else [b, A], theirs)
    kept = arrays_in(parts, theirs)
    with Peak() as second:
        assert ready.solve(b, **limits).sweeps == SWEEPS
    pipe.send((A.shape[0], bytes_of(A), kept, first.bytes, second.bytes))


def in_child(function, *arguments):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=function, args=(*arguments, theirs))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def all_here():
    print("| matrix | | MB of A | kept | preparing | solving |")
    print("|---|---|---|---|---|---|")
    for name in HERE:
        for accelerate in (None, "cg"):
            n, size, kept, first, second = in_child(here, name, accelerate)
            print(
                f"| {name} | {accelerate or 'plain'} | {size / 1e6:.1f} | {kept / size:.2f} "
                f"| {first / size:.2f} | {second / 8 / n:.1f} vectors |",
                flush=True,
            )


def rows_held(dask_worker):
    """Bytes of rows made ready on a worker, and whether there is a matrix beside them."""
    values = list(dask_worker.data.values())
    assert not any(sp.issparse(value) for value in values)
    return sum(sizeof(value) for value in values if hasattr(value, "sweep"))


def peak():
    return resident("VmHWM")


def there(points, accelerate, pipe):
    """One line of the second table."""
    shape, n = (points,) * 3, points**3
    nblocks = max(4, 2 * round(n / ROWS / 2))
    exact = {"rtol": 0.0, "atol": 0.0, "mode": "async", "accelerate": accelerate}
    exact |= {"staleness": None} if accelerate else {"staleness": 0, "omega": 1.0}
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit="11GB", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        A = problems.poisson((12, 12, 12), nblocks=4)
        dasksor.solve(A, da.ones(12**3, chunks=432), maxiter=SWEEPS, **exact)
        before, client_before, found = sum(client.run(peak).values()), peak(), {}

        def look(measurement):
            if not found:
                found["rows"] = sum(client.run(rows_held).values())
                found["built"] = sum(client.run(peak).values()) - before

        A = problems.poisson(shape, nblocks=nblocks)
        b = da.ones(n, chunks=-(-n // nblocks))
        began = time.perf_counter()
        result = dasksor.solve(A, b, maxiter=SWEEPS, callback=look, **exact)
        seconds = time.perf_counter() - began
        setup = result.timings["total"]["setup"]
        solved = sum(client.run(peak).values()) - before
        residual = float(result.history[-1].residual_norm)
        pipe.send(
            (n, nblocks, found["rows"], found["built"], solved, before, peak() - client_before,
             setup, (seconds - setup) / result.sweeps, result.sweeps, residual)
        )  # fmt: skip


def all_there(kinds, sizes):
    print(
        "| unknowns | | blocks | bytes of A | rows | built | solved | times A | "
        "workers GB | client MB | set-up s | s a sweep |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for points in sizes:
        for kind in kinds:
            n, nblocks, rows, built, solved, before, client, setup, sweep, *_ = in_child(
                there, points, None if kind == "plain" else kind
            )
            size = 12 * (7 * n - 6 * points**2) + 4 * n
            print(
                f"| {n} | {kind} | {nblocks} | {size / n:.1f} | {rows / n:.1f} "
                f"| {built / n:.1f} | {solved / n:.1f} | {solved / size:.2f} "
                f"| {(before + solved) / 1e9:.2f} | {client / 1e6:.0f} "
                f"| {setup:.1f} | {sweep:.2f} |",
                flush=True,
            )


def main(what="both", *sizes):
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, NumPy {np.__version__}, scipy {scipy.__version__}, "
        f"numba {numba.__version__}, dasksor {dasksor.__version__}\n"
    )
    if what in ("both", "here"):
        all_here()
    if what != "here":
        kinds = ["plain", "cg"] if what == "both" else [what]
        all_there(kinds, [int(size) for size in sizes] or [100, 215])


if __name__ == "__main__":
    main(*sys.argv[1:])
