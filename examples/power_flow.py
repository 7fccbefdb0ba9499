"""DC power flow: the voltage angles of a transmission grid, from what its buses give and take.

The matrix is that of a MATPOWER case, with the absolute values of its reactances, which makes it
positive definite. Its graph is nearly a tree, where a direct solver is hard to beat: both are
shown.

    pip install '.[examples]'
    python examples/power_flow.py                  # the synthetic grid of the USA, 82,000 buses
    python examples/power_flow.py case1354pegase
"""

import sys
import time

import numpy as np
from scipy.sparse.linalg import spsolve

import dasksor


def main(case: str = "case_SyntheticUSA") -> tuple[dasksor.Result, float]:
    A = dasksor.problems.power_grid(case, absolute=True)
    n = A.shape[0]
    power = np.random.default_rng(0).normal(size=n)  # per unit; the grounded bus takes the rest
    result = dasksor.solve(A, power, mode="threads", rtol=1e-10)
    began = time.perf_counter()
    direct = spsolve(A.tocsc(), power)
    seconds = time.perf_counter() - began
    difference = float(np.linalg.norm(result.x - direct) / np.linalg.norm(direct))
    size = np.linalg.norm(power)
    print(f"{case}: {n} buses, {(A.nnz - n) // 2} branches between them")
    print(result)
    print(f"audit: |b - A x| / |b| = {result.residual(A, power) / size:.1e}")
    print(f"spsolve: {seconds:.2f} s, {np.linalg.norm(power - A @ direct) / size:.1e}")
    print(f"angles differ by {difference:.1e} of their norm")
    return result, difference


if __name__ == "__main__":
    main(*sys.argv[1:])
