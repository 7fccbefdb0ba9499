"""The problems, by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse

from dasksor import files, problems


@dataclass(frozen=True)
class System:
    """``A x = b`` with ``b`` all ones."""

    A: Any
    b: np.ndarray
    symmetric: bool
    direct: bool

    @property
    def sparse(self) -> bool:
        return issparse(self.A)

    @property
    def nnz(self) -> int:
        return self.A.nnz if self.sparse else self.A.size

    def residual(self, x: np.ndarray) -> float:
        return float(np.linalg.norm(self.b - self.A @ x) / np.linalg.norm(self.b))


def system(name: str) -> System:
    """The system of that name; factors of those in `TOO_BIG` do not fit into 24 GB."""
    if name not in MATRICES:
        raise SystemExit(f"no problem {name!r}: choose one of {', '.join(MATRICES)}")
    A = MATRICES[name]()
    return System(A, np.ones(A.shape[0]), name not in UNSYMMETRIC, name not in TOO_BIG)


def _bcsstk16() -> Any:
    folder = os.environ.get("DASKSOR_DATA")
    if folder is None:
        raise SystemExit("set DASKSOR_DATA to a folder that has bcsstk16.mtx.gz")
    return files.read(Path(folder, "bcsstk16.mtx.gz"))


MATRICES = {
    "poisson316": lambda: problems.poisson((316, 316)),
    "poisson1000": lambda: problems.poisson((1000, 1000)),
    "poisson3162": lambda: problems.poisson((3162, 3162)),
    "cube46": lambda: problems.poisson((46, 46, 46)),
    "cube100": lambda: problems.poisson((100, 100, 100)),
    "cube215": lambda: problems.poisson((215, 215, 215)),
    "anisotropic1000": lambda: problems.anisotropic((1000, 1000)),
    "convection500": lambda: problems.convection_diffusion((500, 500)),
    "grid": lambda: problems.power_grid("case_SyntheticUSA", absolute=True),
    "grid-indefinite": lambda: problems.power_grid("case_SyntheticUSA"),
    "bcsstk16": _bcsstk16,
    "dense10000": lambda: problems.dense_spd(10_000),
}
UNSYMMETRIC = {"convection500"}
TOO_BIG = {"cube100", "cube215", "poisson3162"}
