"""Which unknowns the bounds will hold, from a small problem on the aggregates of a coarse space.

With ``Z`` the aggregates' vectors, the coarse problem is ``min c'Ec / (2 s) - (Z'b)'c`` between the
means of the bounds over each aggregate. Pieces of a vector are stiffer than what is smooth between
them: of a smooth solution, ``s = b'A^-1 b / (Z'b)'E^-1 Z'b`` is by how much, 8 for 8 x 8 points of
a plane grid (the over-correction of Braess, *Towards algebraic multigrid for elliptic problems of
second order*, Computing 55, 1995). A few conjugate gradients tell it, for a smooth ``b``.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np

from dasksor.accelerate.basis import Pieces
from dasksor.accelerate.deflation import Deflation
from dasksor.accelerate.faces import Faces
from dasksor.accelerate.gradients import Gradients
from dasksor.accelerate.splitting import Splitting, prepare_splitting
from dasksor.accelerate.team import Team
from dasksor.bounded_rows import BoundedRows, with_bounds
from dasksor.rows import Storage, canonical_csr, prepare_rows

# Conjugate gradients for the stiffness; what no aggregates have.
STEPS, STIFFEST = 3, 1e3
# Of fewer unknowns faces are found as quickly without a guess.
FEWEST = 20_000
# What a guess is worth: digits of the coarse solution, and iterations for it.
ACCURACY, ITERATIONS = 1e-3, 300


class _Coarse(NamedTuple):
    """``E / s``, made ready."""

    basis: Pieces
    splitting: Splitting
    rows: Storage
    guess: Guess


class Guess:
    """The guesses of one splitting; nothing is made ready before one is wanted."""

    def __init__(self, splitting: Splitting) -> None:
        self._splitting = splitting

    def held(
        self, rows: BoundedRows, b: np.ndarray, x: np.ndarray, held: np.ndarray
    ) -> np.ndarray | None:
        """-1 where the lower bound holds an unknown, 1 where the upper does, 0 elsewhere.

        Unknowns in no aggregate stay as ``held``. None where no guess is worth it.
        """
        if b.size < FEWEST or self._coarse is None:
            return None
        basis, splitting, coarse, guess = self._coarse
        one, other = coefficients(basis, rows.lower), coefficients(basis, rows.upper)
        lower, upper = means(basis, np.minimum(one, other)), means(basis, np.maximum(one, other))
        start = np.clip(means(basis, coefficients(basis, x)), lower, upper)
        bounded = with_bounds(coarse, np.stack([lower, upper]), 0)
        run = Faces(splitting, guess.held, bounded, ITERATIONS, basis.restricted(b), start)
        _, norm = run.measured()
        run.run(ACCURACY * norm, ITERATIONS, math.inf)
        if run.indefinite:
            return None
        c, _ = run.measured()
        side = np.where(c <= lower, -1, np.where(c >= upper, 1, 0)).astype(np.int8)
        sides = side[basis.group] * np.sign(basis.weight).astype(np.int8)
        return np.where(basis.weight != 0.0, sides, held)

    @cached_property
    def _coarse(self) -> _Coarse | None:
        space = self._splitting.deflation
        if space is None or not isinstance(space.basis, Pieces):
            return None
        stiffness = self._stiffness(space, space.basis)
        if not 1.0 <= stiffness <= STIFFEST or not (space.matrix.diagonal() > 0.0).all():
            return None
        matrix = canonical_csr(space.matrix / stiffness)
        splitting = prepare_splitting(matrix, self._splitting.omega, Team(1), 1)
        return _Coarse(space.basis, splitting, prepare_rows(matrix, 0), Guess(splitting))

    def _stiffness(self, space: Deflation, basis: Pieces) -> float:
        """``s`` of the module, for a smooth ``b``: 1, over the entries of the vector."""
        b = coefficients(basis, np.ones(self._splitting.scale.size))
        sums = basis.restricted(b)
        gradients = Gradients(self._splitting, b, np.zeros_like(b))
        gradients.measured()
        gradients.run(0.0, STEPS, math.inf)
        stiff = float(sums @ space.solve(sums[None]))
        return float(b @ gradients.iterate()) / stiff if stiff > 0.0 else math.inf


def coefficients(basis: Pieces, v: np.ndarray) -> np.ndarray:
    """By unknown, the coefficient that its aggregate needs to give ``v`` there; 0 in none."""
    return np.divide(v, basis.weight, out=np.zeros_like(v), where=basis.weight != 0.0)


def means(basis: Pieces, v: np.ndarray) -> np.ndarray:
    """The mean of ``v`` over each aggregate; 0 where it has no unknowns."""
    count = np.bincount(basis.group, basis.weight != 0.0, minlength=basis.count)
    return np.bincount(basis.group, v, minlength=basis.count) / np.maximum(count, 1.0)
