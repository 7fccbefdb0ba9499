"""Row actions: against dense references, in blocks, and a support vector machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import Bounds, minimize

from dasksor.rowaction.blocks import Blocks
from dasksor.rowaction.dual import Dual
from dasksor.rowaction.newton import Newton
from dasksor.rowaction.rows import ActionRows, Terms

M, N = 12, 9


def problem(seed, *, cap):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((M, N)) * (rng.random((M, N)) < 0.6)
    bounds = np.array([[-cap], [cap]]) * np.ones(M)
    box = np.array([[-0.5], [1.0]]) * np.ones(N)
    box[:, :2] = [[-np.inf], [np.inf]]
    terms = Terms(2.0, 0.1, rng.standard_normal(M), bounds, box)
    return A, terms, rng.standard_normal(N)


def value(A, terms, origin, u):
    """The definition of F."""
    x = np.clip(origin + terms.alpha * A.T @ u, *terms.box)
    inner = u @ A @ x - (x - origin) @ (x - origin) / (2 * terms.alpha)
    return inner - terms.target @ u + 0.5 * terms.delta * u @ u


def dual_of(A, terms, origin, count=1):
    blocks = Blocks.of(ActionRows.of(sp.csr_array(A)), count)
    return Dual(blocks, terms, origin, np.zeros(M))


@pytest.mark.parametrize("cap", [np.inf, 0.3])
def test_one_sweep_is_the_formula(cap):
    A, terms, origin = problem(1, cap=cap)
    dual = dual_of(A, terms, origin)
    dual.sweep(1.5)
    u = np.zeros(M)
    for i in range(M):
        x = np.clip(origin + terms.alpha * A.T @ u, *terms.box)
        gradient = A[i] @ x - terms.target[i] + terms.delta * u[i]
        u[i] -= 1.5 * gradient / (terms.alpha * A[i] @ A[i] + terms.delta)
        u[i] = np.clip(u[i], *terms.bounds[:, i])
    assert dual.u == pytest.approx(u, abs=1e-13)
    assert dual.z == pytest.approx(origin + terms.alpha * A.T @ u, abs=1e-13)


@pytest.mark.parametrize("omega", [0.5, 1.0, 1.9])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_sweeps_never_raise_f_and_end_at_its_minimum(omega, count):
    A, terms, origin = problem(2, cap=0.3)
    dual = dual_of(A, terms, origin, count)
    last = value(A, terms, origin, dual.u)
    for _ in range(400):
        dual.sweep(omega)
        now = value(A, terms, origin, dual.u)
        assert now <= last + 1e-12
        last = now
    dual.renew()
    assert dual.violation(dual.gradient()) <= 1e-8
    dual.blocks.close()
    best = minimize(lambda u: value(A, terms, origin, u), np.zeros(M), bounds=Bounds(*terms.bounds))
    assert last <= best.fun + 1e-7


def test_newton_ends_at_once_where_nothing_is_cut():
    A, terms, origin = problem(3, cap=np.inf)
    terms = terms._replace(box=np.array([[-np.inf], [np.inf]]) * np.ones(N))
    dual = dual_of(A, terms, origin)
    assert dual.move(Newton(sp.csr_array(A)).step(dual, dual.gradient(), 1e-12))
    dual.renew()
    matrix = terms.alpha * A @ A.T + terms.delta * np.eye(M)
    assert dual.u == pytest.approx(np.linalg.solve(matrix, terms.target - A @ origin), abs=1e-6)


@pytest.mark.parametrize("plain", [True, False])
def test_newtons_step_with_and_without_a_factor(plain, monkeypatch):
    A, terms, origin = problem(4, cap=np.inf)
    A = np.hstack([A, np.eye(M)[:, : M // 2]])  # slacks
    box = np.hstack([terms.box, np.tile([[0.0], [np.inf]], M // 2)])
    terms, origin = terms._replace(box=box), np.append(origin, np.ones(M // 2))
    dual = dual_of(A, terms, origin)
    newton = Newton(sp.csr_array(A))
    newton._plain_fails = not plain
    gradient = dual.gradient()
    free = (dual.z > box[0]) & (dual.z < box[1])
    matrix = terms.alpha * A[:, free] @ A[:, free].T + terms.delta * np.eye(M)
    for _ in range(2):  # the factor serves again
        step = newton.step(dual, gradient, 1e-12)
        assert step == pytest.approx(np.linalg.solve(matrix, -gradient), abs=1e-9)
    assert newton.factors == (0 if plain else 1)


def test_support_vector_machine():
    found = subprocess.run(
        [sys.executable, "examples/svm.py", "4000", "--gap", "1e-5", "--compare"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    gaps = [float(text) for text in re.findall(r"duality gap (\S+),", found.stdout)]
    assert gaps[-1] <= 1e-5
    objectives = [float(text) for text in re.findall(r"objective (\S+?),", found.stdout)]
    assert objectives[-1] == pytest.approx(objectives[-2], rel=1e-3)
