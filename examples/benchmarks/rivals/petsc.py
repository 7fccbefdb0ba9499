"""Solves with PETSc what competitors.py stored; run by the system's Python."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from attempt import Attempt, tightened
from petsc4py import PETSc


def solve(stored, order, omega, tolerance):
    """From the arrays of CSR to ``x``, timed; the stop test is on the norm of ``b - A x``."""
    n = stored["b"].size
    began = time.perf_counter()
    if order["pc"] == "eisenstat":
        PETSc.Options()["mat_no_inode"] = True  # it crashes where rows have equal patterns
    csr = stored["indptr"], stored["indices"], stored["data"]
    A = PETSc.Mat().createAIJ(size=(n, n), csr=csr, comm=PETSc.COMM_SELF)
    A.setOption(PETSc.Mat.Option.SYMMETRIC, order["symmetric"])
    b = PETSc.Vec().createWithArray(stored["b"], comm=PETSc.COMM_SELF)
    x = b.duplicate()
    ksp = PETSc.KSP().create(PETSc.COMM_SELF)
    ksp.setOperators(A)
    ksp.setType(order["ksp"])
    ksp.getPC().setType(order["pc"])
    if omega is not None:
        PETSc.Options()[f"pc_{order['pc']}_omega"] = omega
    if order["ksp"] != "cg":
        ksp.setPCSide(PETSc.PC.Side.RIGHT)  # the left side would stop by another norm
    ksp.setNormType(PETSc.KSP.NormType.UNPRECONDITIONED)
    ksp.setTolerances(rtol=tolerance, atol=0.0, max_it=20_000)
    ksp.setFromOptions()
    ksp.solve(b, x)
    seconds = time.perf_counter() - began
    r = b.duplicate()
    A.mult(x, r)
    r.aypx(-1.0, b)
    note = f"{ksp.getIterationNumber()} its" + (f", omega {omega:g}" if omega else "")
    if ksp.getConvergedReason() < 0:
        note += f", reason {ksp.getConvergedReason()}"
    attempt = Attempt(seconds, r.norm() / b.norm(), tolerance, note, omega)
    return attempt, x.getArray().copy(), ksp.getIterationNumber()


def scan(stored, order):
    """Attempt and ``x`` of the first omega after which iterations grow."""
    best, least = None, None
    for omega in order["omegas"]:
        made = {}

        def attempt(tolerance, omega=omega, made=made):
            found, made["x"], made["its"] = solve(stored, order, omega, tolerance)
            return found

        found = tightened(attempt, order["rtol"], order["tolerance"])
        if best and not (found.residual <= order["rtol"] and made["its"] < least):
            break
        best, x, least = found, made["x"], made["its"]
    return best, x


def main():
    if sys.argv[1] == "version":
        print("PETSc", ".".join(map(str, PETSc.Sys.getVersion())))
        return
    folder = Path(sys.argv[1])
    with np.load(folder / "system.npz") as file:
        stored = dict(file)
    found, x = scan(stored, json.loads(sys.argv[2]))
    np.save(folder / "x.npy", x)
    print(json.dumps(asdict(found)))


main()
