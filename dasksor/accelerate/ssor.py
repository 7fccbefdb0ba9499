"""The SSOR splitting of any matrix in this process, with a coarse space where that helps.

With ``B = left A right``, whose diagonal is omega, ``B = K + H - tau I``, where ``K = I + L`` and
``H = I + U`` hold its triangles and ``tau = 2 - omega``. ``right`` is the root of ``omega |D|^-1``,
``left`` the same with the signs of the diagonal.
The sweep ``M^-1`` is ``tau right H^-1 K^-1 left``, and products with ``K^-1 B H^-1`` take one
substitution back and one forth, and none with ``A`` (Eisenstat 1981).

A coarse space ``Z``, ``E = Z'AZ``, leaves residuals ``P r = r - A Z E^-1 Z'r``, and what iterations
make of them is completed by ``x + Z E^-1 Z'(r - A x)``. Of an unsymmetric matrix ``Z'A`` is kept
besides ``A Z``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.deflation import Deflation, deflation_of
from dasksor.accelerate.triangles import NO_ENTRIES, DenseTriangles, Entries, Triangles, split
from dasksor.analysis import dominance

# Errors of a matrix so dominated by its diagonal leave nothing to a coarse space.
WORTH_COARSENING = 0.95
# With a coarse space the iterations hardly depend on omega, between 1 and 1.6; but over-relaxed
# substitutions of an unsymmetric matrix may grow without bound.
SYMMETRIC_OMEGA, OMEGA = 1.25, 1.0


@dataclass(frozen=True)
class Ssor:
    """See the module; everything that does not depend on a right-hand side.

    Attributes
    ----------
    image, coimage : Entries
        ``left A Z`` and ``(Z'A right)'``, empty without a coarse space.
    """

    matrix: sp.csr_array | np.ndarray
    omega: float
    left: np.ndarray
    right: np.ndarray
    triangles: Triangles
    deflation: Deflation | None
    image: Entries
    coimage: Entries

    @property
    def n(self) -> int:
        return self.left.size

    def begun(self, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``K^-1 left P r``, and the coarse part ``E^-1 Z'r``."""
        c = np.zeros(0)
        if self.deflation is not None:
            c = self.deflation.solve(self.deflation.basis.restricted(r)[None])
        scaled, y = self.left * r, np.zeros(self.n)
        self.triangles.forward(scaled, 0.0, scaled, y, image=self.image, c=c)
        return y, c

    def ended(self, y: np.ndarray, c: np.ndarray) -> np.ndarray:
        """``x = right H^-1 y`` with the coarse part: ``x + Z (c - E^-1 Z'A x)``."""
        t, sums = np.empty(self.n), np.zeros(c.size)
        self.triangles.backward(y, 0.0, np.zeros(self.n), t, image=self.coimage, sums=sums)
        t *= self.right
        if self.deflation is not None:
            t += self.deflation.basis.prolonged(c - self.deflation.solve(sums[None]))
        return t

    def applied(self, v: np.ndarray) -> np.ndarray:
        """``M^-1 v``, between the halves of a coarse correction if there is a coarse space."""
        y, c = self.begun(v)
        y *= 2.0 - self.omega
        return self.ended(y, c)

    def times(self, p: np.ndarray, t: np.ndarray, y: np.ndarray) -> None:
        """``t <- H^-1 p``, ``y <- K^-1 P B t``, both finite before."""
        c = np.zeros(self.deflation.count if self.deflation else 0)
        self.triangles.backward(p, 0.0, y, t, image=self.coimage, sums=c)
        if self.deflation is not None:
            c = self.deflation.solve(c[None])
        self.triangles.forward(p, 2.0 - self.omega, t, y, image=self.image, c=c)
        y += t

    def norm(self, y: np.ndarray) -> float:
        """The 2-norm of the residual ``r`` with ``y = K^-1 left r``."""
        return math.sqrt(self.triangles.weighted_norm(1.0 / self.left, y))


def prepare_ssor(
    matrix: sp.csr_array | np.ndarray,
    omega: float | None = None,
    nullspace: np.ndarray | None = None,
    *,
    symmetric: bool,
    coarse: bool = True,
) -> Ssor:
    """Split a matrix, canonical and without a zero on its diagonal.

    ``symmetric`` says that it is so, and its diagonal positive. The coarse space is left out where
    it does not pay: of dense matrices and, unless a ``nullspace`` of shape (k, n) is given, of
    those dominated by their diagonal.
    """
    n = matrix.shape[0]
    diagonal = matrix.diagonal().astype(np.float64)
    omega = omega or (SYMMETRIC_OMEGA if symmetric else OMEGA)
    right = np.sqrt(omega / np.abs(diagonal))
    left = np.sign(diagonal) * right
    if isinstance(matrix, np.ndarray):
        values = matrix * np.sign(diagonal)[:, None]
        np.fill_diagonal(values, np.abs(diagonal) / omega)
        dense = DenseTriangles(values, 1.0 / right)
        return Ssor(matrix, omega, left, right, dense, None, NO_ENTRIES, NO_ENTRIES)
    triangles, _ = split(matrix, left, right, 0, n, symmetric=symmetric)
    space = _coarse_space(matrix, left, nullspace) if coarse else None
    if space is None:
        return Ssor(matrix, omega, left, right, triangles, None, NO_ENTRIES, NO_ENTRIES)
    transposed = matrix if symmetric else sp.csr_array(matrix.T)
    coimage = space.basis.image(transposed, right, 0, n)
    return Ssor(matrix, omega, left, right, triangles, space, space.images[0], coimage)


def _coarse_space(
    matrix: sp.csr_array, left: np.ndarray, nullspace: np.ndarray | None
) -> Deflation | None:
    """The coarse space, where one is likely to pay and factors without pivoting solve for it."""
    n = matrix.shape[0]
    if not (matrix.diagonal() > 0.0).all():
        return None
    if nullspace is None:
        if dominance(matrix) < WORTH_COARSENING:
            return None
        nullspace = np.ones((1, n))
    made = deflation_of(matrix, left, nullspace, [(0, n)], lambda work: [work(0)])
    if made is None:
        return None
    basis, probe = made.basis, np.cos(np.arange(made.count))
    image = basis.restricted(matrix @ basis.prolonged(probe))
    back = basis.restricted(matrix @ basis.prolonged(made.solve(image[None])))
    sound = np.linalg.norm(back - image) <= 1e-6 * np.linalg.norm(image)
    return made if sound else None
