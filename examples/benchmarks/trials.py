"""What makes free sweeps quick on matrices that are not symmetric positive definite?

    python examples/benchmarks/trials.py [NAME ...]

Free sweeps in virtual time, by the kernels of the library: strips as blocks, sweeps of random
length, messages of random delay. Each idea alone and the promising ones together: sweeps to a
residual of 1e-6, the mean of the seeds, against exact SOR at its best omega. Products with A
for snapshots are not counted; rows swept twice, for overlap, are. Without NAMEs: all systems.
"""

import heapq
import platform
import sys
import time
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
import scipy
import scipy.sparse as sp

from dasksor import problems
from dasksor.analysis import jacobi_bound, row_facts, worst
from dasksor.coarse import aggregates
from dasksor.omega import Cautious, Given, for_stale_sweeps
from dasksor.partition import Partition
from dasksor.rows import BACKWARD, FORWARD, prepare_rows

RTOL, SEEDS, BLOCKS, LATENCY, JITTER = 1e-6, 2, 8, 0.5, 0.2
# Given up beyond so many times the sweeps of exact SOR.
TIMES = 25


class Case(NamedTuple):
    """A system, and the most sweeps that any trial makes."""

    A: sp.csr_array
    b: np.ndarray
    most: int


def random_dominant(n=10_000, degree=6, dominance=0.95, seed=0):
    """Entries of both signs at random places, ``sum_{j != i} |a_ij| = dominance a_ii``."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), degree)
    off = sp.csr_array((rng.standard_normal(n * degree), (rows, rng.integers(0, n, n * degree))))
    off = sp.csr_array(off - sp.diags_array(off.diagonal()))
    sums = abs(off) @ np.ones(n)
    return sp.csr_array(sp.diags_array(sums / dominance) + off)


def cases():
    """By name: ``(A, b)``."""
    pagerank = problems.pagerank(problems.random_graph(20_000))
    wind = (-600.0, 400.0)
    systems = {
        "cd 60": (problems.convection_diffusion((60, 60)), None),
        "cd 60 back": (problems.convection_diffusion((60, 60), velocity=(-100.0, -50.0)), None),
        "cd 100": (problems.convection_diffusion((100, 100)), None),
        "upwind 80": (problems.convection_diffusion((80, 80), velocity=wind), None),
        "dominant": (random_dominant(), None),
        "PageRank": pagerank,
    }
    return {k: (A, np.ones(A.shape[0]) if b is None else b) for k, (A, b) in systems.items()}


class Blocks:
    """Strips that sweep in virtual time, each with its own view of the others."""

    def __init__(self, A, lines=0):
        n = A.shape[0]
        cuts = np.linspace(0, n, BLOCKS + 1).astype(int)
        width = lines * max(1, round(n**0.5))
        self.A, self.n, self.ranges = A, n, list(pairwise(cuts))
        wide = [(max(0, i - width), min(n, j + width)) for i, j in self.ranges]
        self.rows = [prepare_rows(A[i:j], i) for i, j in wide]
        self.first = [i for i, _ in wide]
        self.work = sum(j - i for i, j in wide) / n
        self.reads = [
            {q: np.flatnonzero((rows.columns >= i) & (rows.columns < j)) for q, (i, j) in others}
            for p, rows in enumerate(self.rows)
            for others in [[(q, r) for q, r in enumerate(self.ranges) if q != p]]
        ]

    def run(self, b, omega, seed, sweeps, *, local=1, turns=False, delayed=True):
        """Yield the mean sweeps and ``x`` when one more is done; ``local`` to each exchange.

        `omega` may be changed on the way.
        """
        rng, views = np.random.default_rng(seed), [np.zeros((1, r.columns.size)) for r in self.rows]
        rhs = [b[None, f : f + r.size] for f, r in zip(self.first, self.rows, strict=True)]
        self.x, self.age, self.omega, order = np.zeros(self.n), [], omega, count()
        events = [(rng.random(), next(order), p, None) for p in range(BLOCKS)]
        done, born = np.zeros(BLOCKS, dtype=int), {}
        heapq.heapify(events)
        reached = 1
        while events:
            now, _, p, message = heapq.heappop(events)
            if message is not None:
                q, version, values = message
                if version > born.get((p, q), -1):
                    born[p, q] = version
                    views[p][0, self.reads[p][q]] = values
                continue
            if born:
                self.age.append(np.mean([done[q] - born.get((p, q), 0) for q in self.reads[p]]))
            for _ in range(local):
                back = turns and done[p] % 2
                self.rows[p].sweep(views[p], rhs[p], self.omega, BACKWARD if back else FORWARD)
                done[p] += 1
            (i, j), columns = self.ranges[p], self.rows[p].columns
            at = np.searchsorted(columns, i)
            self.x[i:j] = views[p][0, at : at + j - i]
            for q, reads in enumerate(self.reads):
                places = self.rows[q].columns[reads[p]] if delayed and p in reads else ()
                if len(places):
                    late = now + LATENCY * (0.5 + rng.exponential(0.5))
                    news = (p, done[p], self.x[places])
                    heapq.heappush(events, (late, next(order), q, news))
            if done.mean() >= reached:
                reached = int(done.mean()) + 1
                yield done.mean(), self.x
                if reached > sweeps:
                    return
            length = local * (1.0 + rng.exponential(JITTER))
            heapq.heappush(events, (now + length, next(order), p, None))


def exact(A, b):
    """Sweeps of exact SOR, and the best omega of a scan."""
    rows, best, at = prepare_rows(A, 0), 1000, 1.0
    for omega in (*np.arange(0.9, 1.9, 0.05), *np.arange(1.9, 1.99, 0.01)):
        x = np.zeros((1, b.size))
        for k in range(1, best):
            rows.sweep(x, b[None], omega, FORWARD)
            if np.linalg.norm(b - A @ x[0]) <= RTOL * np.linalg.norm(b):
                best, at = k, omega
                break
    return best, at


def safe_omega(A):
    """What the library takes for plain free sweeps."""
    partition = Partition(tuple(int(c) for c in np.linspace(0, A.shape[0], BLOCKS + 1)))
    facts = [row_facts(prepare_rows(A[i:j], i), partition) for i, j in partition.ranges]
    bound, coupling = worst(facts)
    sharper = jacobi_bound(A)
    return for_stale_sweeps(sharper if sharper < 0.95 else bound, coupling).omega


def plain(case, omega, seed, *, lines=0, adapts=Cautious, **how):
    """Sweeps of chaotic relaxation, and the mean age of values in sweeps."""
    A, b, most = case
    blocks, lowest, policy = Blocks(A, lines), np.inf, adapts(omega, "heuristic")
    for k, (done, x) in enumerate(blocks.run(b, omega, seed, most, **how)):
        residual = np.linalg.norm(b - A @ x)
        lowest = min(lowest, residual)
        if residual <= RTOL * np.linalg.norm(b):
            return round(done * blocks.work), float(np.mean(blocks.age))
        if not np.isfinite(residual):
            break
        if k % 10 == 9:
            policy.observe(1.0, residual / lowest)
            blocks.omega = policy.omega
    return None, float(np.mean(blocks.age))


class Climbing:
    """A tenth of the way to a ceiling while residuals fall; half of it back where they grow."""

    def __init__(self, omega, origin):
        self.omega, self.ceiling = omega, 2.0

    def observe(self, ratio, growth):
        if growth > 1.2:
            self.ceiling = self.omega
            self.omega = 1.0 + (self.omega - 1.0) / 2.0 if self.omega > 1.05 else 0.8 * self.omega
        else:
            self.omega += 0.1 * (self.ceiling - self.omega)


def scanned(case, seed):
    """Chaotic relaxation at the best of all omegas."""
    best = case.most
    for omega in np.arange(0.9, 1.96, 0.1):
        found, _ = plain(case._replace(most=best), omega, seed, adapts=Given)
        best = found or best
    return best


def adapted(case, best_omega, seed):
    """Over-relaxation divided by one and the measured age."""
    _, age = plain(case._replace(most=20), 1.0, seed)
    return plain(case, 1.0 + (best_omega - 1.0) / (1.0 + age), seed)[0]


class Coarse:
    """The aggregates of all blocks, with ``E = Z'AZ``."""

    def __init__(self, blocks):
        parts = [prepare_rows(blocks.A[i:j], i) for i, j in blocks.ranges]
        _, group = np.unique(np.concatenate([aggregates(p) for p in parts]), return_inverse=True)
        self.Z = sp.csr_array((np.ones(group.size), (np.arange(group.size), group)))
        self.solve = sp.linalg.splu(sp.csc_array(self.Z.T @ blocks.A @ self.Z)).solve

    def __call__(self, t):
        return self.Z @ self.solve(self.Z.T @ t)


def cycles(case, omega, seed, *, sweeps, kept=0, coarse=None, minimal=True, even=False, **how):
    """Snapshots after cycles of free sweeps for ``A z = r``.

    ``minimal``: the step along ``z`` minimises the residual, after ``z`` has been made orthogonal
    in ``A'A`` to ``kept`` directions before it (GCR with a preconditioner that changes). The coarse
    correction is added to ``z``, made of what ``z`` leaves, or made first and swept after.
    """
    A, b, most = case
    rng, blocks = np.random.default_rng(seed), Blocks(A)
    space = Coarse(blocks) if coarse else None
    x, r, past, done = np.zeros(b.size), b.copy(), [], 0.0
    while done < most:
        number = sweeps if even else int(rng.integers(1, 2 * sweeps))
        start = space(r) if coarse == "first" else np.zeros(b.size)
        *_, (_, z) = blocks.run(r - A @ start, omega, rng, number, **how)
        done += number
        z = start + z
        if coarse == "additive":
            z += space(r)
        elif coarse == "multiplicative":
            z += space(r - A @ z)
        q = A @ z
        if minimal:
            for p_i, q_i in past:
                beta = (q @ q_i) / (q_i @ q_i)
                z, q = z - beta * p_i, q - beta * q_i
            step = (q @ r) / (q @ q)
            past = [*past, (z, q)][-kept:] if kept else []
            x, r = x + step * z, r - step * q
        else:
            x, r = x + z, r - q
        residual = np.linalg.norm(r)
        if residual <= RTOL * np.linalg.norm(b):
            return round(done)
        if not residual < 1e4 * np.linalg.norm(b):
            break
    return None


THERE = {"sweeps": 2, "turns": True}
ALONE = THERE | {"delayed": False, "even": True}
AFTER, FIRST = ({"coarse": c} for c in ("multiplicative", "first"))
IDEAS = {
    "2 local sweeps to an exchange": lambda case, w, o, s: plain(case, w, s, local=2)[0],
    "5 local sweeps": lambda case, w, o, s: plain(case, w, s, local=5)[0],
    "2 lines of overlap": lambda case, w, o, s: plain(case, w, s, lines=2)[0],
    "2 lines of overlap, 5 local sweeps": lambda case, w, o, s: plain(case, w, s, lines=2, local=5)[
        0
    ],
    "best omega of a scan": lambda case, w, o, s: scanned(case, s),
    "omega by measured age": lambda case, w, o, s: adapted(case, o, s),
    "omega that climbs": lambda case, w, o, s: plain(case, w, s, adapts=Climbing)[0],
}
CYCLES = {
    "line search each 10 sweeps": {"sweeps": 10},
    "line search, 3 directions kept": {"sweeps": 10, "kept": 3},
    "line search, 10 kept": {"sweeps": 10, "kept": 10},
    "additive coarse each 4, no search": {"sweeps": 4, "coarse": "additive", "minimal": False},
    "multiplicative, no search": {"sweeps": 4, "coarse": "multiplicative", "minimal": False},
    "additive, search": {"sweeps": 4, "coarse": "additive"},
    "multiplicative, search": {"sweeps": 4, "coarse": "multiplicative"},
    "there and back, 3 kept": THERE | {"kept": 3},
    "there and back, 10 kept": THERE | {"kept": 10},
    "there and back, coarse after, 3 kept": THERE | AFTER | {"kept": 3},
    "there and back, coarse after, 10 kept": THERE | AFTER | {"kept": 10},
    "there and back, coarse first, 3 kept": THERE | FIRST | {"kept": 3},
    "there and back, coarse first, 10 kept": THERE | FIRST | {"kept": 10},
    "no halos, coarse after, no search": ALONE | AFTER | {"minimal": False},
    "no halos, no coarse, 10 kept": ALONE | {"kept": 10},
    "no halos, coarse after, 10 kept": ALONE | AFTER | {"kept": 10},
    "no halos, coarse first, 5 kept": ALONE | FIRST | {"kept": 5},
    "no halos, coarse first, 10 kept": ALONE | FIRST | {"kept": 10},
    "no halos, coarse first, 20 kept": ALONE | FIRST | {"kept": 20},
    "no halos, coarse first, 20 kept, forward": ALONE | FIRST | {"kept": 20, "turns": False},
}


def shown(counts):
    return "-" if None in counts else f"{np.mean(counts):.0f}"


def main(*names):
    print(platform.processor() or platform.machine(), "numpy", np.__version__, scipy.__version__)
    print(f"{BLOCKS} blocks, latency {LATENCY}, jitter {JITTER}, rtol {RTOL:g}, {SEEDS} seeds")
    table, began = {}, time.perf_counter()
    systems = {k: case for k, case in cases().items() if k in names or not names}
    for A, b in systems.values():
        best, omega = exact(A, b)
        case = Case(A, b, TIMES * best)
        safe = safe_omega(A)
        table.setdefault("exact SOR (omega)", []).append(f"{best} ({omega:.2f})")
        alone = [plain(case, safe, s)[0] for s in range(SEEDS)]
        table.setdefault("plain (omega)", []).append(f"{shown(alone)} ({safe:.2f})")
        for name, idea in IDEAS.items():
            found = [idea(case, safe, omega, s) for s in range(SEEDS)]
            table.setdefault(name, []).append(shown(found))
        for name, how in CYCLES.items():
            w = 1.0 if "turns" in how else safe
            found = [cycles(case, w, s, **how) for s in range(SEEDS)]
            table.setdefault(name, []).append(shown(found))
    print(f"| | {' | '.join(systems)} |")
    print("|---" * (len(systems) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | {' | '.join(row)} |")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
