"""How fast is a sweep over a dense matrix, against a plain loop in C and against reading it?

    python examples/benchmarks/dense_sweeps.py [N ...]

One core. Rounds of everything in turn, each once untimed and then some times over, as in a solve;
medians of the rounds. A ratio is the median of the ratios within rounds. The loop in C is built
here with the system's compiler, and left out without one.
"""

import ctypes
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numba
import numpy as np

import dasksor
from dasksor import problems
from dasksor.rows import BACKWARD, FORWARD, prepare_rows

SOURCE = Path(__file__).parents[1] / "c" / "dense_sweep.c"
READ = "read the matrix once"
PLAIN, FAST = "C, -O3", "C, -O3 -ffast-math"


@numba.njit(nogil=True, fastmath=True)
def total(values):
    result = 0.0
    for k in range(values.size):
        result += values[k]
    return result


def compiled(folder):
    """The loop in C, by name of its build."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("no C compiler: the loop in C is left out")
        return {}
    sweeps = {}
    for name, flags in ((PLAIN, []), (FAST, ["-ffast-math"])):
        library = Path(folder) / f"sweep{len(flags)}.so"
        build = [
            compiler,
            "-O3",
            "-march=native",
            *flags,
            "-shared",
            "-fPIC",
            "-o",
            library,
            SOURCE,
        ]
        subprocess.run(build, check=True)
        sweeps[name] = ctypes.CDLL(str(library)).sweep
        sweeps[name].argtypes = [ctypes.c_ssize_t, *[ctypes.c_void_p] * 4]
    return sweeps


def contenders(n, sweeps):
    """What is timed, by name, one matrix after the other; every sweep has its own vector."""
    A, b = problems.dense_spd(n), np.random.default_rng(1).standard_normal((8, n))
    assert prepare_rows(A, 0).symmetric
    spoiled = A.copy()
    spoiled[-1, 0] += 1.0
    rows, half, single = (
        prepare_rows(values, 0) for values in (spoiled, A, spoiled.astype(np.float32))
    )
    scale, r = 1.2 / rows.diagonal, np.empty((8, n))

    def ours(rows, nrhs=1, direction=FORWARD):
        x = np.zeros((nrhs, n))
        return lambda: rows.sweep(x, b[:nrhs], scale, direction)

    def in_c(sweep):
        x = np.zeros(n)
        addresses = [array.ctypes.data for array in (spoiled, scale, b, x)]
        return lambda: (sweep(n, *addresses), x)

    x = np.zeros((8, n))
    return {
        READ: lambda: total(spoiled.reshape(-1)),
        **{name: in_c(sweep) for name, sweep in sweeps.items()},
        "forward": ours(rows),
        "backward": ours(rows, direction=BACKWARD),
        "residual": lambda: rows.residual(x[:1], b[:1], r[:1]),
        "forward, symmetric": ours(half),
        "backward, symmetric": ours(half, direction=BACKWARD),
        "forward, float32": ours(single),
        "forward, 4 right-hand sides": ours(rows, 4),
        "forward, symmetric, 4 right-hand sides": ours(half, 4),
        "forward, 8 right-hand sides": ours(rows, 8),
        "residual, 8 right-hand sides": lambda: rows.residual(x, b, r),
    }


def timed(run, repeats):
    run()
    began = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - began) / repeats


def measure(n, sweeps, rounds=15):
    runs = contenders(n, sweeps)
    repeats = max(3, 10_000_000 // n**2)
    seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run, repeats))
    for name, times in seconds.items():
        against = [
            f"{np.median(np.divide(seconds[rival], times)):.2f}" if rival in seconds else "-"
            for rival in (READ, PLAIN, FAST)
        ]
        print(
            f"{n:>6}  {name:40}{statistics.median(times) * 1e3:>9.3f}"
            + "".join(f"{ratio:>10}" for ratio in against),
            flush=True,
        )


def main(*sizes):
    print(f"{platform.machine()}, dasksor {dasksor.__version__}, numba {numba.__version__}")
    print("times as fast as: reading the matrix, the loop in C, the same with -ffast-math")
    print(f"{'n':>6}  {'':40}{'ms':>9}{'read':>10}{'-O3':>10}{'-ffast':>10}")
    with tempfile.TemporaryDirectory() as folder:
        sweeps = compiled(folder)
        for n in sizes or (1000, 3000, 5000):
            measure(n, sweeps)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
