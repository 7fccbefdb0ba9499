"""Linear complementarity problems: known solutions in every mode, and what asynchrony is worth.

    python examples/benchmarks/complementarity.py [sizes] [simulated] [real] [--files lcp_*.dat]

``sizes``: random problems with known solutions, symmetric positive definite and (not symmetric)
strictly diagonally dominant, of up to 100,000 unknowns, in every mode, audited. ``simulated``:
efficiency of exact and of free sweeps on 2 to 64 workers in virtual time. ``real``: the same on
two worker processes beside one. Without words all three. ``--files``: problems as Siconos keeps
them, n, a dense matrix after four numbers on its storage, and q.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems

RTOL = 1e-8
DOMINANCE = 0.98
MODES = {
    "sequential": {"mode": "sequential"},
    "sync": {"mode": "sync", "blocks": 4},
    "async, exact": {"mode": "async", "staleness": 0, "blocks": 4},
    "async, staleness 2": {"mode": "async", "staleness": 2, "blocks": 4},
    "async, free": {"mode": "async", "staleness": None, "accelerate": None, "blocks": 4},
    "async, cycles": {"mode": "async", "staleness": None, "accelerate": "cg", "blocks": 4},
}


def scattered(rng, n, per_row):
    """Random entries in (-1, 1), about ``per_row`` in each row, none on the diagonal."""
    count = n * min(per_row, n - 1)
    rows, columns = rng.integers(n, size=(2, count))
    values = np.where(rows == columns, 0.0, rng.uniform(-1.0, 1.0, count))
    return sp.csr_array((values, (rows, columns)), shape=(n, n))


def dominant(rng, n):
    """Strictly diagonally dominant, not symmetric: ``sum_{j != i} |m_ij| <= 0.9 m_ii``."""
    off = scattered(rng, n, 8)
    sums = abs(off).sum(axis=1)
    return sp.csr_array(off + sp.diags_array(np.where(sums > 0.0, sums / 0.9, 1.0)))


def definite(rng, n):
    """Symmetric positive definite by ``B B'``, in general not an H-matrix."""
    factor = scattered(rng, n, 3)
    return sp.csr_array(factor @ factor.T + 0.5 * sp.eye_array(n))


def known(rng, M, free=1.0 / 3.0):
    """``q`` and the ``z`` that solves the problem, a share ``free`` of it positive.

    Of the others half are held at zero by ``w_i > 0``, half have ``z_i = w_i = 0``.
    """
    draw = rng.random(M.shape[0])
    draw[0] = 0.0
    z, w = rng.uniform(0.1, 1.0, (2, M.shape[0]))
    z, w = np.where(draw < free, z, 0.0), np.where(draw > (1.0 + free) / 2.0, w, 0.0)
    return w - M @ z, z


def sizes(client):
    print(f"\nknown solutions, rtol {RTOL:g}; error relative to the largest z")
    print(
        f"{'matrix':10}{'n':>8}  {'mode':20}{'sweeps':>7}{'error':>10}{'violation':>11}{'s':>7}"
        "  omega"
    )
    for kind in (definite, dominant):
        for n in (1, 10, 1_000, 100_000):
            rng = np.random.default_rng(n)
            M = kind(rng, n)
            q, z = known(rng, M)
            for name, options in MODES.items():
                if kind is dominant and options.get("accelerate") == "cg":
                    continue
                fits = {"blocks": min(4, n)} if "blocks" in options else {}
                there = {} if name == "sequential" else {"client": client}
                began = time.perf_counter()
                found = dasksor.lcp(M, q, rtol=RTOL, **options | fits | there)
                seconds = time.perf_counter() - began
                error = np.abs(found.z - z).max() / z.max()
                assert found.success, str(found)
                assert min(found.z.min(), found.w.min()) >= -found.target
                print(
                    f"{kind.__name__:10}{n:>8}  {name:20}{found.sweeps:>7}{error:>10.1e}"
                    f"{found.violation:>11.1e}{seconds:>7.2f}  {found.omega_origin}"
                )


def cases(n, kinds=("scattered", "grid")):
    """Strictly diagonally dominant M-matrices, symmetric, whose sums of rows are 2 % of ``m_ii``.

    The blocks of the first one read all others, those of the second one their neighbours.
    """
    rng = np.random.default_rng(0)
    side = int(np.sqrt(n))
    for name in kinds:
        if name == "grid":
            links = 4.0 * sp.eye_array(n) - problems.poisson((side, side))
        else:
            off = abs(scattered(rng, n, 12))
            links = off + off.T
        M = sp.csr_array(sp.diags_array(links.sum(axis=1) / DOMINANCE) - links)
        q, _ = known(rng, M, free=0.9)
        yield name, M, q


def simulated(latency, jitter):
    print(f"\nvirtual time, omega 1, latency {latency:g} of a sweep of all rows, jitter {jitter:g}")
    print("efficiency: time of one worker / (time * sum of the speeds of all)")
    for name, M, q in cases(10_000):
        for slow in (1.0, 0.5):
            for staleness in (0, 1, None):
                efficiencies, counts, alone = [], [], 0.0
                for workers in (1, 2, 4, 8, 16, 32, 64):
                    speed = [slow, *[1.0] * (workers - 1)] if workers > 1 else [1.0]
                    # In exact sweeps of a grid a block waits while its neighbours work.
                    blocks = 2 * workers if (name, staleness) == ("grid", 0) else workers
                    run = dasksor.simulate(
                        M, -q, bounds=(0.0, np.inf), workers=workers, blocks=blocks, omega=1.0,
                        staleness=staleness, accelerate=None, latency=latency, jitter=jitter,
                        speed=speed, rtol=RTOL, seed=1,
                    )  # fmt: skip
                    assert run.result.success
                    alone = alone or run.time
                    efficiencies.append(f"{alone / (sum(speed) * run.time):>6.0%}")
                    counts.append(str(run.result.sweeps))
                print(
                    f"{name:10} {'one of half speed' if slow < 1 else 'all alike':18} "
                    f"staleness {staleness!s:5}{''.join(efficiencies)}   sweeps {'/'.join(counts)}",
                    flush=True,
                )


def real(repeats):
    print("\ntwo worker processes beside one: medians of seconds and of paired ratios, omega 1")
    kinds = {
        "sync": {"mode": "sync"},
        "async, exact": {"mode": "async", "staleness": 0},
        "async, free": {"mode": "async", "staleness": None, "accelerate": None},
    }
    how = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0"}
    with (
        LocalCluster(n_workers=1, **how) as one,
        LocalCluster(n_workers=2, **how) as two,
        Client(one, set_as_default=False) as alone,
        Client(two, set_as_default=False) as both,
    ):
        for name, M, q in (*cases(160_000), *cases(1_000_000, ("grid",))):
            times = {kind: [] for kind in kinds}
            for _ in range(repeats + 1):
                for kind, options in kinds.items():
                    pair = []
                    for client, blocks in ((alone, 1), (both, 2 if name == "scattered" else 4)):
                        found = dasksor.lcp(
                            M, q, rtol=RTOL, omega=1.0, client=client, blocks=blocks, **options
                        )
                        assert found.success
                        pair.append((found.history[-1].time, found.sweeps))
                    times[kind].append(pair)
            for kind, pairs in times.items():
                # The first round starts processes and compiles.
                kept = pairs[1:]
                first, second = (statistics.median(p[k][0] for p in kept) for k in (0, 1))
                ratio = statistics.median(p[0][0] / p[1][0] for p in kept)
                quickest = min(p[0][0] for p in kept) / min(p[1][0] for p in kept)
                counts = (
                    statistics.median(p[0][1] for p in kept),
                    statistics.median(p[1][1] for p in kept),
                )
                print(
                    f"{name:10} {q.size:8} {kind:14} {first:6.2f} s {second:6.2f} s"
                    f"  sweeps {counts[0]:.0f} {counts[1]:.0f}  efficiency {ratio / 2.0:.0%}"
                    f", of the quickest runs {quickest / 2.0:.0%}",
                    flush=True,
                )


def files(paths):
    print(f"\n{'file':20}{'n':>4}  {'matrix':48}status")
    for path in paths:
        text = " ".join(line.split("#")[0] for line in path.read_text().splitlines())
        numbers = np.array(text.split(), dtype=float)
        n = int(numbers[0])
        M, q = numbers[6 : 6 + n * n].reshape(n, n), numbers[6 + n * n :]
        found = dasksor.lcp(M, q, rtol=RTOL)
        residual = np.linalg.norm(np.minimum(found.z, M @ found.z + q)) / np.linalg.norm(q)
        counted = "iterations" if found.accelerate else "sweeps"
        print(
            f"{path.name:20}{n:>4}  {described(M):48}{found.status.name.lower()}, "
            f"{found.sweeps} {counted}, |min(z, w)| / |q| {residual:.1e}, z'w "
            f"{found.complementarity:.1e}" + ("" if found.success else f": {found.reason}")
        )


def described(M):
    """What the theory asks for."""
    least = np.linalg.eigvalsh((M + M.T) / 2.0)[0]
    parts = ["symmetric" if (M == M.T).all() else "not symmetric"]
    parts += ["positive definite"] if least > 1e-12 * np.abs(M).max() else []
    if not (M.diagonal() > 0.0).all():
        return ", ".join([*parts, "diagonal not positive"])
    jacobi = np.abs(M) / M.diagonal()[:, None] - np.eye(len(M))
    radius = np.abs(np.linalg.eigvals(jacobi)).max()
    return ", ".join([*parts, f"rho(|J|) {radius:.2f}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known_parts = ("sizes", "simulated", "real")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(known_parts)}; all by default")
    parser.add_argument("--files", nargs="*", type=Path, default=[])
    parser.add_argument("--latency", type=float, default=0.002)
    parser.add_argument("--jitter", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    if not set(given.parts) <= set(known_parts):
        parser.error(f"parts are {', '.join(known_parts)}, got {' '.join(given.parts)}")
    parts = given.parts or (() if given.files else known_parts)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}")
    if given.files:
        files(given.files)
    if "sizes" in parts:
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            sizes(client)
    if "simulated" in parts:
        simulated(given.latency, given.jitter)
    if "real" in parts:
        real(given.repeats)


if __name__ == "__main__":
    main()
