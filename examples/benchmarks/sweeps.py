"""How long does one exact forward sweep take, here, in PyAMG and in PETSc?

    python examples/benchmarks/sweeps.py [PROBLEM ...]

One core; omega 1, float64 throughout. Rounds are paired: in each, every competitor in turn makes
ten sweeps of the same matrix and the median of the last five counts: it takes some until the caches
hold what they will. The ratio is that of the faster rival to us. PETSc runs `Mat.SOR` in a child
process of the system's Python where that has petsc4py, without inodes: with them it relaxes several
rows at once, another method. Competitors must give the same vector to 1e-12.

"csr" is our storage for any pattern, "ours" the one chosen, "eight" the time per sweep of eight in
one call, "two" that of two threads on four blocks, bit for bit the same; MB and GB/s count our
storage and the vectors once a sweep. bcsstk16 is read from the folder that DASKSOR_DATA names.
"""

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from glob import glob
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numba
import numpy as np
import pyamg
import scipy
import scipy.sparse as sp
from dask.sizeof import sizeof
from pyamg.relaxation.relaxation import gauss_seidel
from scipy.spatial import Delaunay

import dasksor
from dasksor import problems, storing
from dasksor.rows import FORWARD, prepare_rows

ROUNDS = 15
CHILD = """
import sys, time, numpy, petsc4py
petsc4py.init(["-mat_no_inode"])
from petsc4py import PETSc
f = numpy.load(sys.argv[1])
n = f["b"].size
A = PETSc.Mat().createAIJ((n, n), csr=(f["indptr"], f["indices"], f["data"]))
v = f["x"].copy()
x, b = PETSc.Vec().createWithArray(v), PETSc.Vec().createWithArray(f["b"])
kind = PETSc.Mat.SORType.LOCAL_FORWARD_SWEEP
print(".".join(map(str, PETSc.Sys.getVersion())), flush=True)
for line in sys.stdin:
    began = time.perf_counter()
    A.SOR(b, x, omega=1.0, sortype=kind, its=1, lits=1)
    print(time.perf_counter() - began, flush=True)
    if line == "save\\n":
        numpy.save(sys.argv[1] + ".npy", v)
        print("saved", flush=True)
"""


def grid(*shape, points=None, rough=False):
    """A Poisson matrix; rough: with coefficients that differ everywhere."""
    A = problems.poisson(shape, points=points)
    if rough:
        d = sp.diags_array(np.exp(np.random.default_rng(0).standard_normal(A.shape[0]) / 3.0))
        A = sp.csr_array(d @ A @ d)
    return A


def mesh(n=500_000):
    """The Laplacian of a triangulation of random points in no order, shifted by a hundredth."""
    corners = Delaunay(np.random.default_rng(0).random((n, 2))).simplices
    edges = np.concatenate([corners[:, [k, (k + 1) % 3]] for k in range(3)])
    edges = np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0)
    graph = sp.csr_array((np.ones(len(edges)), edges.T), shape=(n, n))
    return sp.csr_array(sp.diags_array(graph.sum(axis=1) + 0.01) - graph)


PROBLEMS = {
    "5-point 1000^2": lambda: grid(1000, 1000),
    "5-point, rough": lambda: grid(1000, 1000, rough=True),
    "7-point 100^3": lambda: grid(100, 100, 100),
    "7-point, rough": lambda: grid(100, 100, 100, rough=True),
    "27-point 64^3": lambda: grid(64, 64, 64, points=27),
    "27-point, rough": lambda: grid(64, 64, 64, points=27, rough=True),
    "SyntheticUSA": lambda: problems.power_grid("case_SyntheticUSA"),
    "bcsstk16": lambda: dasksor.read(Path(os.environ["DASKSOR_DATA"]) / "bcsstk16.mtx.gz"),
    "mesh 5e5": mesh,
}


def seconds(job):
    began = time.perf_counter()
    job()
    return time.perf_counter() - began


def steady(job):
    return np.median([job() for _ in range(10)][5:])


class Petsc:
    """A child process that sweeps when told to."""

    def __init__(self, folder, A, x, b):
        self._file = f"{folder}/system.npz"
        index = {"indices": A.indices.astype(np.int32), "indptr": A.indptr.astype(np.int32)}
        np.savez(self._file, data=A.data, x=x, b=b, **index)
        homes = [os.environ.get("PETSC_DIR"), *glob("/usr/lib/petscdir/*/*-real")]
        home = next((h for h in homes if h), "")
        self._child = subprocess.Popen(
            ["/usr/bin/python3", "-c", CHILD, self._file],
            env={**os.environ, "PETSC_DIR": home, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.version = self._child.stdout.readline().strip()

    def sweep(self):
        return float(self._ask("sweep"))

    def first(self):
        """The vector after the first sweep."""
        self._ask("save")
        assert self._child.stdout.readline() == "saved\n"
        return np.load(self._file + ".npy")

    def _ask(self, what):
        self._child.stdin.write(what + "\n")
        self._child.stdin.flush()
        return self._child.stdout.readline()

    def close(self):
        self._child.stdin.close()
        self._child.wait()


def two_threads(A, b, x, sweeps):
    """Sweep four blocks in two threads: first and third, then second and fourth. Seconds a sweep.

    Only for matrices whose blocks read a contiguous part of ``x`` and no farther than one block.
    """
    n, barrier = len(b), threading.Barrier(2)
    cuts = [n * k // 4 for k in range(5)]
    blocks = [(prepare_rows(A[i:j], i), b[None, i:j]) for i, j in pairwise(cuts)]
    views = [x[None, rows.columns[0] : rows.columns[-1] + 1] for rows, _ in blocks]
    assert all(v.size == len(rows.columns) for v, (rows, _) in zip(views, blocks, strict=True))

    def work(k):
        for step in range(2 * sweeps):
            q = 2 * k + step % 2
            # The third block starts when the first two have swept once, and so ends later.
            rows, rhs = blocks[q]
            if k == 0 or step >= 2:
                rows.sweep(views[q], rhs, 1.0, FORWARD)
            barrier.wait()
        if k == 1:
            for q in (2, 3):
                blocks[q][0].sweep(views[q], blocks[q][1], 1.0, FORWARD)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / sweeps


def measure(name, A, folder):
    A = sp.csr_array(A)
    n = A.shape[0]
    b, start = np.random.default_rng(1).standard_normal((2, n))
    rows = prepare_rows(A, 0)
    with mock.patch.multiple(storing, PADDING=0.0, TRIPLE_PADDING=0.0):
        compressed = prepare_rows(A, 0)
    M = sp.csr_matrix((A.data, A.indices.astype(np.int32), A.indptr.astype(np.int32)), A.shape)
    x, y, z = start.copy(), start.copy(), start.copy()
    one, again, rhs = x[None], y[None], b[None]
    petsc = Petsc(folder, A, start, b)
    rows.sweep(one, rhs, 1.0, FORWARD)
    compressed.sweep(again, rhs, 1.0, FORWARD)
    gauss_seidel(M, z, b)
    assert np.array_equal(x, y)
    for other in [z, petsc.first()] if petsc.version else [z]:
        np.testing.assert_allclose(other, x, rtol=1e-12, atol=1e-12 * np.abs(x).max())
    jobs = {
        "ours": lambda: seconds(lambda: rows.sweep(one, rhs, 1.0, FORWARD)),
        "csr": lambda: seconds(lambda: compressed.sweep(again, rhs, 1.0, FORWARD)),
        "PyAMG": lambda: seconds(lambda: gauss_seidel(M, z, b)),
        "PETSc": petsc.sweep if petsc.version else lambda: np.inf,
        "eight": lambda: seconds(lambda: rows.sweep(one, rhs, 1.0, FORWARD, 8)) / 8,
    }
    rounds = np.array([[steady(job) for job in jobs.values()] for _ in range(ROUNDS)])
    petsc.close()
    rival = rounds[:, 2:4].min(axis=1)
    low, middle, high = np.percentile(rival / rounds[:, 0], [25, 50, 75])
    ms = dict(zip(jobs, np.median(rounds, axis=0) * 1e3, strict=True))
    two = "| | "
    if name.startswith(("5-point", "7-point")):
        u, v = start.copy(), start.copy()
        pair = np.array([two_threads(A, b, u, 20) for _ in range(7)]) * 1e3
        for _ in range(140):
            rows.sweep(v[None], rhs, 1.0, FORWARD)
        assert np.array_equal(u, v)
        two = f"| {np.median(pair):.3f} | {np.median(rival) * 1e3 / np.median(pair):.2f} "
    megabytes = (sizeof(rows) - rows.columns.nbytes + 3 * b.nbytes) / 1e6
    print(
        f"| {name} | {n} | {A.nnz} | {ms['csr']:.3f} | {ms['ours']:.3f} | {ms['eight']:.3f} "
        f"| {ms['PyAMG']:.3f} | {ms['PETSc']:.3f} | {middle:.2f} ({low:.2f} to {high:.2f}) "
        f"{two}| {megabytes:.1f} | {megabytes / ms['ours']:.1f} |",
        flush=True,
    )
    return petsc.version


def main(*names):
    print(
        f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, scipy {scipy.__version__}, numba {numba.__version__}, "
        f"PyAMG {pyamg.__version__}, dasksor {dasksor.__version__}\n"
        f"medians of {ROUNDS} rounds, ms a sweep\n"
    )
    print(
        "| problem | n | nnz | csr | ours | eight | PyAMG | PETSc | ratio (quartiles) | two "
        "| ratio, two | MB | GB/s |"
    )
    print("|" + "---|" * 13)
    with tempfile.TemporaryDirectory() as folder:
        versions = {measure(name, PROBLEMS[name](), folder) for name in names or PROBLEMS}
    print("\nPETSc", *versions)


if __name__ == "__main__":
    main(*sys.argv[1:])
