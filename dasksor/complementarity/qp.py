"""Convex quadratic programs in a box: ``min 1/2 x'P x + q'x``, ``lb <= x <= ub``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dasksor.analysis import is_symmetric
from dasksor.bounds import as_bounds
from dasksor.complementarity.problem import Problem, like
from dasksor.errors import NotConverged
from dasksor.options import Options
from dasksor.result import Result
from dasksor.solve import solve
from dasksor.status import Status


@dataclass(frozen=True, kw_only=True)
class QpResult(Result):
    """The answer of `dasksor.qp`; what a `Result` says of a solve, and more.

    Attributes
    ----------
    objective : float
        ``1/2 x'P x + q'x`` of the ``x`` that is returned.
    z_box : ndarray or dask.array.Array
        Multipliers in the sign of qpsolvers: ``P x + q + z_box = 0`` at the solution, so that an
        entry is negative or zero at a lower bound, positive or zero at an upper one, and 0 between.
    """

    objective: float
    z_box: Any

    def to_dict(self) -> dict[str, Any]:
        """Everything but ``x`` and ``z_box``, in plain types that json can write."""
        return super().to_dict() | {"objective": self.objective}

    def __str__(self) -> str:
        head, *rest = super().__str__().split("\n")
        return "\n".join([head, f"objective {self.objective:.9g}", *rest])


def qp(
    P: Any,
    q: Any,
    lb: Any = None,
    ub: Any = None,
    x0: Any = None,
    *,
    raise_on_failure: bool = False,
    **options: Any,
) -> QpResult:
    """Minimise a convex quadratic function in a box, by projected SOR, also on a Dask cluster.

    ``min 1/2 x'P x + q'x`` with ``lb <= x <= ub``: `dasksor.solve` with ``A = P``, ``b = -q`` and
    these bounds, since ``P x + q`` is the gradient. Names and signs are those of qpsolvers.

    Parameters
    ----------
    P : ndarray, scipy sparse array or matrix, dask.array.Array, or from `dasksor.from_blocks`
        Symmetric positive semidefinite, shape (n, n). Symmetry is checked of matrices in this
        process; definiteness is not: of another symmetric ``P`` success means a stationary point.
        Rows of zeros are accepted in this process.
    q : array_like or dask.array.Array, shape (n,)
        A Dask array makes ``x`` a Dask array.
    lb, ub : float or array_like, shape (n,), optional
        Bounds, infinities allowed; none by default.
    x0 : array_like or dask.array.Array, optional
        Start, shape (n,); zero by default, moved into the box.
    raise_on_failure : bool
        Raise `NotConverged` instead of returning an unsuccessful result.
    **options
        As for `dasksor.solve`: rtol, atol, mode, omega, staleness, client and the others.

    Returns
    -------
    QpResult
        Successful if the natural residual, as of `dasksor.solve` with bounds, is at most
        ``max(rtol * norm(q), atol)``. Status `UNBOUNDED` is proof that there is no solution: along
        some axis the objective falls for ever. Of other unbounded problems the status says that the
        residual did not come down.

    Raises
    ------
    TypeError, ValueError
        Bad input, before any worker starts.
    NotConverged
        If asked for by `raise_on_failure`.

    References
    ----------
    C. W. Cryer, *The solution of a quadratic programming problem using systematic overrelaxation*,
    SIAM J. Control 9, 1971. The letters: S. Caron and others, *qpsolvers*.
    """
    problem = Problem.of(P, q, x0, "x0", options.get("client"))
    request = Options.checked(problem.n, **options)
    bounds = as_bounds((-np.inf if lb is None else lb, np.inf if ub is None else ub), problem.n)
    linear = _linear_axes(problem)
    matrix, box = problem.system.matrix, bounds
    if linear.any():
        matrix, bounds, q = problem.without(linear), problem.computed(*bounds), problem.q
        # Along such an axis the objective is a line, lowest at one of the bounds.
        level = np.clip(0.0, *bounds)
        lowest = np.where(q > 0.0, bounds[0], np.where(q < 0.0, bounds[1], level))
        box = tuple(np.where(linear, lowest, bound) for bound in bounds)
        linear &= np.isinf(lowest)
    if linear.any():
        i = int(np.argmax(linear))
        why = f"it is linear in x_{i}, which has no bound on the side where it falls"
        run = problem.decided(request, Status.UNBOUNDED, why, np.stack(bounds))
    else:
        run = solve(matrix, problem.system.rhs[0], x0, bounds=box, **options)
    result = _described(problem, run, bounds)
    if raise_on_failure and not result.success:
        raise NotConverged(result)
    return result


def _described(problem: Problem, run: Result, bounds: Any) -> QpResult:
    x, lower, upper = problem.computed(run.x, *bounds)
    gradient, box = problem.image(x), np.stack([lower, upper])
    # Of the problem as it was given, also where the solve knew an unknown already.
    active, multipliers = (part[0] for part in problem.contact(x[None], box, gradient[None]))
    pushed = np.where(active < 0, np.maximum(multipliers, 0.0), np.minimum(multipliers, 0.0))
    z_box = -np.where(lower == upper, multipliers, pushed)
    known = {field.name: getattr(run, field.name) for field in fields(run)} | {
        "active": like(active, run.x),
        "multipliers": like(multipliers, run.x),
    }
    objective = 0.5 * float(x @ (gradient + problem.q))
    return QpResult(**known, objective=objective, z_box=like(z_box, run.x))


def _linear_axes(problem: Problem) -> np.ndarray:
    """Unknowns whose rows are zero.

    Raises
    ------
    ValueError
        ``P`` cannot be symmetric positive semidefinite.
    """
    if not problem.system.is_local:
        return np.zeros(problem.n, dtype=bool)
    matrix: Any = problem.system.matrix
    diagonal = problem.diagonal
    if not is_symmetric(matrix):
        raise ValueError("P must be symmetric: give (P + P.T) / 2, which has the same objective")
    sizes = np.asarray(abs(matrix).sum(axis=1)).ravel()
    wrong = np.flatnonzero((diagonal < 0.0) | ((diagonal == 0.0) & (sizes > 0.0)))
    if wrong.size:
        i = int(wrong[0])
        raise ValueError(
            f"P[{i}, {i}] is {diagonal[i]:g} in a row that is not zero, so P is not positive "
            "semidefinite: qp needs a convex objective"
        )
    return sizes == 0.0
