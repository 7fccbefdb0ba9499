"""Kernels of both storages against the dense reference."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    BACKWARD,
    FORWARD,
    dense_sweep,
    directions,
    omegas,
    random_dominant,
    random_spd,
    seeds,
    sizes,
)
from scipy.linalg import solve_triangular

from dasksor.kernels import csr, dense

dtypes = st.sampled_from([np.float32, np.float64])


def sweep_csr(A, b, x, omega, direction):
    A = sp.csr_array(A)
    kernel = csr.forward if direction == FORWARD else csr.backward
    scale = omega / A.diagonal().astype(np.float64)
    return kernel(A.indptr.astype(np.int64), A.indices, A.data, scale, b, x, 0)


def sweep_dense(A, b, x, omega, direction):
    squares = np.zeros(1)
    scale = omega / A.diagonal().astype(np.float64)
    dense.sweep(A, scale, b[None], x[None], 0, direction, squares)
    return squares[0]


def residual_csr(A, b, x):
    A, r = sp.csr_array(A), np.empty(len(b))
    csr.residual(A.indptr.astype(np.int64), A.indices, A.data, b, x, r)
    return r


def residual_dense(A, b, x):
    r = np.empty((1, len(b)))
    dense.residual(A, b[None], x[None], 0, r)
    return r[0]


SWEEPS = {"csr": sweep_csr, "dense": sweep_dense}
RESIDUALS = {"csr": residual_csr, "dense": residual_dense}
storages = pytest.mark.parametrize("storage", ["csr", "dense"])


@storages
@settings(deadline=None, max_examples=60)
@given(seeds, sizes, omegas, directions, dtypes)
def test_sweep_equals_the_reference(storage, seed, n, omega, direction, dtype):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, n).astype(dtype)
    b, old = rng.standard_normal((2, n))
    x = old.copy()
    squares = SWEEPS[storage](A, b, x, omega, direction)
    expected = dense_sweep(A, b, old, omega, direction)
    np.testing.assert_allclose(x, expected, rtol=1e-12, atol=1e-13)
    assert squares == pytest.approx(np.sum((expected - old) ** 2), rel=1e-9, abs=1e-24)


@storages
@settings(deadline=None, max_examples=40)
@given(seeds, sizes, dtypes)
def test_residual_equals_the_dense_product(storage, seed, n, dtype):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, n).astype(dtype)
    b, x = rng.standard_normal((2, n))
    r = RESIDUALS[storage](A, b, x)
    np.testing.assert_allclose(r, b - A.astype(np.float64) @ x, rtol=1e-12, atol=1e-12)


@storages
@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 80))
def test_omega_one_is_gauss_seidel(storage, direction, seed, n):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    b, x = rng.standard_normal((2, n))
    lower = direction == FORWARD
    newest, old = (np.tril(A), np.triu(A, 1)) if lower else (np.triu(A), np.tril(A, -1))
    expected = solve_triangular(newest, b - old @ x, lower=lower)
    SWEEPS[storage](A, b, x, 1.0, direction)
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-8)


@storages
def test_the_solution_is_a_fixed_point_with_no_change(storage):
    A = np.array([[4.0, 1.0, 0.0], [2.0, 8.0, -2.0], [0.0, 0.0, 2.0]])
    x = np.array([1.0, -2.0, 4.0])
    b = A @ x
    assert SWEEPS[storage](A, b, x, 1.5, FORWARD) == 0.0
    np.testing.assert_array_equal(x, [1.0, -2.0, 4.0])
    np.testing.assert_array_equal(RESIDUALS[storage](A, b, x), 0.0)


@storages
def test_sweep_returns_the_sum_of_squared_changes(storage):
    A, b = np.diag([2.0, 4.0]), np.array([2.0, 8.0])
    x = np.zeros(2)
    assert SWEEPS[storage](A, b, x, 0.5, FORWARD) == 0.5**2 + 1.0**2
    np.testing.assert_array_equal(x, [0.5, 1.0])


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 40), directions)
def test_csr_equals_dense_up_to_rounding(seed, n, direction):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, n)
    b, x = rng.standard_normal((2, n))
    y = x.copy()
    sweep_csr(A, b, x, 1.4, direction)
    sweep_dense(A, b, y, 1.4, direction)
    np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-12)
