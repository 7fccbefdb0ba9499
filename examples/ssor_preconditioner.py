"""SSOR as a preconditioner: in scipy's cg and minres, and in a loop of one's own.

``dasksor.preconditioner(A)`` is a `scipy.sparse.linalg.LinearOperator`, symmetric positive definite
if ``A`` is. minres gets the indefinite matrix ``A - s I``, as of waves, which none of dasksor's own
methods is made for; the preconditioner is that of ``A``.

    python examples/ssor_preconditioner.py           # 200 x 200 points
    python examples/ssor_preconditioner.py 100
"""

import sys

import numpy as np
from scipy.sparse import eye_array
from scipy.sparse.linalg import cg, minres

import dasksor

# minres compares the residual with norm(A) norm(x), which is much larger than norm(b) here.
RTOL = {cg: 1e-8, minres: 1e-9}


def own_cg(A, b, M=None, rtol=1e-8):
    """Preconditioned conjugate gradients, as in any textbook."""
    x, r, p, rho = np.zeros_like(b), b.copy(), 0.0, 1.0
    steps = 0
    while np.linalg.norm(r) > rtol * np.linalg.norm(b):
        z = r if M is None else M @ r
        rho, before = r @ z, rho
        p = z + rho / before * p
        q = A @ p
        alpha = rho / (p @ q)
        x, r = x + alpha * p, r - alpha * q
        steps += 1
    return x, steps


def by_scipy(method, A, b, M=None):
    steps = []
    x, info = method(A, b, M=M, rtol=RTOL[method], maxiter=5000, callback=steps.append)
    assert info == 0
    return x, len(steps)


def main(side: int = 200) -> dict[str, dict[str, int]]:
    A = dasksor.problems.poisson((side, side))
    b = np.random.default_rng(0).normal(size=side * side)
    # The lowest eigenvalues of A are near 2, 5, 5, 8 in this unit: three of A - s I are negative.
    shift = 6.5 * (np.pi / (side + 1)) ** 2
    preconditioners = {
        "nothing": None,
        "SSOR": dasksor.preconditioner(A, coarse=False),
        "SSOR and a coarse space": dasksor.preconditioner(A),
    }
    cases = {
        "scipy's cg": (A, lambda A, M: by_scipy(cg, A, b, M)),
        "cg of one's own": (A, lambda A, M: own_cg(A, b, M)),
        "scipy's minres, A - s I": (
            A - shift * eye_array(side * side),
            lambda A, M: by_scipy(minres, A, b, M),
        ),
    }
    taken: dict[str, dict[str, int]] = {}
    print(f"Poisson {side} x {side}: iterations, |b - A x| / |b| recomputed")
    for name, (matrix, solve) in cases.items():
        taken[name] = {}
        for kind, M in preconditioners.items():
            x, steps = solve(matrix, M)
            residual = np.linalg.norm(b - matrix @ x) / np.linalg.norm(b)
            taken[name][kind] = steps
            print(f"{name:24s} with {kind:24s} {steps:5d}  {residual:.1e}")
    return taken


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
