"""The linear complementarity problem: ``z >= 0``, ``w = M z + q >= 0``, ``z'w = 0``."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from dasksor.complementarity.problem import Problem, like
from dasksor.errors import NotConverged
from dasksor.options import Options
from dasksor.result import Result
from dasksor.rows import norms
from dasksor.solve import solve
from dasksor.status import Status


@dataclass(frozen=True, kw_only=True)
class LcpResult(Result):
    """The answer of `dasksor.lcp`; what a `Result` says of a solve, and the three conditions.

    Attributes
    ----------
    w : ndarray or dask.array.Array
        ``M z + q`` of the ``z`` that is returned, by the matrix's own product.
    complementarity : float
        ``z'w``.
    violation : float
        The largest of all ``-z_i`` and ``-w_i``, and 0.
    residual_norm, target : float
        ``norm(min(z, w))``, and what it has to come down to: ``max(rtol * norm(q), atol)``.
    history : list of Measurement
        Of the solve: its residuals are ``min(d_i z_i, w_i)``, ``d`` the diagonal of ``M``.
    """

    w: Any
    complementarity: float
    violation: float

    @property
    def z(self) -> Any:
        """The solution; another name of ``x``."""
        return self.x

    def to_dict(self) -> dict[str, Any]:
        """Everything but ``z`` and ``w``, in plain types that json can write."""
        own = {"complementarity": self.complementarity, "violation": self.violation}
        return super().to_dict() | own

    def __str__(self) -> str:
        head, _, *rest = super().__str__().split("\n")
        lines = [
            head,
            f"norm(min(z, w)) {self.residual_norm:.3e} (rtol {self.rtol:g}, atol {self.atol:g})",
            f"z'w {self.complementarity:.3e}, largest violation {self.violation:.3e}",
        ]
        return "\n".join([*lines, *rest])


def lcp(
    M: Any,
    q: Any,
    z0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    raise_on_failure: bool = False,
    **options: Any,
) -> LcpResult:
    """Solve a linear complementarity problem by projected SOR, also on a Dask cluster.

    Find ``z >= 0`` with ``w = M z + q >= 0`` and ``z'w = 0``: `dasksor.solve` with ``A = M``,
    ``b = -q`` and bounds 0 and infinity, whose sweeps are
    ``z_i <- max(0, z_i - omega / m_ii * (M z + q)_i)``.

    Parameters
    ----------
    M : ndarray, scipy sparse array or matrix, dask.array.Array, or from `dasksor.from_blocks`
        Real, shape (n, n), with a positive diagonal. Convergence is proven for symmetric positive
        definite matrices, of exact sweeps with every omega in (0, 2), and for H-matrices,
        symmetric or not; others are tried, and the status says what came of it. A row whose
        diagonal entry is not positive is accepted where it has no negative entry elsewhere and
        ``q_i >= 0``: ``z_i = 0`` suits it whatever the others are.
    q : array_like or dask.array.Array, shape (n,)
        A Dask array makes ``z`` and ``w`` Dask arrays.
    z0 : array_like or dask.array.Array, optional
        Start, shape (n,); zero by default. Negative entries are taken as zero.
    rtol, atol : float
        The tolerance is ``tol = max(rtol * norm(q), atol)``.
    raise_on_failure : bool
        Raise `NotConverged` instead of returning an unsuccessful result.
    **options
        As for `dasksor.solve`: mode, omega, staleness, client, timeout and the others.

    Returns
    -------
    LcpResult
        Successful only if the ``z`` and ``w`` that are returned meet all three conditions:
        ``norm(min(z, w)) <= tol``, no entry of either below ``-tol``, and
        ``abs(z'w) <= tol * (norm(z) + norm(w))``. Status `INFEASIBLE` is proof that there is no
        solution: some ``w_i`` is negative for every ``z >= 0``. Of other problems without a
        solution the status says that the residual did not come down.

    Raises
    ------
    TypeError, ValueError
        Bad input, before any worker starts.
    NotConverged
        If asked for by `raise_on_failure`.

    References
    ----------
    C. W. Cryer, *The solution of a quadratic programming problem using systematic overrelaxation*,
    SIAM J. Control 9, 1971. O. L. Mangasarian, *Solution of symmetric linear complementarity
    problems by iterative methods*, JOTA 22, 1977. R. De Leone and O. L. Mangasarian, *Asynchronous
    parallel successive overrelaxation for the symmetric linear complementarity problem*,
    Mathematical Programming 42, 1988.
    """
    problem = Problem.of(M, q, z0, "z0", options.get("client"))
    request = Options.checked(problem.n, rtol=rtol, atol=atol, **options)
    hopeless, idle = _decided_rows(problem)
    if hopeless is not None:
        why = f"w_{hopeless} < 0 for every z >= 0, by row {hopeless} of M"
        run, scale = problem.decided(request, Status.INFEASIBLE, why, _bounds(problem.n)), 1.0
    else:
        matrix = problem.without(idle) if idle.any() else problem.system.matrix
        upper = np.where(idle, 0.0, np.inf) if idle.any() else np.inf
        # The solve measures min(d z, w), d the diagonal, for which min(z, w) may be larger.
        scale = min(1.0, float(np.where(idle, 1.0, problem.diagonal).min()))
        limits: Any = {"rtol": rtol * scale, "atol": atol * scale}
        run = solve(matrix, problem.system.rhs[0], z0, bounds=(0.0, upper), **limits, **options)
    run = replace(run, rtol=request.limits.rtol, atol=request.limits.atol)
    result = _audited(problem, run, scale)
    if raise_on_failure and not result.success:
        raise NotConverged(result)
    return result


def _decided_rows(problem: Problem) -> tuple[int | None, np.ndarray]:
    """A row that no ``z`` satisfies, and those that ``z_i = 0`` satisfies whatever the others are.

    Raises
    ------
    ValueError
        Another row has no positive diagonal entry.
    """
    idle = np.zeros(problem.n, dtype=bool)
    if not problem.system.is_local:
        return None, idle
    matrix: Any = problem.system.matrix
    diagonal, q = problem.diagonal, problem.q
    rows = np.flatnonzero(diagonal <= 0.0)
    entries = matrix[rows]
    positive = np.asarray((entries > 0.0).sum(axis=1)).ravel()
    negative = np.asarray((entries < 0.0).sum(axis=1)).ravel() - (diagonal[rows] < 0.0)
    # Of what is not finite nothing is claimed; the solve refuses it.
    finite = np.isfinite(np.asarray(entries.sum(axis=1)).ravel())
    hopeless = rows[finite & (positive == 0) & (q[rows] < 0.0)]
    if hopeless.size:
        return int(hopeless[0]), idle
    idle[rows[(negative == 0) & (q[rows] >= 0.0)]] = True
    for row in rows[~idle[rows]]:
        raise ValueError(
            f"M[{row}, {row}] is {diagonal[row]:g}: projected SOR needs a positive diagonal; "
            "use a pivoting method, such as Lemke's"
        )
    return None, idle


def _audited(problem: Problem, run: Result, scale: float) -> LcpResult:
    """The ``run`` and what ``z`` and ``w`` say of it; its tolerance was ``scale`` times ours."""
    (z,) = problem.computed(run.x)
    w = problem.image(z)
    target = run.target / scale
    natural, complementarity = _norm(np.minimum(z, w)), float(z @ w)
    violation = max(0.0, -float(z.min()), -float(w.min()))
    active, multipliers = problem.contact(z[None], _bounds(problem.n), w[None])
    holds = max(natural, violation) <= target
    holds &= abs(complementarity) <= target * (_norm(z) + _norm(w))
    known = {field.name: getattr(run, field.name) for field in fields(run)} | {
        "status": run.status if holds or not run.success else Status.STAGNATED,
        "residual_norm": natural,
        "target": target,
        "active": like(active[0], run.x),
        "multipliers": like(multipliers[0], run.x),
    }
    return LcpResult(
        **known, w=like(w, run.x), complementarity=complementarity, violation=violation
    )


def _bounds(n: int) -> np.ndarray:
    return np.stack([np.zeros(n), np.full(n, np.inf)])


def _norm(vector: np.ndarray) -> float:
    return float(norms(vector[None])[0])
