"""One SSOR sweep as a preconditioner for other people's Krylov methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from dasksor.accelerate.ssor import Ssor, prepare_ssor
from dasksor.analysis import suits_gradients
from dasksor.choices import check_coarse_space
from dasksor.options import AUTO, check_omega, checked_nullspace
from dasksor.system import LinearSystem, as_matrix


def preconditioner(
    A: Any, omega: float | str = AUTO, nullspace: Any = None, *, coarse: bool = True
) -> LinearOperator:
    """SSOR as a preconditioner, ready for ``scipy.sparse.linalg.cg(A, b, M=...)`` and its kin.

    One forward and one backward sweep from zero apply ``M^-1``,
    ``M = (D / omega + L) (D (2 / omega - 1))^-1 (D / omega + U)``, with ``D``, ``L`` and ``U`` the
    diagonal of ``A`` and what is strictly below and above it. With a coarse space ``Z``, pieces of
    near-null vectors on small aggregates, ``Q = Z (Z'A Z)^-1 Z'``, the operator is
    ``(I - Q A) M^-1 (I - A Q) + Q``. Both are symmetric positive definite if ``A`` is.

    Parameters
    ----------
    A : ndarray, scipy sparse array or matrix
        Real, shape (n, n), no zero on the diagonal, symmetric or not.
    omega : float or "auto"
        Relaxation factor in (0, 2). ``"auto"`` is 1.25 for a symmetric ``A`` with a positive
        diagonal, else 1.
    nullspace : array_like, shape (n,) or (n, k), optional
        Vectors nearly in the null space of ``A``, as for `dasksor.solve`; a constant by default.
    coarse : bool
        Whether to use a coarse space where one is likely to pay: ``A`` is sparse with a positive
        diagonal and, unless a `nullspace` is given, not well dominated by it.

    Returns
    -------
    scipy.sparse.linalg.LinearOperator
        Shape (n, n), float64.

    Raises
    ------
    TypeError, ValueError
        Bad input; a matrix that is not in this process.
    """
    matrix = as_matrix(A)
    n = matrix.shape[0]
    if not LinearSystem.with_matrix(matrix, np.zeros(n)).is_local:
        raise ValueError(f"preconditioner needs a matrix in this process, got {type(A).__name__}")
    if omega != AUTO:
        check_omega(omega)
    if nullspace is not None:
        nullspace = checked_nullspace(nullspace, n)
        check_coarse_space(matrix)  # type: ignore[arg-type]
        if not coarse:
            raise ValueError("nullspace has no meaning with coarse=False: leave one of them out")
    wanted = None if omega == AUTO else float(omega)
    symmetric = suits_gradients(matrix)  # type: ignore[arg-type]
    return _Operator(prepare_ssor(matrix, wanted, nullspace, symmetric=symmetric, coarse=coarse))  # type: ignore[arg-type]


class _Operator(LinearOperator):
    def __init__(self, ssor: Ssor) -> None:
        super().__init__(np.dtype(np.float64), (ssor.n, ssor.n))
        self._ssor = ssor

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return self._ssor.applied(np.asarray(x, dtype=np.float64).ravel())
