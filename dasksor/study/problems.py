"""Problems by name: ``dense:1000`` is a matrix and a right-hand side."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array

from dasksor import problems
from dasksor.files import read


@dataclass(frozen=True)
class Problem:
    """A system ``A x = b``.

    Attributes
    ----------
    name : str
        As in a study's grid.
    A : ndarray or csr_array
    b : ndarray, shape (n,)
    shape : tuple of int or None
        Of the grid where this is Poisson's equation, whose times can be predicted.
    """

    name: str
    A: Any
    b: np.ndarray
    shape: tuple[int, ...] | None = None

    @property
    def n(self) -> int:
        return len(self.b)

    @property
    def nnz(self) -> int:
        """Stored entries; of a dense matrix all."""
        return int(self.A.size)

    def residual(self, x: np.ndarray) -> float:
        """``norm(b - A x) / norm(b)``."""
        return float(np.linalg.norm(self.b - self.A @ x) / np.linalg.norm(self.b))


def check(name: str) -> None:
    """Refuse a name that stands for no problem, without building one.

    Raises
    ------
    ValueError
        With the names that do.
    FileNotFoundError
        ``file:`` of a file that is not there.
    """
    kind, about = _parsed(name)
    if kind == "file" and not Path(about).is_file():
        raise FileNotFoundError(f"problem {name!r}: there is no file {about}")


def build(name: str) -> Problem:
    """The problem of that name."""
    kind, about = _parsed(name)
    return _KINDS[kind].build(name, about)


def known() -> str:
    """An example of each kind of name."""
    return ", ".join(kind.example for kind in _KINDS.values())


@dataclass(frozen=True)
class _Kind:
    example: str
    pattern: str
    build: Callable[[str, str], Problem]


def _parsed(name: str) -> tuple[str, str]:
    kind, _, about = name.partition(":")
    if kind not in _KINDS or not re.fullmatch(_KINDS[kind].pattern, about):
        raise ValueError(f"unknown problem {name!r}: give names such as {known()}")
    return kind, about


def _lengths(about: str) -> tuple[int, ...]:
    return tuple(map(int, about.split("x")))


def _dense(name: str, about: str) -> Problem:
    A = problems.dense_spd(int(about))
    return Problem(name, A, problems.seed_rhs(A)[0])


def _poisson(name: str, about: str) -> Problem:
    A = problems.poisson(_lengths(about))
    shape = _lengths(about) if "x" in about else None
    return Problem(name, A, np.ones(A.shape[0]), shape)


def _heat(name: str, about: str) -> Problem:
    """An implicit step from a hot square; strictly diagonally dominant, also for free sweeps."""
    rows, columns = _lengths(about)
    A = (eye_array(rows * columns) + 2.0 * problems.poisson((rows, columns))).tocsr()
    b = np.zeros((rows, columns))
    b[rows // 4 : rows // 2 + 1, columns // 4 : columns // 2 + 1] = 1.0
    return Problem(name, A, b.ravel())


def _convection(name: str, about: str) -> Problem:
    A = problems.convection_diffusion(_lengths(about))
    return Problem(name, A, np.ones(A.shape[0]))


def _anisotropic(name: str, about: str) -> Problem:
    A = problems.anisotropic(_lengths(about))
    return Problem(name, A, np.ones(A.shape[0]))


def _elastic(name: str, about: str) -> Problem:
    A, _ = problems.elasticity(_lengths(about))
    return Problem(name, A, np.ones(A.shape[0]))


def _pagerank(name: str, about: str) -> Problem:
    return Problem(name, *problems.pagerank(problems.random_graph(int(about))))


def _message(name: str, about: str) -> Problem:
    """Nothing to solve: so many bytes, to be sent."""
    n = int(about) // 8
    return Problem(name, csr_array((n, n)), np.ones(n))


def _file(name: str, about: str) -> Problem:
    A = read(about)
    return Problem(name, A, problems.seed_rhs(A)[0])


_NUMBER, _PLANE = r"[1-9]\d*", r"[1-9]\d*x[1-9]\d*"
_KINDS = {
    "dense": _Kind("dense:1000", r"[2-9]|[1-9]\d+", _dense),
    "poisson": _Kind("poisson:300x300", rf"{_NUMBER}(x{_NUMBER}){{0,2}}", _poisson),
    "heat": _Kind("heat:300x300", _PLANE, _heat),
    "convection": _Kind("convection:300x300", _PLANE, _convection),
    "anisotropic": _Kind("anisotropic:300x300", _PLANE, _anisotropic),
    "elastic": _Kind("elastic:100x100", _PLANE, _elastic),
    "pagerank": _Kind("pagerank:10000", _NUMBER, _pagerank),
    "message": _Kind("message:8000", r"[89]|[1-9]\d+", _message),
    "file": _Kind("file:A.mtx", ".+", _file),
}
