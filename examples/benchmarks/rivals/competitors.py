"""Who takes part: one line each."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import pyamg
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from attempt import Attempt, tightened
from systems import System

import dasksor

PETSC = ("/usr/bin/python3", str(Path(__file__).with_name("petsc.py")))
# Debian's petsc4py lies beside the libraries, out of Python's sight without the headers' package.
PETSC_PATH = ":".join(glob("/usr/lib/petscdir/*/*-real/lib/python3/dist-packages"))
OMEGAS = [1.0, 1.3, 1.6, 1.8, 1.9, 1.95, 1.98, 1.99, 1.995]


@dataclass(frozen=True)
class Here:
    """Calls ``solve(A, b, tolerance) -> x, note``."""

    name: str
    suits: Callable[[System], bool]
    solve: Callable[[Any, np.ndarray, float], tuple[np.ndarray, str]]

    def run(self, system: System, rtol: float, before: Attempt | None, folder: Path) -> Attempt:
        def attempt(tolerance: float) -> Attempt:
            began = time.perf_counter()
            x, note = self.solve(system.A, system.b, tolerance)
            seconds = time.perf_counter() - began
            return Attempt(seconds, system.residual(x), tolerance, note)

        return tightened(attempt, rtol, before.tolerance if before else rtol)


@dataclass(frozen=True)
class InPetsc:
    """A Krylov method with a preconditioner in a process of the system's Python."""

    name: str
    suits: Callable[[System], bool]
    ksp: str
    pc: str

    def run(self, system: System, rtol: float, before: Attempt | None, folder: Path) -> Attempt:
        A = system.A
        stored = folder / "system.npz"
        if not stored.exists():
            np.savez(stored, indptr=A.indptr, indices=A.indices, data=A.data, b=system.b)
        scanned = OMEGAS if self.pc in ("sor", "eisenstat") else [None]
        order = {
            "ksp": self.ksp,
            "pc": self.pc,
            "symmetric": system.symmetric,
            "rtol": rtol,
            "omegas": [before.omega] if before else scanned,
            "tolerance": before.tolerance if before else rtol,
        }
        child = _petsc(str(folder), json.dumps(order))
        if child.returncode:
            raise RuntimeError(child.stderr.strip().splitlines()[-1])
        found = json.loads(child.stdout.splitlines()[-1])
        return Attempt(**{**found, "residual": system.residual(np.load(folder / "x.npy"))})


@cache
def petsc_version() -> str | None:
    """None where the system's Python has no petsc4py."""
    try:
        child = _petsc("version")
    except FileNotFoundError:
        return None
    return child.stdout.strip() if child.returncode == 0 else None


def _petsc(*words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": PETSC_PATH}
    return subprocess.run([*PETSC, *words], capture_output=True, text=True, env=environment)


def _dasksor(**options: Any) -> Callable:
    def solve(A, b, tolerance):
        result = dasksor.solve(A, b, rtol=tolerance, **options)
        return result.x, f"{result.mode}, {result.sweeps} sweeps"

    return solve


def _scipy(method: Callable, preconditioned: bool = False, **options: Any) -> Callable:
    def solve(A, b, tolerance):
        M = None
        if preconditioned:
            M = sla.LinearOperator(A.shape, sla.spilu(sp.csc_array(A)).solve)
        seen: list[None] = []
        x, _ = method(A, b, rtol=tolerance, M=M, callback=lambda _: seen.append(None), **options)
        return x, f"{len(seen)} its"

    return solve


def _pyamg(setup: Callable, krylov: str, **options: Any) -> Callable:
    def solve(A, b, tolerance):
        hierarchy = setup(sp.csr_matrix(A), **options)
        residuals: list[float] = []
        x = hierarchy.solve(b, tol=tolerance, accel=krylov, maxiter=2000, residuals=residuals)
        return x, f"{len(residuals) - 1} its, {len(hierarchy.levels)} levels"

    return solve


def _spsolve(A, b, _):
    return sla.spsolve(A, b), ""


def _posv(A, b, _):
    return scipy.linalg.solve(A, b, assume_a="pos"), ""


def _lu(A, b, _):
    return np.linalg.solve(A, b), ""


def _any(_: System) -> bool:
    return True


def _symmetric(s: System) -> bool:
    return s.symmetric


def _sparse_symmetric(s: System) -> bool:
    return s.sparse and s.symmetric


def _unsymmetric(s: System) -> bool:
    return not s.symmetric


def _for_petsc(suits: Callable[[System], bool]) -> Callable[[System], bool]:
    return lambda s: petsc_version() is not None and suits(s)


_sa, _rs = pyamg.smoothed_aggregation_solver, pyamg.ruge_stuben_solver
_petsc_spd, _petsc_general = _for_petsc(_sparse_symmetric), _for_petsc(_unsymmetric)

COMPETITORS: list[Here | InPetsc] = [
    Here("dasksor", _any, _dasksor()),
    Here("PyAMG SA + CG", _sparse_symmetric, _pyamg(_sa, "cg")),
    Here("PyAMG RS + CG", _sparse_symmetric, _pyamg(_rs, "cg")),
    InPetsc("PETSc CG + SSOR", _petsc_spd, "cg", "sor"),
    InPetsc("PETSc CG + Eisenstat", _petsc_spd, "cg", "eisenstat"),
    InPetsc("PETSc CG + ICC(0)", _petsc_spd, "cg", "icc"),
    InPetsc("PETSc CG + GAMG", _petsc_spd, "cg", "gamg"),
    Here("PyAMG SA + BiCGStab", _unsymmetric, _pyamg(_sa, "bicgstab", symmetry="nonsymmetric")),
    Here("PyAMG RS + BiCGStab", _unsymmetric, _pyamg(_rs, "bicgstab")),
    Here("scipy bicgstab + spilu", _unsymmetric, _scipy(sla.bicgstab, preconditioned=True)),
    Here(
        "scipy gmres + spilu",
        _unsymmetric,
        _scipy(sla.gmres, preconditioned=True, callback_type="pr_norm"),
    ),
    InPetsc("PETSc BiCGStab + ILU(0)", _petsc_general, "bcgs", "ilu"),
    InPetsc("PETSc BiCGStab + SSOR", _petsc_general, "bcgs", "sor"),
    InPetsc("PETSc GMRES + ILU(0)", _petsc_general, "gmres", "ilu"),
    InPetsc("PETSc GMRES + SSOR", _petsc_general, "gmres", "sor"),
    Here("scipy cg", _symmetric, _scipy(sla.cg)),
    Here("scipy spsolve", lambda s: s.sparse and s.direct, _spsolve),
    Here("scipy solve, Cholesky", lambda s: not s.sparse and s.symmetric, _posv),
    Here("numpy solve, LU", lambda s: not s.sparse, _lu),
]
