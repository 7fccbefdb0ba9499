"""How long from ``A, b`` to an answer with relative residual 1e-8, for dasksor and its rivals?

    python examples/benchmarks/rivals poisson1000 --threads 1 --repeats 3
    python examples/benchmarks/rivals poisson1000 --only dasksor PyAMG --csv rows.csv

Set-up is part of the time, start-up of Python and reading of files is not. Nothing is tuned, with
two exceptions in favour of the rivals: a solver whose own stop test is met too early, so that
``norm(b - A x) / norm(b)`` as measured here is above the tolerance, is called again with a smaller
tolerance of its own and only that call counts; and PETSc's SOR gets the best omega of a short scan
that does not count either.

Rounds are interleaved (A B C, A B C, ...). Ratios are taken round by round to the first row, then
their median. What takes longer than 20 s runs once. PETSc runs, on one thread, where the system's
Python has petsc4py. Leave OPENBLAS_CORETYPE unset: it makes OpenBLAS, and with it LAPACK, use the
kernels of the processor that it names.
"""

from __future__ import annotations

import argparse
import os
import sys


def main() -> None:
    args = _arguments()
    cores = sorted(os.sched_getaffinity(0))[: args.threads]
    os.sched_setaffinity(0, cores)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(len(cores))  # read when numpy and numba are imported, so before that
    import race

    race.race(args, len(cores))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", help="a name in systems.py, such as poisson1000")
    parser.add_argument("--threads", type=int, help="cores to keep to; default all")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument("--rtol", type=float, default=1e-8, help="tolerance (%(default)s)")
    parser.add_argument("--limit", type=int, default=600, help="seconds for one (%(default)s)")
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names of competitors")
    parser.add_argument("--without", nargs="+", default=[], help="likewise, left out")
    parser.add_argument("--csv", help="file to which the rows are appended")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
