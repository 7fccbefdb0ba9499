"""`linprog`: linear programs by row actions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.optimize import OptimizeResult

from dasksor.rowaction.program import Program, checked
from dasksor.rowaction.run import (
    INFEASIBLE,
    LIMIT,
    OPTIMAL,
    UNBOUNDED,
    UNDECIDED,
    Found,
    Run,
    Settings,
)
from dasksor.rowaction.scaled import Scaled

MESSAGES = {
    OPTIMAL: "optimal: infeasibilities and the duality gap of x meet the tolerance",
    LIMIT: "not decided: the limit of steps or of time was reached before the tolerance was met",
    INFEASIBLE: "infeasible: multipliers in `certificate` prove that no x meets all constraints",
    UNBOUNDED: "unbounded: x is feasible, and c'x falls for ever along the ray in `certificate`",
    UNDECIDED: "not decided: c'x falls for ever along the ray in `certificate`, "
    "but no feasible x was found",
}
SLACK = 100.0  # how much longer slacks are than x where the norm of x alone is to be small


def linprog(
    c: Any,
    A_ub: Any = None,
    b_ub: Any = None,
    A_eq: Any = None,
    b_eq: Any = None,
    bounds: Any = (0, None),
    *,
    tol: float = 1e-8,
    maxiter: int = 200,
    timeout: float | None = None,
    accelerate: str | None = "newton",
    omega: float = 1.0,
    least_norm: bool = False,
    blocks: int | None = None,
    client: Any = None,
) -> OptimizeResult:
    """Minimise ``c'x`` over ``A_ub x <= b_ub``, ``A_eq x = b_eq``, ``lower <= x <= upper``.

    The first arguments and the result are those of ``scipy.optimize.linprog``. Proximal steps
    outside, the augmented Lagrangian of the dual program inside, minimised by projected SOR on its
    multipliers, row by row (De Leone and Mangasarian 1988), and between the sweeps by steps of
    Newton's method (Mangasarian 2004).

    Parameters
    ----------
    c : array_like, shape (n,)
        Costs.
    A_ub, A_eq : array_like or scipy sparse array, shape (m, n), optional
    b_ub, b_eq : array_like, shape (m,), optional
    bounds : pair, or sequence of n pairs
        Lower and upper bounds of ``x``; None and infinities for no bound. By default ``x >= 0``.
    tol : float
        At the end ``x`` lies within its bounds, and these three, measured on the vectors returned,
        are at most `tol`: the largest violation of a row by ``x``, over ``1 + max |b|``; the
        largest reduced cost of the wrong sign, over ``1 + max |c|``; and the duality gap,
        ``|primal - dual| / (1 + |primal| + |dual|)``.
    maxiter : int
        Most proximal steps.
    timeout : float, optional
        Seconds. A factorisation that has begun is not cut short.
    accelerate : {"newton", None}
        None for SOR alone, which may take very many sweeps.
    omega : float
        Relaxation factor of the sweeps, in (0, 2).
    least_norm : bool
        Among the optimal ``x``, find the one with the least 2-norm.
    blocks : int, optional
        Blocks of rows that are swept at the same time; by default one for each worker thread of
        `client`, else one.
    client : distributed.Client, optional
        Whose workers keep the blocks and sweep them. Newton's steps stay in this process.

    Returns
    -------
    scipy.optimize.OptimizeResult
        ``x``, ``fun``, ``success``, ``status`` (0 optimal, 1 limit of steps or time, 2 infeasible,
        3 unbounded, 4 not decided), ``message``, ``nit`` (proximal steps), ``slack = b_ub - A_ub
        x``, ``con = b_eq - A_eq x``; ``ineqlin``, ``eqlin``, ``lower``, ``upper``, each with
        ``residual`` and ``marginals``, as scipy has them. Besides: ``infeasibility``,
        ``dual_infeasibility``, ``gap`` as above, ``sweeps``, ``newton_steps``,
        ``factorizations``, and ``certificate``: multipliers of all rows, those of ``A_ub`` first,
        that prove that there is no feasible ``x``, or a ray. Where status is not 0, ``x`` is the
        last iterate.

    Raises
    ------
    ValueError
        Shapes that do not fit, numbers that are not finite, bounds that cross, options out of
        range.
    """
    program = checked(c, A_ub, b_ub, A_eq, b_eq, bounds)
    _check_options(tol, maxiter, timeout, accelerate, omega, blocks)
    until = np.inf if timeout is None else time.perf_counter() + timeout
    if blocks is None:
        blocks = 1 if client is None else max(sum(client.nthreads().values()), 1)
    settings = Settings(tol, maxiter, until, accelerate, omega, blocks, client)
    with Run(program, Scaled.of(program), settings) as run:
        found = run.optimum()
        efforts = [run.effort]
    if least_norm and found.status == OPTIMAL:
        with Run(program, Scaled.of(program, SLACK), settings) as run:
            found = run.shortest(found)
            efforts.append(run.effort)
    return _result(program, found, np.sum(efforts, axis=0))


def _check_options(
    tol: float,
    maxiter: int,
    timeout: float | None,
    accelerate: str | None,
    omega: float,
    blocks: int | None,
) -> None:
    if not 0.0 < tol < 1.0:
        raise ValueError(f"tol must lie in (0, 1), got {tol}")
    if maxiter < 1:
        raise ValueError(f"maxiter must be at least 1, got {maxiter}")
    if timeout is not None and not timeout > 0.0:
        raise ValueError(f"timeout must be positive, got {timeout}: None for no limit")
    if accelerate not in ("newton", None):
        raise ValueError(f"accelerate must be 'newton' or None, got {accelerate!r}")
    if not 0.0 < omega < 2.0:
        raise ValueError(f"omega must lie in (0, 2), got {omega}")
    if blocks is not None and blocks < 1:
        raise ValueError(f"blocks must be at least 1, got {blocks}")


def _result(program: Program, found: Found, effort: np.ndarray) -> OptimizeResult:
    x, y, k = found.x, found.y, program.inequalities
    slack = program.b - program.A @ x
    lower, upper, _ = program.reduced(y)
    measure, (sweeps, steps, factors) = found.measure, effort.tolist()
    return OptimizeResult(
        x=x,
        fun=measure.primal,
        success=found.status == OPTIMAL,
        status=found.status,
        message=MESSAGES[found.status],
        nit=found.steps,
        slack=slack[:k],
        con=slack[k:],
        ineqlin=OptimizeResult(residual=slack[:k], marginals=y[:k]),
        eqlin=OptimizeResult(residual=slack[k:], marginals=y[k:]),
        lower=OptimizeResult(residual=x - program.box[0], marginals=lower),
        upper=OptimizeResult(residual=program.box[1] - x, marginals=upper),
        infeasibility=measure.infeasibility,
        dual_infeasibility=measure.dual_infeasibility,
        gap=measure.gap,
        sweeps=sweeps,
        newton_steps=steps,
        factorizations=factors,
        certificate=found.certificate,
    )
